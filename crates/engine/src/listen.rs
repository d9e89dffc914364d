//! What other processes do, as far as it matters here: heard from them at once, and read in the store in any case.

use std::time::Duration;

use async_trait::async_trait;
use model::{AccessMark, Error, Heard, Notice, Result};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{pace::Duty, parts::Engine};

/// How often changes of access are read. Four times while what is remembered counts: three readings may fail, or take
/// long, before each request asks the store.
const READ_EVERY: Duration = Duration::from_millis(250);

/// How long one reading may take: one that ends later makes nothing count any more.
const READING_LIMIT: Duration = Duration::from_secs(1);

impl Engine {
    /// Hears what other processes announce, and wakes who waits for it here, until `stop`. Ends at once on a store
    /// that belongs to this process alone.
    pub async fn listen(&self, stop: CancellationToken) {
        let Some(bus) = &self.parts.bus else {
            return;
        };
        let mut listener = bus.listen();
        while let Some(heard) = stop.run_until_cancelled(listener.next()).await {
            match heard {
                // What was missed of access is read in the store soon.
                Heard::Missed => self.parts.queue.hear_missed(),
                Heard::Notice(Notice::AccessChanged { user }) => self.parts.accepted.forget(user),
                Heard::Notice(notice) => self.parts.queue.hear(&notice),
            }
        }
    }
}

/// Forgets credentials whose worth has changed on other processes, and lets the others count on.
pub(crate) struct ReadAccessChanges {
    engine: Engine,
    mark: Mutex<AccessMark>,
}

impl ReadAccessChanges {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            mark: Mutex::default(),
        }
    }
}

#[async_trait]
impl Duty for ReadAccessChanges {
    fn name(&self) -> &'static str {
        "read whose access has changed"
    }

    fn period(&self) -> Duration {
        READ_EVERY
    }

    async fn step(&self) -> Result<()> {
        let parts = &self.engine.parts;
        let mark = self.mark.lock().clone();
        let began = Instant::now();
        let reading = timeout(READING_LIMIT, parts.store.access_changes(&mark));
        let late = |_| Error::unavailable("changes of access could not be read in time");
        let changes = reading.await.map_err(late)??;
        if changes.is_complete {
            for user in changes.users {
                parts.accepted.forget(user);
            }
        } else {
            parts.accepted.forget_everybody();
        }
        *self.mark.lock() = changes.mark;
        parts.accepted.note_reading(began);
        Ok(())
    }
}
