//! The embedded store: one SQLite database in the data directory.
//!
//! One thread writes, and takes all writes that wait into one durable transaction; a few connections read
//! beside it. `rusqlite` is known here and nowhere else.

mod failure;
mod lock;
mod schema;
mod connection;
mod column;
mod paging;
mod lanes;
mod ledger;
mod checkpoint;
mod writer;
mod reader;
mod activity;
mod security;
mod session;
mod user;
mod key;
mod execution;
mod task;
mod idempotency;
mod transfer;
mod backup;

use std::{
    fs::{self, DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use model::{AccessLog, Result, Store};
use rusqlite::Connection;

pub use self::backup::{Restoration, StoreContents, copy_store, inspect_store};
use self::{
    checkpoint::Checkpointer,
    connection::open_first,
    failure::{Condition, Loss},
    lock::{DirectoryLock, cannot_use},
    reader::Readers,
    writer::Writer,
};

/// The name of the database in the data directory.
const STORE_FILE: &str = "store.sqlite3";

/// How much the embedded store may use.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// How many connections read at once; each is opened when it is first needed.
    pub readers: u16,
    /// The page cache of the writer, in KiB; it fills with use.
    pub writer_cache_kib: u32,
    /// The page cache of each reader, in KiB; it fills with use.
    pub reader_cache_kib: u32,
    /// How long one read may take, and how long it may wait for a connection before that.
    pub read_deadline: Duration,
    /// How many writes may wait.
    pub queue_length: usize,
    /// How long a write waits for a place among them before it is refused.
    pub queue_wait: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            writer_cache_kib: 8 * 1024,
            reader_cache_kib: 2 * 1024,
            read_deadline: Duration::from_secs(5),
            queue_length: 4096,
            queue_wait: Duration::from_secs(5),
        }
    }
}

/// The store on one SQLite database. Writes are acknowledged once they are on disk.
pub struct SqliteStore {
    // Dropped first, so that the writer can empty the log when it ends.
    readers: Readers,
    writer: Writer,
    condition: Arc<Condition>,
}

impl SqliteStore {
    /// Opens the store in `directory`, which is made when it is missing (mode 0700), and brings it up to date.
    ///
    /// The directory is this process's alone until the store is closed or dropped.
    ///
    /// # Errors
    /// `Unavailable`, naming the directory and what to do: another process uses it, it can't be written, or
    /// the store in it is damaged, half filled, another program's, or a newer version's.
    pub fn open(directory: &Path, options: &SqliteOptions) -> Result<Self> {
        let ready = Ready::of(directory, options)?;
        transfer::require_whole(&ready.connection, directory)?;
        ready.start(options)
    }

    /// Opens the store as [`Self::open`] does, but one that is half filled too: as one end of a transfer.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for_transfer(directory: &Path, options: &SqliteOptions) -> Result<Self> {
        Ready::of(directory, options)?.start(options)
    }
}

/// A store that is up to date and this process's own.
struct Ready {
    lock: DirectoryLock,
    path: PathBuf,
    connection: Connection,
}

impl Ready {
    fn of(directory: &Path, options: &SqliteOptions) -> Result<Self> {
        let directory = make_directory(directory)?;
        let lock = DirectoryLock::take(&directory)?;
        let path = directory.join(STORE_FILE);
        // SQLite gives the log beside it the same mode.
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| cannot_use(&directory, error))?;
        Ok(Self {
            connection: open_first(&path, options.writer_cache_kib)?,
            lock,
            path,
        })
    }

    fn start(self, options: &SqliteOptions) -> Result<SqliteStore> {
        let condition = Arc::new(Condition::default());
        let checkpointer = Checkpointer::start(self.path.clone(), Arc::clone(&condition))?;
        let queue = (options.queue_length.max(1), options.queue_wait);
        let writer = Writer::start(
            self.connection,
            self.lock,
            Arc::clone(&condition),
            checkpointer,
            queue,
        )?;
        let pool = (options.readers, options.reader_cache_kib);
        let readers = Readers::new(self.path, pool, options.read_deadline, Arc::clone(&condition));
        Ok(SqliteStore {
            readers,
            writer,
            condition,
        })
    }
}

/// Makes a directory, if need be, and gives its full name.
fn make_directory(directory: &Path) -> Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| fs::canonicalize(directory))
        .map_err(|error| cannot_use(directory, error))
}

// One process: what it changes it knows.
impl AccessLog for SqliteStore {}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn ping(&self) -> Result<Duration> {
        if self.condition.has_failed() {
            return Err(Loss::StoreFailed.error());
        }
        let begin = Instant::now();
        self.readers
            .read(|connection| {
                let mut statement = connection.prepare_cached("SELECT count(*) FROM fact")?;
                Ok(statement.query_row((), |row| row.get::<_, i64>(0))?)
            })
            .await?;
        Ok(begin.elapsed())
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await;
        if self.writer.close().await? {
            Ok(())
        } else {
            Err(Loss::Closed.error())
        }
    }
}
