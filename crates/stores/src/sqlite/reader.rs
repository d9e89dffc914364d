//! A bounded pool of connections that only read.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    connection::open_reader,
    failure::{Condition, Fault, Loss, Outcome, fault_to_error},
};

/// After how many instructions of the database's machine the deadline is looked at: well under a millisecond.
const CHECK_EVERY: i32 = 4096;

/// Readers, opened when they are first needed.
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    count: u32,
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    cache_kib: u32,
    deadline: Duration,
    condition: Arc<Condition>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool of up to `count` connections; a read takes `deadline` at most, waiting for a connection apart.
    pub(super) fn new(
        path: PathBuf,
        (count, cache_kib): (u16, u32),
        deadline: Duration,
        condition: Arc<Condition>,
    ) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(usize::from(count.max(1)))),
            count: u32::from(count.max(1)),
            pool: Arc::new(Pool {
                path,
                cache_kib,
                deadline,
                condition,
                idle: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Reads, on a blocking thread. All that `work` sees is of one moment.
    ///
    /// # Errors
    /// `Unavailable` when the database fails or the read takes too long, `Overloaded` when too many are waiting.
    pub(super) async fn read<R, F>(&self, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<R> + Send + 'static,
    {
        let permit = match timeout(self.pool.deadline, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Loss::Closed.error()),
            Err(_) => {
                let message = "too many reads are waiting; try again later";
                return Err(Error::new(ErrorCode::Overloaded, message).retry_after(Duration::from_secs(1)));
            }
        };
        let pool = Arc::clone(&self.pool);
        let read = tokio::task::spawn_blocking(move || {
            let result = pool.read(work);
            // Held until the connection is back, even when the caller went away.
            drop(permit);
            result
        });
        read.await.unwrap_or_else(|error| Err(Error::bug(error)))
    }

    /// Waits for running reads, refuses later ones, and lets go of the connections.
    pub(super) async fn close(&self) {
        let all = timeout(self.pool.deadline, self.permits.acquire_many(self.count)).await;
        self.permits.close();
        drop(all);
        self.pool.idle.lock().clear();
    }
}

impl Pool {
    fn read<R>(&self, work: impl FnOnce(&Connection) -> Outcome<R>) -> Result<R> {
        let result = self.try_read(work);
        if let Err(Fault::Database(error) | Fault::Torn(error)) = &result {
            self.condition.note(error);
        }
        result.map_err(fault_to_error)
    }

    fn try_read<R>(&self, work: impl FnOnce(&Connection) -> Outcome<R>) -> Outcome<R> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path, self.cache_kib)?,
        };
        let until = Instant::now().checked_add(self.deadline);
        let is_over = move || until.is_some_and(|until| Instant::now() >= until);
        connection.progress_handler(CHECK_EVERY, Some(is_over))?;
        connection.prepare_cached("BEGIN DEFERRED")?.execute(())?;
        let result = work(&connection);
        // A connection that can't end its transaction is not used again.
        connection.prepare_cached("COMMIT")?.execute(())?;
        connection.progress_handler(0, None::<fn() -> bool>)?;
        self.idle.lock().push(connection);
        result
    }
}

#[cfg(test)]
mod tests {
    use model::ErrorKind;

    use super::*;
    use crate::sqlite::connection::open_first;

    fn readers(deadline: Duration) -> (tempfile::TempDir, Readers) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite3");
        std::fs::write(&path, "").unwrap();
        drop(open_first(&path, 256).unwrap());
        let readers = Readers::new(path, (1, 256), deadline, Arc::new(Condition::default()));
        (directory, readers)
    }

    #[tokio::test]
    async fn a_read_without_end_is_stopped_and_its_connection_reads_on() {
        let (_directory, readers) = readers(Duration::from_millis(50));
        let endless = readers
            .read(|connection| {
                let sql =
                    "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
                Ok(connection.query_row(sql, (), |row| row.get::<_, i64>(0))?)
            })
            .await;
        assert_eq!(endless.unwrap_err().kind(), ErrorKind::Unavailable);
        let one = readers
            .read(|connection| Ok(connection.query_row("SELECT 1", (), |row| row.get::<_, i64>(0))?))
            .await;
        assert_eq!(one.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_reader_can_not_write() {
        let (_directory, readers) = readers(Duration::from_secs(5));
        let written = readers
            .read(|connection| Ok(connection.execute("INSERT INTO fact VALUES ('a', 1)", ())?))
            .await;
        assert!(written.is_err());
    }
}
