//! Copies of the embedded store: made beside a server that runs, checked, and put in the place of a store.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use model::{Error, ErrorCode, Result};
use rusqlite::{Connection, OpenFlags};

use super::{
    STORE_FILE,
    failure::{fault_to_error, to_error},
    lock::{DirectoryLock, cannot_use},
    make_directory,
    schema::{MIGRATIONS, check, known_version, read_pragma, unreadable},
    transfer::{read_page, require_whole},
};
use crate::transfer::{Cursor, Digests};

/// What a copy of a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreContents {
    /// The version of its tables.
    pub schema: i64,
    /// Number and digest of each kind of record; `None` when the tables are of another version than this program's.
    pub digests: Option<Digests>,
}

/// Copies the store in `directory`, as it is at one moment, to the file `to`, which must be empty or missing.
///
/// Only reads, so that a server may work on the store meanwhile, whose writes don't wait. The copy is on disk when this
/// returns.
///
/// # Errors
/// `NotFound` when there is no store; `Unavailable` when it can't be read, is half filled, or the copy can't be written.
pub fn copy_store(directory: &Path, to: &Path) -> Result<()> {
    let path = directory.join(STORE_FILE);
    if !path.is_file() {
        let message = format!("there is no store in {}", directory.display());
        return Err(Error::new(ErrorCode::NotFound, message));
    }
    let connection = open_alone(&path)?;
    check(&connection, &path, MIGRATIONS)?;
    if read_pragma(&connection, &path, "user_version")? == known_version(MIGRATIONS) {
        require_whole(&connection, directory)?;
    }
    let target = to.to_str().ok_or_else(|| {
        Error::unavailable(format!(
            "the name {} isn't text in UTF-8; choose another",
            to.display()
        ))
    })?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(|error| {
        let message = format!("the store can't be copied to {} ({error})", to.display());
        Error::unavailable(message).source(error)
    })?;
    File::open(to)
        .and_then(|copy| copy.sync_all())
        .map_err(|error| cannot_use(to, error))
}

/// Checks a copy of a store as a whole, and reads what it holds.
///
/// # Errors
/// `Unavailable`, with what is wrong: it is damaged, another program's, half filled, or a newer version's.
pub fn inspect_store(file: &Path) -> Result<StoreContents> {
    let connection = open_alone(file)?;
    check(&connection, file, MIGRATIONS)?;
    let damage: String = connection
        .query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))
        .map_err(|error| unreadable(file, error))?;
    if damage != "ok" {
        return Err(Error::unavailable(format!(
            "{} is damaged: {damage}",
            file.display()
        )));
    }
    let has_orphans = connection
        .prepare("PRAGMA foreign_key_check")
        .and_then(|mut statement| statement.exists(()))
        .map_err(|error| unreadable(file, error))?;
    if has_orphans {
        let message = format!(
            "{} holds things of accounts that are missing in it",
            file.display()
        );
        return Err(Error::unavailable(message));
    }
    let schema = read_pragma(&connection, file, "user_version")?;
    if schema != known_version(MIGRATIONS) {
        return Ok(StoreContents {
            schema,
            digests: None,
        });
    }
    require_whole(&connection, file)?;
    Ok(StoreContents {
        schema,
        digests: Some(digest(&connection)?),
    })
}

fn digest(connection: &Connection) -> Result<Digests> {
    let mut digests = Digests::default();
    let mut cursor = Some(Cursor::begin());
    while let Some(from) = cursor {
        let page = read_page(connection, &from).map_err(fault_to_error)?;
        page.records.iter().for_each(|record| digests.add(record));
        cursor = page.next;
    }
    Ok(digests)
}

/// Opens a store that others may use, to read it.
fn open_alone(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| unreadable(path, error))?;
    connection
        .busy_timeout(super::connection::BUSY_TIMEOUT)
        .and_then(|()| connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"))
        .map_err(to_error)?;
    Ok(connection)
}

/// A data directory that a store is being put into; nobody else can use it meanwhile.
pub struct Restoration {
    directory: PathBuf,
    _lock: DirectoryLock,
}

impl Restoration {
    /// Takes a data directory, which is made when it is missing.
    ///
    /// # Errors
    /// `Unavailable`, with what to do: a server uses it, or it can't be written.
    pub fn begin(directory: &Path) -> Result<Self> {
        let directory = make_directory(directory)?;
        Ok(Self {
            _lock: DirectoryLock::take(&directory)?,
            directory,
        })
    }

    /// The directory's full name.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts a checked copy, which lies in the same directory, in the place of the store with one renaming. A store
    /// that is there is kept under the name that `kept` gives; tells whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when the directory can't be written; the store that was there is at its place or under that name.
    pub fn place(&self, copy: &Path, kept: &str) -> Result<bool> {
        let store = self.directory.join(STORE_FILE);
        let was_there = store.exists();
        let placed = self
            .keep(&store, kept)
            .and_then(|()| fs::rename(copy, &store))
            .and_then(|()| File::open(&self.directory)?.sync_all());
        placed.map_err(|error| cannot_use(&self.directory, error))?;
        Ok(was_there)
    }

    fn keep(&self, store: &Path, kept: &str) -> std::io::Result<()> {
        let log = self.directory.join(format!("{STORE_FILE}-wal"));
        let index = self.directory.join(format!("{STORE_FILE}-shm"));
        if store.exists() {
            if let Err(error) = empty_log(store) {
                tracing::warn!(%error, "the store that is replaced is damaged; it is kept as it is");
            }
            let kept = self.directory.join(kept);
            link_or_copy(store, &kept)?;
            if log.exists() {
                let mut name = kept.into_os_string();
                name.push("-wal");
                link_or_copy(&log, Path::new(&name))?;
            }
        }
        // A log of another store must not be taken for one of the copy.
        for leftover in [log, index] {
            match fs::remove_file(leftover) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Brings what is in the log into the store itself; the log is gone when this connection ends.
fn empty_log(store: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
}

fn link_or_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    // Some file systems know no links.
    fs::hard_link(from, to).or_else(|_| {
        fs::copy(from, to)?;
        File::open(to)?.sync_all()
    })
}
