//! Sessions and failed sign-ins.
//!
//! An account's sessions stand in its document. Failed sign-ins are counted in documents of their own, under addresses
//! that need not have an account.

mod failures;

use ::mongodb::{
    bson::{Binary, DateTime, Document, Uuid, doc},
    options::ReturnDocument,
};
use async_trait::async_trait;
use model::{
    CheckedPassword, FoldedText, Page, PageRequest, Renewal, Result, Rotation, SecurityEvent, Session,
    SessionId, SessionStore, SignInFailures, Timestamp, TokenDigest, UserId,
};
use serde::{Deserialize, Serialize};

use super::{
    MongoStore,
    collection::ACCOUNTS as COLLECTION,
    column::{bytes, day, digest, id, moment, timestamp, uuid, value},
    contention::Contention,
    failure::Fault,
    index::Indexes,
    security::EventRow,
};

pub(super) use self::failures::{COLLECTION as FAILURES, CountRow};

/// How many sessions of one account are kept.
const MAX_SESSIONS: i32 = 100;

/// How many days it is known for that an account was active on them.
const MAX_DAYS: i64 = 400;

/// A session as it stands in the document of its account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SessionRow {
    #[serde(rename = "i")]
    id: Uuid,
    #[serde(rename = "t")]
    refresh_token: Binary,
    #[serde(rename = "c")]
    created_at: DateTime,
    #[serde(rename = "x")]
    expires_at: DateTime,
}

impl SessionRow {
    /// Takes a session apart.
    pub(super) fn of(session: &Session) -> Self {
        Self {
            id: id(session.id.as_uuid()),
            refresh_token: bytes(&session.refresh_token.0),
            created_at: moment(session.created_at),
            expires_at: moment(session.expires_at),
        }
    }

    /// Reads a session.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(super) fn into_session(self, user_id: UserId) -> Result<Session> {
        Ok(Session {
            id: SessionId::from_uuid(uuid(self.id)),
            user_id,
            refresh_token: TokenDigest(digest(&self.refresh_token)?),
            created_at: timestamp(self.created_at),
            expires_at: timestamp(self.expires_at),
        })
    }
}

/// An account with some of its sessions.
#[derive(Deserialize)]
struct SessionsRow {
    #[serde(rename = "_id")]
    user_id: Uuid,
    #[serde(default)]
    sessions: Vec<SessionRow>,
}

impl SessionsRow {
    fn into_session(mut self, session: Uuid) -> Result<Option<Session>> {
        let user_id = UserId::from_uuid(uuid(self.user_id));
        let place = self.sessions.iter().position(|row| row.id == session);
        place
            .map(|place| self.sessions.swap_remove(place).into_session(user_id))
            .transpose()
    }
}

/// What a sign-in depends on.
#[derive(Deserialize)]
struct OpenedBy {
    email_folded: String,
    active: bool,
    password_hash: String,
}

/// The indexes of sessions, and of what counts failed sign-ins.
pub(super) fn indexes() -> Vec<Indexes> {
    failures::indexes()
}

#[async_trait]
impl SessionStore for MongoStore {
    async fn open_session(&self, session: &Session, checked: &CheckedPassword) -> Result<bool> {
        let user = id(session.user_id.as_uuid());
        let mut contention = Contention::default();
        loop {
            let collection = self.connection.collection::<OpenedBy>(COLLECTION);
            let seeing = collection
                .find_one(doc! { "_id": user })
                .projection(doc! { "email_folded": 1, "active": 1, "password_hash": 1 });
            let seen = self.connection.run(seeing).await?;
            let Some(seen) = seen.filter(|seen| seen.active && seen.password_hash == checked.hash.as_str())
            else {
                return Ok(false);
            };
            if self.add_session(session, checked, &seen.email_folded).await? {
                self.settle_forgotten_soon(user, &seen.email_folded).await;
                return Ok(true);
            }
            contention.again().await?;
        }
    }

