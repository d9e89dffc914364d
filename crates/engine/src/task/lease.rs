//! Leases: how long a worker may go without a sign of life before its tasks are taken from it.

use std::time::Duration;

use model::{Observation, Result, Timestamp, WorkerId};

use crate::parts::Engine;

/// How long a claim lasts without being renewed.
///
/// Three times [`RENEW_EVERY`]: one renewal may be lost to a stall, two to a store that fails over.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// How often leases are renewed.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How often tasks of workers that are gone are looked for. With [`LEASE`], a task is taken over 16 s after the last
/// sign of life of its worker at the latest, and one second is left for doing it.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many tasks one write takes from workers that are gone.
const RELEASE_BATCH: u16 = 200;

impl Engine {
    /// Renews the leases of all attempts of a worker, and stops those that don't hold their tasks any more; gives how
    /// many these are.
    pub(super) async fn renew_leases(&self, worker: WorkerId) -> Result<usize> {
        let parts = &self.parts;
        let holds = parts.queue.attempts_of(worker);
        if holds.is_empty() {
            return Ok(0);
        }
        let lease_until = parts.clock.now().plus(LEASE);
        let lost = parts.store.renew_leases(worker, &holds, lease_until).await?;
        // An attempt that ended meanwhile was not held any more either, and lost nothing.
        let superseded = lost.into_iter().filter(|hold| parts.queue.stop_superseded(*hold));
        let mut count = 0;
        for hold in superseded {
            count += 1;
            parts.observer.observe(Observation::TaskLeaseLost);
            tracing::warn!(task = %hold.task, attempt = hold.attempt, "a task was cancelled or taken over while it was done here");
        }
        Ok(count)
    }

    /// Takes tasks from workers whose leases have ended; gives how many.
    pub(super) async fn release_expired(&self) -> Result<usize> {
        let now = self.parts.clock.now();
        self.release(now, now).await
    }

    /// Takes all tasks from whoever held them before this process began, on a store that only this process uses.
    /// To be done before the first claim.
    pub(super) async fn void_leases(&self) -> Result<usize> {
        if self.parts.store.is_shared() {
            return Ok(0);
        }
        self.release(Timestamp::MAX, self.parts.clock.now()).await
    }

    async fn release(&self, expired_before: Timestamp, now: Timestamp) -> Result<usize> {
        let parts = &self.parts;
        let mut count = 0;
        loop {
            let batch = parts
                .store
                .release_expired(expired_before, now, RELEASE_BATCH)
                .await?;
            for released in &batch {
                let (task, attempt) = (released.hold.task, released.hold.attempt);
                tracing::warn!(%task, attempt, status = released.status.as_str(), "a task was taken from a worker that is gone");
                parts.observer.observe(Observation::TaskReleased);
                // It may be our own, after this process stood still for long.
                let _was_ours = parts.queue.stop_superseded(released.hold);
                if released.status.is_final() {
                    parts.queue.announce_end(task);
                }
            }
            count += batch.len();
            if !batch.is_empty() {
                parts.queue.nudge();
            }
            if batch.len() < usize::from(RELEASE_BATCH) {
                return Ok(count);
            }
        }
    }
}
