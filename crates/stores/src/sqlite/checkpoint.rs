//! Moves what is in the write-ahead log to its place in the database, beside the writer.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

use model::{Error, Result};
use rusqlite::Connection;

use super::{connection::open_again, failure::Condition};

/// After how many commits a checkpoint is made: under load that is some megabytes of log.
const COMMITS: u32 = 256;

/// Beyond how many pages of 4 KiB the log is to be begun anew. It can be only at a moment when all of it is
/// checkpointed and nobody reads from it, so the writer is asked to make that moment.
const LONG_LOG_PAGES: i64 = 8192;

/// Makes checkpoints on a thread of its own, so that no commit waits for them.
pub(super) struct Checkpointer {
    nudge: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    is_log_long: Arc<AtomicBool>,
    commits: u32,
}

impl Checkpointer {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread to give.
    pub(super) fn start(path: PathBuf, condition: Arc<Condition>) -> Result<Self> {
        let (nudge, nudges) = sync_channel(1);
        let is_log_long = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_log_long);
        let thread = Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&path, &nudges, &flag, &condition))
            .map_err(|error| {
                Error::unavailable("no thread can be started for the store's checkpoints").source(error)
            })?;
        Ok(Self {
            nudge: Some(nudge),
            thread: Some(thread),
            is_log_long,
            commits: 0,
        })
    }

    /// Takes note of a commit; begins the log anew when it has become long.
    pub(super) fn after_commit(&mut self, writer: &Connection, condition: &Condition) {
        self.commits = self.commits.saturating_add(1);
        if self.is_log_long.swap(false, Ordering::AcqRel) {
            checkpoint(writer, "PASSIVE", condition);
        }
        if self.commits >= COMMITS {
            self.commits = 0;
            if let Some(nudge) = &self.nudge {
                // Full means that a checkpoint is due already.
                let _ = nudge.try_send(());
            }
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

fn run(path: &std::path::Path, nudges: &Receiver<()>, is_log_long: &AtomicBool, condition: &Condition) {
    const CACHE_KIB: u32 = 256;
    let mut connection = None;
    while nudges.recv().is_ok() {
        if connection.is_none() {
            connection = open_again(path, CACHE_KIB)
                .inspect_err(|error| tracing::warn!(%error, "the store's log can't be checkpointed now"))
                .ok();
        }
        let pages = connection
            .as_ref()
            .and_then(|connection| checkpoint(connection, "PASSIVE", condition));
        if pages.is_some_and(|pages| pages > LONG_LOG_PAGES) {
            is_log_long.store(true, Ordering::Release);
        }
    }
}

/// Makes a checkpoint, and gives how many pages the log held.
fn checkpoint(connection: &Connection, mode: &str, condition: &Condition) -> Option<i64> {
    let result = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |row| row.get(1));
    match result {
        Ok(pages) => Some(pages),
        Err(error) => {
            condition.note(&error);
            tracing::warn!(%error, mode, "a checkpoint of the store failed");
            None
        }
    }
}
