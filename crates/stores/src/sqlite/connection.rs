//! How a connection to the database is set up.

use std::{path::Path, time::Duration};

use model::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::{
    failure::to_error,
    schema::{MIGRATIONS, check, migrate, unreadable},
};

/// How long a statement waits for another process that looks at the file (a backup, a shell).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 128;

/// What the log shrinks to when it is begun anew.
const JOURNAL_SIZE_LIMIT: u32 = 64 * 1024 * 1024;

/// Opens the connection that writes, and brings the store up to date.
///
/// # Errors
/// `Unavailable` with what to do, when the file is damaged, foreign, too new, or can't be written.
pub(super) fn open_first(path: &Path, cache_kib: u32) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| unreadable(path, error))?;
    check(&connection, path, MIGRATIONS)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
        .map_err(|error| unreadable(path, error))?;
    if mode != "wal" {
        return Err(Error::unavailable(format!(
            "the file system of {} has no shared memory, which the store needs; choose another DATA_DIR",
            path.display()
        )));
    }
    prepare_for_writing(&connection, cache_kib).map_err(to_error)?;
    migrate(&connection, path, MIGRATIONS)?;
    Ok(connection)
}

/// Opens one more connection that may write, to a store that is up to date.
pub(super) fn open_again(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare_for_writing(&connection, cache_kib)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection, cache_kib)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

fn prepare_for_writing(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    prepare(connection, cache_kib)?;
    // Checkpoints are made beside the writer, not inside somebody's commit.
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT};"
    ))
}

fn prepare(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; \
         PRAGMA cache_size = -{cache_kib};"
    ))
}
