//! Accounts as they are carried from store to store.

use ::mongodb::bson::{Bson, Document, serialize_to_document};
use model::{Error, FoldedText, KeyHash, PasswordHash, Result, UserId};
use serde::Deserialize;

use super::{AccountRow, KeyRow};
use crate::{
    mongodb::{
        column::{digest, id, moment, timestamp, uuid, value},
        security::EventRow,
        session::SessionRow,
    },
    transfer::{AccountRecord, KeyRecord},
};

/// What belongs to an account and stands in its document.
#[derive(Deserialize)]
pub(in crate::mongodb) struct BelongingsRow {
    #[serde(default)]
    sessions: Vec<SessionRow>,
    #[serde(default)]
    events: Vec<EventRow>,
    #[serde(default)]
    days: Vec<i64>,
}

impl AccountRow {
    /// Makes a record of an account.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(in crate::mongodb) fn into_record(self, belongings: BelongingsRow) -> Result<AccountRecord> {
        let owner = UserId::from_uuid(uuid(self.id));
        let sessions = belongings.sessions.into_iter();
        let mut sessions: Vec<_> = sessions
            .map(|row| row.into_session(owner))
            .collect::<Result<_>>()?;
        sessions.sort_unstable_by_key(|session| session.id.as_uuid());
        let events = belongings.events.into_iter();
        let mut events: Vec<_> = events.map(|row| row.into_event(owner)).collect::<Result<_>>()?;
        events.sort_unstable_by_key(|event| event.id.as_uuid());
        let keys = self.keys.into_iter().map(|row| {
            Ok(KeyRecord {
                hash: KeyHash(digest(&row.hash)?),
                key: row.into_key(owner)?,
            })
        });
        let mut keys: Vec<_> = keys.collect::<Result<_>>()?;
        keys.sort_unstable_by_key(|record| record.key.id.as_uuid());
        let mut days = belongings.days;
        days.sort_unstable();
        days.dedup();
        Ok(AccountRecord {
            id: owner,
            email: self.email,
            username: self.username,
            role: self.role,
            is_active: self.active,
            is_email_verified: self.verified,
            last_login: self.last_login.map(timestamp),
            metadata: self.metadata,
            created_at: timestamp(self.created_at),
            updated_at: timestamp(self.updated_at),
            password_hash: PasswordHash::new(self.password_hash),
            sessions,
            keys,
            events,
            days,
        })
    }
}

/// The whole document of an account.
///
/// # Errors
/// `Bug` when it can't be one.
pub(in crate::mongodb) fn whole_row(account: &AccountRecord) -> Result<Document> {
    let keys = account.keys.iter();
    let row = AccountRow {
        id: id(account.id.as_uuid()),
        version: 0,
        email: account.email.clone(),
        email_folded: FoldedText::of(&account.email).as_str().to_owned(),
        username: account.username.clone(),
        username_folded: FoldedText::of(&account.username).as_str().to_owned(),
        role: account.role.clone(),
        active: account.is_active,
        verified: account.is_email_verified,
        last_login: account.last_login.map(moment),
        metadata: account.metadata.clone(),
        created_at: moment(account.created_at),
        updated_at: moment(account.updated_at),
        password_hash: account.password_hash.as_str().to_owned(),
        first: None,
        keys: keys.map(|record| KeyRow::of(&record.key, record.hash)).collect(),
    };
    let mut document = serialize_to_document(&row).map_err(Error::bug)?;
    let sessions: Vec<SessionRow> = account.sessions.iter().map(SessionRow::of).collect();
    let events: Vec<EventRow> = account.events.iter().map(EventRow::of).collect();
    document.insert("sessions", value(&sessions)?);
    document.insert("events", value(&events)?);
    document.insert("days", value(&account.days)?);
    for list in ["forget", "guards"] {
        document.insert(list, Bson::Array(Vec::new()));
    }
    Ok(document)
}
