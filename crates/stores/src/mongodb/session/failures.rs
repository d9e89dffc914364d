//! What counts failed sign-ins, and what of it is to be told to an account or forgotten with a sign-in.
//!
//! Neither is one write with the other document: what is to be done stands in the document that was written (`events`
//! of a count, `forget` of an account) until it is done, which is tried at once.

use ::mongodb::{
    bson::{Bson, DateTime, Document, Uuid, doc},
    options::ReturnDocument,
};
use model::{FoldedText, Result, SecurityEvent, SignInFailures, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    mongodb::{
        MongoStore,
        collection::ACCOUNTS,
        column::{id, moment, timestamp, value},
        contention::Contention,
        failure::Fault,
        index::{Indexes, index, partial_index},
        security::EventRow,
    },
    transfer::SignInFailureRecord,
};

/// The collection of counts, by folded address.
pub(in crate::mongodb) const COLLECTION: &str = "sign_in_failure";

/// How often the events of one count are handed over before the count is left for the next time.
const MAX_ROUNDS: u32 = 3;

#[derive(Debug, Deserialize)]
struct FailureRow {
    #[serde(rename = "_id")]
    email: String,
    count: i64,
    last_at: DateTime,
    #[serde(default)]
    events: Vec<ToldRow>,
}

/// A count that has nothing to tell.
#[derive(Serialize, Deserialize)]
pub(in crate::mongodb) struct CountRow {
    #[serde(rename = "_id")]
    email: String,
    count: i64,
    last_at: DateTime,
}

impl CountRow {
    /// The document of a record.
    pub(in crate::mongodb) fn of_record(record: &SignInFailureRecord) -> Self {
        Self {
            email: record.email.clone(),
            count: i64::from(record.count),
            last_at: moment(record.last_at),
        }
    }

    /// Makes a record of a count.
    pub(in crate::mongodb) fn into_record(self) -> SignInFailureRecord {
        SignInFailureRecord {
            email: self.email,
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            last_at: timestamp(self.last_at),
        }
    }
}

/// An event that is to be kept for an account.
#[derive(Debug, Serialize, Deserialize)]
struct ToldRow {
    user: Uuid,
    event: EventRow,
}

/// An account with addresses whose counts are to be forgotten.
#[derive(Deserialize)]
struct ForgetRow {
    #[serde(rename = "_id")]
    user: Uuid,
    #[serde(default)]
    forget: Vec<String>,
}

pub(super) fn indexes() -> Vec<Indexes> {
    let counts = vec![
        index(doc! { "last_at": 1 }),
        partial_index(
            doc! { "events.event.i": 1 },
            doc! { "events.event.i": { "$exists": true } },
        ),
    ];
    vec![(COLLECTION, counts)]
}

impl MongoStore {
    /// Tells how often the password was wrong under an address.
    pub(super) async fn count_failures(&self, email: &FoldedText) -> Result<SignInFailures, Fault> {
        let Some(row) = self.find_failures(email.as_str()).await? else {
            return Ok(SignInFailures::default());
        };
        if self.find_forgotten(email.as_str()).await?.is_some() {
            return Ok(SignInFailures::default());
        }
        Ok(row.failures())
    }

    /// Counts one more, and keeps an event for its account.
    pub(super) async fn add_failure(
        &self,
        email: &FoldedText,
        (now, forgotten_before): (Timestamp, Timestamp),
        event: Option<&SecurityEvent>,
    ) -> Result<SignInFailures, Fault> {
        let limit = self.connection.limit();
        let _turn = self.counting.wait(email.as_str(), limit).await?;
        if let Some(user) = self.find_forgotten(email.as_str()).await? {
            self.settle_forgotten(user, email.as_str()).await?;
        }
        let told = event.map(|event| ToldRow {
            user: id(event.user_id.as_uuid()),
            event: EventRow::of(event),
        });
        // What callers wrote is given as a literal: in a pipeline, a text may be an expression.
        let added = told.as_ref().map(value).transpose()?;
        let added: Vec<Bson> = added
            .map(|told| doc! { "$literal": told }.into())
            .into_iter()
            .collect();
        let is_forgotten =
            doc! { "$lt": [{ "$ifNull": ["$last_at", moment(now)] }, moment(forgotten_before)] };
        let before = doc! { "$cond": [is_forgotten, 0_i64, { "$ifNull": ["$count", 0_i64] }] };
        let step = doc! { "$set": {
            "count": { "$add": [before, 1_i64] },
            "last_at": moment(now),
            "events": { "$concatArrays": [{ "$ifNull": ["$events", []] }, added] },
        } };
        let row = self.upsert_failures(email.as_str(), step).await?;
        let after = row.failures();
        // Others hand over their own; what nobody did is left for [`Self::settle_accounts`].
        if let Some(told) = told
            && let Err(fault) = self.settle_events(email.as_str(), &[told]).await
        {
            tracing::warn!(?fault, "a security event will reach its account later");
        }
        Ok(after)
    }

    async fn upsert_failures(&self, email: &str, step: Document) -> Result<FailureRow, Fault> {
        let mut contention = Contention::default();
        loop {
            let collection = self.connection.collection::<FailureRow>(COLLECTION);
            let counting = collection
                .find_one_and_update(doc! { "_id": { "$eq": email } }, vec![step.clone()])
                .upsert(true)
                .return_document(ReturnDocument::After);
            match self.connection.run(counting).await {
                Ok(Some(row)) => return Ok(row),
                Ok(None) => {}
                // Two callers were the first.
                Err(fault) if fault.is_duplicate() => {}
                Err(fault) => return Err(fault),
            }
            contention.again().await?;
        }
    }

