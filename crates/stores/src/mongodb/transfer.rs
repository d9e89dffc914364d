//! The shared store as one end of a transfer.

mod reading;
mod writing;

use ::mongodb::bson::{Bson, Document, doc};
use async_trait::async_trait;
use model::{Error, Result};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    MongoStore,
    collection::{ACCOUNTS, TASKS},
    column, execution,
    failure::Fault,
    idempotency,
    schema::META,
    session,
};
use crate::transfer::{
    Cursor, Mark, Part, Record, RecordPage, Transfer, half_done, is_half_done, read_hex, read_mark,
    write_mark,
};

/// Where the store's own name stands, in the collection of what concerns the whole database.
const STORE_ID: &str = "store";

/// Where the mark of the transfer into this store stands.
const TRANSFER: &str = "transfer";

/// How many accounts, or counts, are brought to rest at once.
const SETTLED_AT_ONCE: u32 = 1_000;

#[derive(Deserialize)]
struct NameRow {
    name: String,
}

#[derive(Deserialize)]
struct MarkRow {
    run: String,
    mark: String,
}

impl MongoStore {
    /// Refuses a database that a transfer has begun to fill.
    ///
    /// # Errors
    /// `Unavailable`, with what to do.
    pub(super) async fn require_whole(&self) -> Result<()> {
        match self.read_mark_row().await? {
            Some(row) if is_half_done(&row.mark)? => {
                let place = format!("the database {}", self.connection.database().name());
                Err(half_done(&place))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn read_mark_row(&self) -> Result<Option<MarkRow>, Fault> {
        let meta = self.connection.collection::<MarkRow>(META);
        self.connection.run(meta.find_one(doc! { "_id": TRANSFER })).await
    }
}

#[async_trait]
impl Transfer for MongoStore {
    async fn store_id(&self, fresh: Uuid) -> Result<Uuid> {
        let meta = self.connection.collection::<NameRow>(META);
        let naming = meta
            .update_one(
                doc! { "_id": STORE_ID },
                doc! { "$setOnInsert": { "name": fresh.to_string() } },
            )
            .upsert(true);
        match self.connection.run(naming).await {
            Ok(_) => {}
            Err(fault) if fault.is_duplicate() => {}
            Err(fault) => return Err(fault.into()),
        }
        let found = self
            .connection
            .run(meta.find_one(doc! { "_id": STORE_ID }))
            .await?;
        Uuid::try_parse(&found.map(|row| row.name).unwrap_or_default()).map_err(Error::bug)
    }

    async fn settle(&self) -> Result<()> {
        while self.has_unsettled_accounts().await? {
            self.settle_accounts(SETTLED_AT_ONCE).await?;
        }
        self.settle_tasks().await
    }

    async fn read_records(&self, from: &Cursor) -> Result<RecordPage> {
        let after = match from.part {
            Part::Accounts | Part::Executions | Part::Tasks => {
                from.uuid()?.map(|after| Bson::from(column::id(after)))
            }
            Part::SignInFailures => from.after.clone().map(Bson::from),
            Part::Claims => match &from.after {
                Some(text) => {
                    let key = read_hex(text).ok_or_else(|| Error::bug("a cursor has no key"))?;
                    Some(column::bytes(&key).into())
                }
                None => None,
            },
        };
        let rows = self.read_after(from.part, after).await?;
        let records: Vec<Record> = reading::read_rows(from.part, &rows)?;
        Ok(RecordPage {
            next: from.behind(records.last().map(reading::place_of)),
            records,
        })
    }

    async fn is_empty(&self) -> Result<bool> {
        let collections = [
            ACCOUNTS,
            session::FAILURES,
            execution::COLLECTION,
            TASKS,
            idempotency::COLLECTION,
        ];
        for name in collections {
            let collection = self.connection.collection::<Document>(name);
            let looking = collection.find_one(doc! {}).projection(doc! { "_id": 1 });
            if self.connection.run(looking).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn mark(&self) -> Result<Option<Mark>> {
        let row = self.read_mark_row().await?;
        row.map(|row| read_mark(&row.mark)).transpose()
    }

    async fn put_mark(&self, seen: Option<Uuid>, mark: &Mark) -> Result<bool> {
        let (run, text) = (mark.run.to_string(), write_mark(mark)?);
        let meta = self.connection.collection::<Document>(META);
        let Some(seen) = seen else {
            let adding = meta.insert_one(doc! { "_id": TRANSFER, "run": run, "mark": text });
            return match self.connection.run(adding).await {
                Ok(_) => Ok(true),
                Err(fault) if fault.is_duplicate() => Ok(false),
                Err(fault) => Err(fault.into()),
            };
        };
        let putting = meta.update_one(
            doc! { "_id": TRANSFER, "run": seen.to_string() },
            doc! { "$set": { "run": run, "mark": text } },
        );
        Ok(self.connection.run(putting).await?.matched_count > 0)
    }

    async fn write_records(&self, records: Vec<Record>, mark: &Mark) -> Result<()> {
        let found = self.read_mark_row().await?;
        if found.is_none_or(|found| found.run != mark.run.to_string()) {
            return Err(writing::taken_over());
        }
        self.add_records(&records).await?;
        if self.put_mark(Some(mark.run), mark).await? {
            Ok(())
        } else {
            Err(writing::taken_over())
        }
    }

    async fn derive_rest(&self) -> Result<()> {
        self.mark_awaited_tasks().await?;
        self.keep_all_lanes().await?;
        self.derive_turns().await
    }
}
