//! A mark that all processes on one database have in common.

use ::mongodb::bson::{Binary, doc, spec::BinarySubtype};
use ::mongodb::options::ReturnDocument;
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{MongoStore, failure::Fault, schema::META};

/// Under which id the mark stands in the collection of what concerns the whole database.
const ID: &str = "secrets";

#[derive(Debug, Serialize, Deserialize)]
struct MarkRow {
    mark: Binary,
}

impl MongoStore {
    /// Leaves the mark of a process's secrets when it is the first on this database, and otherwise compares it with the
    /// first one's. Atomic: of processes that come at the same time, one is the first.
    ///
    /// # Errors
    /// `Conflict`, with what to do, when the mark is another; `Unavailable` when the database can't be reached.
    pub async fn require_mark(&self, mark: &[u8; 32]) -> Result<()> {
        let database = self.connection.database();
        let meta = database.collection::<MarkRow>(META);
        let bytes = Binary {
            subtype: BinarySubtype::Generic,
            bytes: mark.to_vec(),
        };
        let leave = meta
            .find_one_and_update(doc! { "_id": ID }, doc! { "$setOnInsert": { "mark": bytes } })
            .upsert(true)
            .return_document(ReturnDocument::After);
        let found = match self.connection.run(leave).await {
            // Another one was quicker.
            Err(fault) if fault.is_duplicate() => {
                self.connection.run(meta.find_one(doc! { "_id": ID })).await?
            }
            found => found?,
        };
        match found {
            Some(row) if row.mark.bytes == mark => Ok(()),
            Some(_) => Err(differing(database.name())),
            None => Err(Fault::Refused(Error::bug("a mark was left and isn't there")).into()),
        }
    }
}

fn differing(database: &str) -> Error {
    Error::new(
        model::ErrorCode::Conflict,
        format!(
            "JWT_SECRET and REFRESH_TOKEN_SECRET are not those of the other processes on the database {database}: give \
             this one the same. To change them for all, which ends every session: stop every process, remove the mark of \
             the old ones with db.meta.deleteOne({{_id: \"{ID}\"}}) there, and start them with the new ones"
        ),
    )
}
