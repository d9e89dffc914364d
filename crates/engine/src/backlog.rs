//! How full the queue is.

use std::time::Duration;

use model::{Error, QueueDepth, Result};
use tokio::time::timeout;

use crate::parts::Engine;

/// How long the store may take to tell.
const LIMIT: Duration = Duration::from_secs(2);

/// How full the queue is, by all processes together.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    /// How many tasks are in it, by state and priority.
    pub depth: QueueDepth,
    /// How long the task has been waiting for a worker that waits longest; zero when none waits.
    pub oldest_ready: Duration,
}

impl Engine {
    /// Tells how full the queue is, within two seconds. Asks for no permission: it names nobody and nothing.
    ///
    /// # Errors
    /// `Unavailable` when the store doesn't tell in time.
    pub async fn backlog(&self) -> Result<Backlog> {
        let depth = timeout(LIMIT, self.parts.store.queue_depth()).await;
        let depth =
            depth.unwrap_or_else(|_elapsed| Err(Error::unavailable("the store doesn't tell in time")))?;
        let now = self.parts.clock.now();
        let oldest_ready = depth.oldest_ready.map(|since| now.since(since));
        Ok(Backlog {
            depth,
            oldest_ready: oldest_ready.unwrap_or_default(),
        })
    }
}
