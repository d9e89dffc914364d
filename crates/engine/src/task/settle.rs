//! Telling tasks what became of those that they depend on.

use model::Result;

use crate::parts::Engine;

/// How many tasks one write tells, so that other writes needn't wait long behind it.
const BATCH: u16 = 200;

/// How many batches are told at most before others get their turn; the next time goes on.
const MOST_BATCHES: u32 = 100;

impl Engine {
    /// Tells tasks what became of those that they depend on, until all are told that there are to be. Safe to
    /// repeat, and to leave halfway.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached; what is left to tell is told later.
    pub(crate) async fn settle_dependents(&self) -> Result<()> {
        for _ in 0..MOST_BATCHES {
            let now = self.parts.clock.now();
            let settled = self.parts.store.settle_dependents(now, BATCH).await?;
            if settled.told > 0 {
                // Some may be ready now, others cancelled.
                self.parts.queue.nudge();
                self.parts.queue.announce_cancelled(&settled.cancelled);
            }
            if !settled.has_more {
                return Ok(());
            }
        }
        self.parts.queue.want_settling();
        Ok(())
    }
}
