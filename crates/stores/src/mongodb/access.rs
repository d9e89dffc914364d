//! Changes of access, for the other processes on this database.
//!
//! One document holds the latest ones in their order. So no clock is asked which came first, a look that finds nothing
//! new moves nothing, and who finds its place in the list has missed nothing, also after a fail-over that undid what
//! it saw.

use std::collections::HashSet;

use ::mongodb::bson::{Document, Uuid, doc, oid::ObjectId};
use async_trait::async_trait;
use model::{AccessChanges, AccessLog, AccessMark, Error, Result, UserId};
use serde::Deserialize;

use super::{
    MongoStore,
    column::{id, uuid},
    contention::Contention,
};

const COLLECTION: &str = "access_change";

/// The one document.
const LOG: &str = "log";

/// How many changes are kept. Processes look several times a second; one that misses more forgets everybody.
const KEPT: i32 = 256;

/// The mark of a reading that found no document yet.
const BEGINNING: &str = "";

#[derive(Deserialize)]
struct LogRow {
    last: ObjectId,
    entries: Vec<EntryRow>,
}

#[derive(Deserialize)]
struct EntryRow {
    #[serde(rename = "i")]
    token: ObjectId,
    #[serde(rename = "u")]
    user: Uuid,
}

#[async_trait]
impl AccessLog for MongoStore {
    async fn note_access_change(&self, user: UserId) -> Result<()> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let mut contention = Contention::default();
        loop {
            let token = ObjectId::new();
            let entry = doc! { "i": token, "u": id(user.as_uuid()) };
            let noting = collection
                .update_one(
                    doc! { "_id": LOG },
                    doc! {
                        "$set": { "last": token },
                        "$push": { "entries": { "$each": [entry], "$slice": KEPT.saturating_neg() } },
                    },
                )
                .upsert(true);
            match self.connection.run(noting).await {
                Ok(_) => return Ok(()),
                // Two processes began it at the same moment.
                Err(fault) if fault.is_duplicate() => contention.again().await?,
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    async fn access_changes(&self, mark: &AccessMark) -> Result<AccessChanges> {
        let seen = match mark.last.as_deref() {
            None | Some(BEGINNING) => None,
            Some(text) => Some(ObjectId::parse_str(text).map_err(Error::bug)?),
        };
        let mut filter = doc! { "_id": LOG };
        if let Some(seen) = seen {
            filter.insert("last", doc! { "$ne": seen });
        }
        let collection = self.connection.collection::<LogRow>(COLLECTION);
        let found = self.connection.run(collection.find_one(filter)).await?;
        let is_first = mark.last.is_none();
        let Some(log) = found else {
            return Ok(AccessChanges {
                users: Vec::new(),
                is_complete: !is_first,
                mark: AccessMark {
                    last: Some(mark.last.clone().unwrap_or_default()),
                },
            });
        };
        let place = seen.and_then(|seen| log.entries.iter().position(|entry| entry.token == seen));
        let has_all = match seen {
            Some(_) => place.is_some(),
            None => !is_first && log.entries.len() < usize::try_from(KEPT).unwrap_or_default(),
        };
        let new = log.entries.iter().skip(place.map_or(0, |place| place + 1));
        let users: HashSet<UserId> = new.map(|entry| UserId::from_uuid(uuid(entry.user))).collect();
        Ok(AccessChanges {
            users: users.into_iter().collect(),
            is_complete: has_all,
            mark: AccessMark {
                last: Some(log.last.to_hex()),
            },
        })
    }
}
