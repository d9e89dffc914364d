//! The embedded store as one end of a transfer.

mod account;
mod execution;
mod task;
mod claim;

use std::path::Path;

use async_trait::async_trait;
use model::{Error, ErrorCode, Result};
use rusqlite::{Connection, ErrorCode as DatabaseCode, OptionalExtension as _, params};
use uuid::Uuid;

use super::{
    SqliteStore,
    failure::{Fault, Outcome, to_error},
    ledger::Ledger,
};
use crate::transfer::{
    Cursor, MAX_PAGE_BYTES, MAX_PAGE_RECORDS, Mark, Part, Record, RecordPage, Transfer, half_done,
    is_half_done, read_mark, write_mark,
};

/// The label of the store's own name.
const STORE_ID: &str = "store_id";

/// The label of the mark of the transfer into this store.
const TRANSFER: &str = "transfer";

/// Refuses a store that a transfer has begun to fill.
///
/// # Errors
/// `Unavailable`, with what to do.
pub(super) fn require_whole(connection: &Connection, directory: &Path) -> Result<()> {
    match label(connection, TRANSFER).map_err(to_error)? {
        Some(mark) if is_half_done(&mark)? => {
            Err(half_done(&format!("the store in {}", directory.display())))
        }
        Some(_) | None => Ok(()),
    }
}

#[async_trait]
impl Transfer for SqliteStore {
    async fn store_id(&self, fresh: Uuid) -> Result<Uuid> {
        let text = self
            .writer
            .step(move |connection| {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO label (name, value) VALUES (?1, ?2)")?
                    .execute(params![STORE_ID, fresh.to_string()])?;
                Ok(label(connection, STORE_ID)?)
            })
            .await?;
        Uuid::try_parse(&text.unwrap_or_default()).map_err(Error::bug)
    }

    async fn settle(&self) -> Result<()> {
        // Each step is whole when it is written.
        Ok(())
    }

    async fn read_records(&self, from: &Cursor) -> Result<RecordPage> {
        let from = from.clone();
        self.readers
            .read(move |connection| read_page(connection, &from))
            .await
    }

    async fn is_empty(&self) -> Result<bool> {
        self.readers
            .read(|connection| {
                let sql = "SELECT EXISTS (SELECT 1 FROM user) OR EXISTS (SELECT 1 FROM sign_in_failure) \
                     OR EXISTS (SELECT 1 FROM execution) OR EXISTS (SELECT 1 FROM task) \
                     OR EXISTS (SELECT 1 FROM idempotency_claim)";
                let holds_something: bool = connection.query_row(sql, (), |row| row.get(0))?;
                Ok(!holds_something)
            })
            .await
    }

    async fn mark(&self) -> Result<Option<Mark>> {
        let found = self
            .readers
            .read(|connection| Ok(label(connection, TRANSFER)?))
            .await?;
        found.as_deref().map(read_mark).transpose()
    }

    async fn put_mark(&self, seen: Option<Uuid>, mark: &Mark) -> Result<bool> {
        let text = write_mark(mark)?;
        self.writer
            .step(move |connection| {
                let found = label(connection, TRANSFER)?;
                let found = found.as_deref().map(read_mark).transpose()?;
                let is_as_seen = found.map(|found| found.run) == seen;
                if is_as_seen {
                    set_mark(connection, &text)?;
                }
                Ok(is_as_seen)
            })
            .await
    }

    async fn write_records(&self, records: Vec<Record>, mark: &Mark) -> Result<()> {
        let (run, text) = (mark.run, write_mark(mark)?);
        self.writer
            .revise(move |connection, ledger| {
                let found = label(connection, TRANSFER)?;
                if found.as_deref() == Some(text.as_str()) {
                    return Ok(());
                }
                let found = found.as_deref().map(read_mark).transpose()?;
                if found.is_none_or(|found| found.run != run) {
                    let message = "another run of this migration has begun meanwhile; let that one finish";
                    return Err(Error::new(ErrorCode::Conflict, message).into());
                }
                for record in &records {
                    write_record(connection, ledger, record).map_err(refused)?;
                }
                set_mark(connection, &text)?;
                Ok(())
            })
            .await
    }

    async fn derive_rest(&self) -> Result<()> {
        self.writer
            .revise(|connection, ledger| {
                task::keep_ends(connection)?;
                // The queue was written around its ledger.
                ledger.tasks.forget();
                Ok(())
            })
            .await
    }
}

/// Reads the records that follow a cursor.
pub(super) fn read_page(connection: &Connection, from: &Cursor) -> Outcome<RecordPage> {
    let mut page = Filled::default();
    match from.part {
        Part::Accounts => account::read(connection, from.uuid()?, &mut page)?,
        Part::SignInFailures => claim::read_failures(connection, from, &mut page)?,
        Part::Executions => execution::read(connection, from.uuid()?, &mut page)?,
        Part::Tasks => task::read(connection, from.uuid()?, &mut page)?,
        Part::Claims => claim::read(connection, from, &mut page)?,
    }
    Ok(RecordPage {
        next: from.behind(page.last),
        records: page.records,
    })
}

/// A page that is being filled.
#[derive(Default)]
struct Filled {
    records: Vec<Record>,
    last: Option<String>,
    bytes: usize,
}

impl Filled {
    /// Adds a record with so many bytes of text; tells whether there is room for another one.
    fn add(&mut self, record: Record, (id, bytes): (String, usize)) -> bool {
        self.records.push(record);
        self.last = Some(id);
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes < MAX_PAGE_BYTES && self.records.len() < usize::from(MAX_PAGE_RECORDS)
    }
}

/// What sorts before the ids that follow this one.
fn behind(id: Option<Uuid>) -> Vec<u8> {
    id.map(|id| id.as_bytes().to_vec()).unwrap_or_default()
}

fn write_record(connection: &Connection, ledger: &mut Ledger, record: &Record) -> Outcome<()> {
    match record {
        Record::Account(account) => account::write(connection, account),
        Record::SignInFailure(failure) => claim::write_failure(connection, failure),
        Record::Execution(execution) => execution::write(connection, ledger, execution),
        Record::Task(task) => task::write(connection, ledger, task),
        Record::Claim(claim) => claim::write(connection, claim),
    }
}

/// Tells what a unique value that is taken means here.
fn refused(fault: Fault) -> Fault {
    match fault {
        Fault::Database(error) if error.sqlite_error_code() == Some(DatabaseCode::ConstraintViolation) => {
            let message = "a record has an id or a unique value that another one has in the target";
            Error::new(ErrorCode::Conflict, message).source(error).into()
        }
        Fault::Refused(_) | Fault::Database(_) | Fault::Torn(_) => fault,
    }
}

fn label(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM label WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn set_mark(connection: &Connection, text: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO label (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        )?
        .execute(params![TRANSFER, text])
        .map(|_| ())
}
