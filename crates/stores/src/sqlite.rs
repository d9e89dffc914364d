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

use std::{
    fs::{self, DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use model::{AccessLog, Result, Store};

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
    /// the store in it is damaged, another program's, or a newer version's.
    pub fn open(directory: &Path, options: &SqliteOptions) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| cannot_use(directory, error))?;
        let directory = fs::canonicalize(directory).map_err(|error| cannot_use(directory, error))?;
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
        let connection = open_first(&path, options.writer_cache_kib)?;
        let condition = Arc::new(Condition::default());
        let checkpointer = Checkpointer::start(path.clone(), Arc::clone(&condition))?;
        let queue = (options.queue_length.max(1), options.queue_wait);
        let writer = Writer::start(connection, lock, Arc::clone(&condition), checkpointer, queue)?;
        let pool = (options.readers, options.reader_cache_kib);
        let readers = Readers::new(path, pool, options.read_deadline, Arc::clone(&condition));
        Ok(Self {
            readers,
            writer,
            condition,
        })
    }
}

/// One process has this store, and hears of its own changes by itself.
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