    async fn find_session(&self, session: SessionId) -> Result<Option<Session>> {
        let session = id(session.as_uuid());
        let collection = self.connection.collection::<SessionsRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "sessions.i": session })
            .projection(doc! { "sessions": { "$elemMatch": { "i": session } } });
        let found = self.connection.run(reading).await?;
        found.map_or(Ok(None), |row| row.into_session(session))
    }

    async fn rotate_session(&self, renewal: &Renewal, reuse_event: &SecurityEvent) -> Result<Rotation> {
        let (session, now) = (id(renewal.id.as_uuid()), moment(reuse_event.created_at));
        let presented = bytes(&renewal.presented.0);
        let collection = self.connection.collection::<SessionsRow>(COLLECTION);
        let rotating = collection.find_one_and_update(
                doc! { "sessions": { "$elemMatch": { "i": session, "t": &presented, "x": { "$gt": now } } } },
                doc! {
                    "$set": { "sessions.$.t": bytes(&renewal.next.0), "sessions.$.x": moment(renewal.expires_at) },
                    "$addToSet": { "days": day(reuse_event.created_at) },
                },
            )
            .projection(doc! { "sessions": 1 })
            .return_document(ReturnDocument::After);
        if let Some(row) = self.connection.run(rotating).await? {
            let rotated = row.into_session(session)?;
            return Ok(rotated.map_or(Rotation::Gone, Rotation::Rotated));
        }
        let collection = self.connection.collection::<Document>(COLLECTION);
        let ending = collection.update_one(
            doc! { "sessions": { "$elemMatch": { "i": session, "t": { "$ne": presented }, "x": { "$gt": now } } } },
            doc! {
                "$pull": { "sessions": { "i": session } },
                "$push": EventRow::of(reuse_event).push()?,
            },
        );
        let ended = self.connection.run(ending).await?;
        Ok(if ended.matched_count > 0 {
            Rotation::Reused
        } else {
            Rotation::Gone
        })
    }

    async fn close_session(&self, session: SessionId) -> Result<bool> {
        let session = id(session.as_uuid());
        let collection = self.connection.collection::<Document>(COLLECTION);
        let ending = collection.update_one(
            doc! { "sessions.i": session },
            doc! { "$pull": { "sessions": { "i": session } } },
        );
        Ok(self.connection.run(ending).await?.modified_count > 0)
    }

    async fn close_sessions(&self, user_id: UserId) -> Result<u64> {
        let collection = self.connection.collection::<SessionsRow>(COLLECTION);
        let ending = collection
            .find_one_and_update(
                doc! { "_id": id(user_id.as_uuid()) },
                doc! { "$set": { "sessions": [] } },
            )
            .projection(doc! { "sessions": 1 })
            .return_document(ReturnDocument::Before);
        let ended = self.connection.run(ending).await?;
        let count = ended.map_or(0, |row| row.sessions.len());
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn sign_in_failures(&self, email: &FoldedText) -> Result<SignInFailures> {
        Ok(self.count_failures(email).await?)
    }

    async fn record_sign_in_failure(
        &self,
        email: &FoldedText,
        now: Timestamp,
        forgotten_before: Timestamp,
        event: Option<&SecurityEvent>,
    ) -> Result<SignInFailures> {
        Ok(self.add_failure(email, (now, forgotten_before), event).await?)
    }

    async fn list_security_events(
        &self,
        user_id: UserId,
        page: &PageRequest<()>,
    ) -> Result<Page<SecurityEvent>> {
        self.list_events(user_id, page).await
    }

    async fn remove_expired_sessions(
        &self,
        now: Timestamp,
        forgotten_before: Timestamp,
        limit: u32,
    ) -> Result<u64> {
        self.settle_accounts(limit).await?;
        self.forget_days(now).await?;
        let sessions = self.remove_expired(now, limit).await?;
        let failures = self.remove_old_failures(forgotten_before, limit).await?;
        Ok(sessions.saturating_add(failures))
    }
}

/// A session that expired, with its account.
#[derive(Deserialize)]
struct ExpiredRow {
    #[serde(rename = "_id")]
    user_id: Uuid,
    session: Uuid,
}

impl MongoStore {
    /// Adds a session to an account that is as it was seen; tells whether it still was.
    async fn add_session(
        &self,
        session: &Session,
        checked: &CheckedPassword,
        email: &str,
    ) -> Result<bool, Fault> {
        let new_hash = checked.renewed.as_ref().unwrap_or(&checked.hash);
        let rows = [value(&SessionRow::of(session))?];
        let newest = MAX_SESSIONS.saturating_neg();
        let collection = self.connection.collection::<Document>(COLLECTION);
        let adding = collection.update_one(
            doc! {
                "_id": id(session.user_id.as_uuid()),
                "active": true,
                "password_hash": { "$eq": checked.hash.as_str() },
                "email_folded": { "$eq": email },
            },
            doc! {
                "$set": { "last_login": moment(session.created_at), "password_hash": new_hash.as_str() },
                "$push": { "sessions": { "$each": rows, "$sort": { "c": 1, "i": 1 }, "$slice": newest } },
                "$addToSet": { "days": day(session.created_at), "forget": email },
                "$inc": { "version": 1_i64 },
            },
        );
        Ok(self.connection.run(adding).await?.matched_count > 0)
    }

    async fn remove_expired(&self, now: Timestamp, limit: u32) -> Result<u64, Fault> {
        let now = moment(now);
        let collection = self.connection.collection::<Document>(COLLECTION);
        let listing = collection
            .aggregate([
                doc! { "$match": { "sessions.x": { "$lt": now } } },
                doc! { "$project": { "sessions.i": 1, "sessions.x": 1 } },
                doc! { "$unwind": "$sessions" },
                doc! { "$match": { "sessions.x": { "$lt": now } } },
                doc! { "$sort": { "sessions.x": 1 } },
                doc! { "$limit": i64::from(limit.max(1)) },
                doc! { "$project": { "session": "$sessions.i" } },
            ])
            .max_time(self.connection.limit())
            .with_type::<ExpiredRow>();
        let expired = self.connection.read_all(listing).await?;
        if expired.is_empty() {
            return Ok(0);
        }
        let users: Vec<Uuid> = expired.iter().map(|row| row.user_id).collect();
        let sessions: Vec<Uuid> = expired.iter().map(|row| row.session).collect();
        let count = expired.len();
        // One that was renewed meanwhile stays.
        let collection = self.connection.collection::<Document>(COLLECTION);
        let removing = collection.update_many(
            doc! { "_id": { "$in": users } },
            doc! { "$pull": { "sessions": { "i": { "$in": sessions }, "x": { "$lt": now } } } },
        );
        self.connection.run(removing).await?;
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn forget_days(&self, now: Timestamp) -> Result<(), Fault> {
        let first = day(now).saturating_sub(MAX_DAYS);
        let collection = self.connection.collection::<Document>(COLLECTION);
        let forgetting = collection.update_many(
            doc! { "days": { "$lt": first } },
            doc! { "$pull": { "days": { "$lt": first } } },
        );
        self.connection.run(forgetting).await?;
        Ok(())
    }
}
