//! Adding documents, those apart that are there.

use std::collections::BTreeMap;

use ::mongodb::{
    bson::{RawDocumentBuf, serialize_to_raw_document_buf},
    error::{Error as DriverError, ErrorKind},
};
use model::{Error, ErrorCode, Result};

use crate::{
    mongodb::{
        MongoStore,
        collection::{ACCOUNTS, TASKS},
        execution::{self, ExecutionRow},
        failure::{Fault, is_duplicate},
        idempotency::{self, StoredClaim},
        session::{self, CountRow},
        task::TaskRow,
        user,
    },
    transfer::Record,
};

impl MongoStore {
    /// Adds records that aren't there.
    pub(super) async fn add_records(&self, records: &[Record]) -> Result<()> {
        let mut by_collection: BTreeMap<&str, Vec<RawDocumentBuf>> = BTreeMap::new();
        for record in records {
            let (name, row) = row_of(record)?;
            by_collection.entry(name).or_default().push(row);
        }
        for (name, rows) in by_collection {
            let collection = self.connection.raw(name);
            let inserting = collection.insert_many(rows).ordered(false);
            match self.connection.run(inserting).await {
                Ok(_) => {}
                Err(Fault::Database(error)) if are_all_there(&error) => {}
                Err(Fault::Database(error)) if is_clash(&error) => return Err(clash().source(error)),
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}

fn row_of(record: &Record) -> Result<(&'static str, RawDocumentBuf)> {
    Ok(match record {
        Record::Account(account) => (ACCOUNTS, raw(&user::whole_row(account)?)?),
        Record::SignInFailure(failure) => (session::FAILURES, raw(&CountRow::of_record(failure))?),
        Record::Execution(execution) => (execution::COLLECTION, raw(&ExecutionRow::of_record(execution)?)?),
        Record::Task(task) => (TASKS, raw(&TaskRow::of_record(task))?),
        Record::Claim(claim) => (idempotency::COLLECTION, raw(&StoredClaim::of_record(claim))?),
    })
}

fn raw(row: &impl serde::Serialize) -> Result<RawDocumentBuf> {
    serialize_to_raw_document_buf(row).map_err(Error::bug)
}

/// Tells whether documents were refused only since their own ids are there.
fn are_all_there(error: &DriverError) -> bool {
    refusals(error).is_some_and(|refusals| {
        let mut refusals = refusals.iter();
        refusals.all(|(code, message)| is_duplicate(*code) && message.contains("index: _id_ "))
    })
}

/// Tells whether documents were refused only since unique values are taken.
fn is_clash(error: &DriverError) -> bool {
    refusals(error).is_some_and(|refusals| refusals.iter().all(|(code, _)| is_duplicate(*code)))
}

fn refusals(error: &DriverError) -> Option<Vec<(i32, &str)>> {
    let ErrorKind::InsertMany(failure) = error.kind.as_ref() else {
        return None;
    };
    let refused = failure.write_errors.as_ref()?;
    let is_durable = failure.write_concern_error.is_none();
    let refusals = refused
        .iter()
        .map(|refusal| (refusal.code, refusal.message.as_str()));
    is_durable.then(|| refusals.collect())
}

fn clash() -> Error {
    let message = "a record has a unique value that another one has in the target";
    Error::new(ErrorCode::Conflict, message)
}

/// Says that another run goes on with the transfer.
pub(super) fn taken_over() -> Error {
    let message = "another run of this migration has begun meanwhile; let that one finish";
    Error::new(ErrorCode::Conflict, message)
}
