//! Reading documents in the order of their ids.

use ::mongodb::{
    bson::{Bson, RawDocumentBuf, deserialize_from_slice, doc},
    error::Result as DriverResult,
};
use model::{Error, Result};
use serde::de::DeserializeOwned;

use crate::{
    mongodb::{
        MongoStore,
        collection::{ACCOUNTS, TASKS},
        execution::{self, ExecutionRow},
        failure::Fault,
        idempotency::{self, StoredClaim},
        session::{self, CountRow},
        task::TaskRow,
        user::{AccountRow, BelongingsRow},
    },
    transfer::{MAX_PAGE_BYTES, MAX_PAGE_RECORDS, Part, Record, write_hex},
};

impl MongoStore {
    /// Reads the documents of a part that follow an id, as many as fit on a page.
    pub(super) async fn read_after(
        &self,
        part: Part,
        after: Option<Bson>,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let (name, kind) = match part {
            Part::Accounts => (ACCOUNTS, "binData"),
            Part::SignInFailures => (session::FAILURES, "string"),
            Part::Executions => (execution::COLLECTION, "binData"),
            // How far turns have come stands among them, under texts.
            Part::Tasks => (TASKS, "binData"),
            Part::Claims => (idempotency::COLLECTION, "binData"),
        };
        let mut filter = match after {
            Some(after) => doc! { "_id": { "$gt": after } },
            None => doc! { "_id": { "$type": kind } },
        };
        if part == Part::Tasks {
            // One that doesn't count yet was submitted by nobody.
            filter.insert("s", doc! { "$gte": 0 });
        }
        let collection = self.connection.raw(name);
        let listing = collection
            .find(filter)
            .sort(doc! { "_id": 1 })
            .limit(i64::from(MAX_PAGE_RECORDS))
            .max_time(self.connection.limit());
        self.connection.run(read_fitting(listing.into_future())).await
    }
}

async fn read_fitting(
    listing: impl Future<Output = DriverResult<::mongodb::Cursor<RawDocumentBuf>>> + Send,
) -> DriverResult<Vec<RawDocumentBuf>> {
    let mut cursor = listing.await?;
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    while bytes < MAX_PAGE_BYTES && cursor.advance().await? {
        let row = cursor.current().to_owned();
        bytes = bytes.saturating_add(row.as_bytes().len());
        rows.push(row);
    }
    Ok(rows)
}

/// Makes records of documents.
pub(super) fn read_rows(part: Part, rows: &[RawDocumentBuf]) -> Result<Vec<Record>> {
    let rows = rows.iter();
    match part {
        Part::Accounts => rows.map(read_account).collect(),
        Part::SignInFailures => rows
            .map(|row| Ok(Record::SignInFailure(read::<CountRow>(row)?.into_record())))
            .collect(),
        Part::Executions => rows
            .map(|row| {
                Ok(Record::Execution(Box::new(
                    read::<ExecutionRow>(row)?.into_record(),
                )))
            })
            .collect(),
        Part::Tasks => rows
            .map(|row| Ok(Record::Task(Box::new(read::<TaskRow>(row)?.into_record()?))))
            .collect(),
        Part::Claims => rows
            .map(|row| Ok(Record::Claim(read::<StoredClaim>(row)?.into_record()?)))
            .collect(),
    }
}

fn read_account(row: &RawDocumentBuf) -> Result<Record> {
    let belongings: BelongingsRow = read(row)?;
    let account: AccountRow = read(row)?;
    Ok(Record::Account(Box::new(account.into_record(belongings)?)))
}

fn read<T: DeserializeOwned>(row: &RawDocumentBuf) -> Result<T> {
    deserialize_from_slice(row.as_bytes()).map_err(Error::bug)
}

/// The id of a record, as a cursor has it.
pub(super) fn place_of(record: &Record) -> String {
    match record {
        Record::Account(account) => account.id.to_string(),
        Record::SignInFailure(failure) => failure.email.clone(),
        Record::Execution(execution) => execution.id.to_string(),
        Record::Task(task) => task.id.to_string(),
        Record::Claim(claim) => write_hex(&claim.key),
    }
}
