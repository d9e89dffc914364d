//! Moves what is in the write-ahead log to its place in the database, beside the writer.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use model::{Error, Result};
use rusqlite::Connection;

use super::{connection::open_again, failure::Condition};

/// How often the length of the log is looked at, in commits.
const LOOK_EVERY: u32 = 8;

/// How many pages of 4 KiB wait in the log when a checkpoint is made: 8 MiB.
const DUE_PAGES: i64 = 2048;

/// From how many pages on the log is to be begun anew: 32 MiB. It can be only when all of it is checkpointed, so
/// the writer itself does the little that came after the thread's last checkpoint.
const LONG_PAGES: i64 = 4 * DUE_PAGES;

/// From how many pages on the writer does so even when much is left to do: 256 MiB.
const TOO_LONG_PAGES: i64 = 32 * DUE_PAGES;

/// Makes checkpoints on a thread of its own, so that few commits wait for them.
pub(super) struct Checkpointer {
    nudge: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    commits: u32,
}

impl Checkpointer {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread to give.
    pub(super) fn start(path: PathBuf, condition: Arc<Condition>) -> Result<Self> {
        let (nudge, nudges) = sync_channel(1);
        let thread = Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&path, &nudges, &condition))
            .map_err(|error| {
                Error::unavailable("no thread can be started for the store's checkpoints").source(error)
            })?;
        Ok(Self {
            nudge: Some(nudge),
            thread: Some(thread),
            commits: 0,
        })
    }

    /// Takes note of a commit; sees to it from time to time that the log does not become long.
    pub(super) fn after_commit(&mut self, writer: &Connection, condition: &Condition) {
        self.commits = self.commits.saturating_add(1);
        if self.commits < LOOK_EVERY {
            return;
        }
        self.commits = 0;
        let Some(log) = checkpoint(writer, "NOOP", condition) else {
            return;
        };
        let due = log.pages.saturating_sub(log.done);
        if log.pages > TOO_LONG_PAGES || (log.pages > LONG_PAGES && due < DUE_PAGES) {
            checkpoint(writer, "PASSIVE", condition);
        } else if due >= DUE_PAGES
            && let Some(nudge) = &self.nudge
        {
            // Full means that the thread was told already.
            let _ = nudge.try_send(());
        }
    }

    /// Stops the thread, then empties the log.
    pub(super) fn finish(mut self, writer: &Connection, condition: &Condition) {
        self.stop();
        checkpoint(writer, "TRUNCATE", condition);
    }

    fn stop(&mut self) {
        self.nudge = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the store's checkpoints panicked");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(path: &Path, nudges: &Receiver<()>, condition: &Condition) {
    const CACHE_KIB: u32 = 256;
    let mut connection = None;
    while nudges.recv().is_ok() {
        if connection.is_none() {
            connection = open_again(path, CACHE_KIB)
                .inspect_err(|error| tracing::warn!(%error, "the store's log can't be checkpointed now"))
                .ok();
        }
        if let Some(connection) = &connection {
            checkpoint(connection, "PASSIVE", condition);
        }
    }
}

/// The log after a checkpoint.
struct Log {
    /// How many pages it holds.
    pages: i64,
    /// How many of them are in their place.
    done: i64,
}

fn checkpoint(connection: &Connection, mode: &str, condition: &Condition) -> Option<Log> {
    let result = connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))
        .and_then(|mut statement| {
            statement.query_row((), |row| {
                Ok(Log {
                    pages: row.get(1)?,
                    done: row.get(2)?,
                })
            })
        });
    result
        .inspect_err(|error| {
            condition.note(error);
            tracing::warn!(%error, mode, "a checkpoint of the store failed");
        })
        .ok()
}