    /// Hands events of a count over to their accounts.
    async fn settle_events(&self, email: &str, events: &[ToldRow]) -> Result<(), Fault> {
        for told in events {
            self.keep_event(told.user, &told.event).await?;
        }
        let handed: Vec<Uuid> = events.iter().map(|told| told.event.id()).collect();
        let collection = self.connection.collection::<Document>(COLLECTION);
        let removing = collection.update_one(
            doc! { "_id": { "$eq": email } },
            doc! { "$pull": { "events": { "event.i": { "$in": handed } } } },
        );
        self.connection.run(removing).await?;
        Ok(())
    }

    /// Forgets the count under an address, as an account's document asks for.
    pub(in crate::mongodb) async fn settle_forgotten(&self, user: Uuid, email: &str) -> Result<(), Fault> {
        self.forget_failures(email).await?;
        let collection = self.connection.collection::<Document>(ACCOUNTS);
        let noting = collection.update_one(
            doc! { "_id": user },
            doc! { "$pull": { "forget": { "$eq": email } } },
        );
        self.connection.run(noting).await?;
        Ok(())
    }

    /// Forgets the count under an address, once its events are with their accounts.
    pub(in crate::mongodb) async fn forget_failures(&self, email: &str) -> Result<(), Fault> {
        for _ in 0..MAX_ROUNDS {
            let collection = self.connection.collection::<Document>(COLLECTION);
            let removing =
                collection.delete_one(doc! { "_id": { "$eq": email }, "events": { "$in": [[], null] } });
            if self.connection.run(removing).await?.deleted_count > 0 {
                return Ok(());
            }
            match self.find_failures(email).await? {
                Some(row) => self.settle_events(&row.email, &row.events).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Does what processes that died left to be done, for up to `limit` accounts and as many counts.
    pub(in crate::mongodb) async fn settle_accounts(&self, limit: u32) -> Result<(), Fault> {
        let limit = i64::from(limit.max(1));
        let collection = self.connection.collection::<ForgetRow>(ACCOUNTS);
        let accounts = collection
            .find(doc! { "forget": { "$gt": "" } })
            .projection(doc! { "forget": 1 })
            .limit(limit);
        for row in self.connection.read_all(accounts).await? {
            for email in row.forget {
                self.settle_forgotten(row.user, &email).await?;
            }
        }
        let collection = self.connection.collection::<FailureRow>(COLLECTION);
        let counts = collection
            .find(doc! { "events.event.i": { "$exists": true } })
            .limit(limit);
        for row in self.connection.read_all(counts).await? {
            self.settle_events(&row.email, &row.events).await?;
        }
        Ok(())
    }

    /// Tells whether something is left to be done by [`Self::settle_accounts`].
    pub(in crate::mongodb) async fn has_unsettled_accounts(&self) -> Result<bool, Fault> {
        let collection = self.connection.collection::<Document>(ACCOUNTS);
        let asking = collection
            .find_one(doc! { "forget": { "$gt": "" } })
            .projection(doc! { "_id": 1 });
        if self.connection.run(asking).await?.is_some() {
            return Ok(true);
        }
        let collection = self.connection.collection::<Document>(COLLECTION);
        let telling = collection
            .find_one(doc! { "events.event.i": { "$exists": true } })
            .projection(doc! { "_id": 1 });
        Ok(self.connection.run(telling).await?.is_some())
    }

    /// Removes counts whose last failure was before a moment; their events are with their accounts by then.
    pub(super) async fn remove_old_failures(&self, before: Timestamp, limit: u32) -> Result<u64, Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let old = doc! { "last_at": { "$lt": moment(before) }, "events": { "$in": [[], null] } };
        let listing = collection
            .find(old.clone())
            .projection(doc! { "_id": 1 })
            .sort(doc! { "last_at": 1 })
            .limit(i64::from(limit.max(1)));
        let rows = self.connection.read_all(listing).await?;
        let emails: Vec<Bson> = rows.into_iter().filter_map(|mut row| row.remove("_id")).collect();
        if emails.is_empty() {
            return Ok(0);
        }
        let mut still_old = old;
        still_old.insert("_id", doc! { "$in": emails });
        let removed = self.connection.run(collection.delete_many(still_old)).await?;
        Ok(removed.deleted_count)
    }

    async fn find_failures(&self, email: &str) -> Result<Option<FailureRow>, Fault> {
        let collection = self.connection.collection::<FailureRow>(COLLECTION);
        let reading = collection.find_one(doc! { "_id": { "$eq": email } });
        self.connection.run(reading).await
    }

    /// The account with which the count under an address is to be forgotten.
    async fn find_forgotten(&self, email: &str) -> Result<Option<Uuid>, Fault> {
        let collection = self.connection.collection::<ForgetRow>(ACCOUNTS);
        let reading = collection
            .find_one(doc! { "forget": { "$eq": email } })
            .projection(doc! { "forget": 1 });
        Ok(self.connection.run(reading).await?.map(|row| row.user))
    }
}

impl FailureRow {
    fn failures(&self) -> SignInFailures {
        SignInFailures {
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            last_at: timestamp(self.last_at),
        }
    }
}
