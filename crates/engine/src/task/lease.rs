//! Leases: how long a worker may go without a sign of life before its tasks are taken from it.

use std::time::Duration;

use model::{Observation, Result, Timestamp, WorkerId};
use parking_lot::Mutex;

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

/// How long ago a renewal may be for its leases to be sure to last.
///
/// Longer than [`RENEW_EVERY`], so that a renewal that is due right now is left to who makes it; so much shorter than
/// [`LEASE`] that no lease of that renewal has ended.
const SURE_FOR: Duration = Duration::from_secs(7);

/// When the leases of a worker were renewed last, by the clock by which they end.
#[derive(Default)]
pub(super) struct Renewals(Mutex<Renewed>);

#[derive(Default)]
struct Renewed {
    at: Option<Timestamp>,
    /// Whether they are to be renewed once more before anything is taken from anyone.
    is_once_more: bool,
}

/// Whether leases are to be renewed before tasks are taken from anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    /// They were renewed lately.
    Sure,
    /// They were not: the process stood still, the clock was set, or the store didn't work.
    Doubtful,
    /// They were doubtful the last time, and something may have been claimed then of which nobody knew yet.
    DoubtfulAgain,
}

impl Renewals {
    /// Tells whether all leases are sure to last at a moment.
    pub(super) fn tenure(&self, now: Timestamp) -> Tenure {
        let mut renewed = self.0.lock();
        if std::mem::take(&mut renewed.is_once_more) {
            return Tenure::DoubtfulAgain;
        }
        // A clock that was set back may be set forward again, past the ends of what was claimed meanwhile.
        let is_sure = renewed
            .at
            .is_some_and(|at| at <= now && now.since(at) <= SURE_FOR);
        if is_sure { Tenure::Sure } else { Tenure::Doubtful }
    }

    /// Has them renewed once more before anything is taken from anyone.
    pub(super) fn want_once_more(&self) {
        self.0.lock().is_once_more = true;
    }

    /// Notes that all of them were renewed, with a moment at which that hadn't begun yet.
    pub(super) fn note(&self, at: Timestamp) {
        self.0.lock().at = Some(at);
    }
}

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

    /// Takes tasks from workers whose leases had ended by `now`; gives how many.
    pub(super) async fn release_expired(&self, now: Timestamp) -> Result<usize> {
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
                // It may be our own, if another process took it.
                let _was_ours = parts.queue.stop_superseded(released.hold);
                if released.status.is_final() {
                    parts.queue.announce_end(task);
                } else {
                    parts.queue.announce_change(task);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000)
    }

    fn tenure_after(span: Duration) -> Tenure {
        let renewals = Renewals::default();
        renewals.note(begin());
        renewals.tenure(begin().plus(span))
    }

    #[test]
    fn leases_are_sure_to_last_for_a_while_after_they_were_renewed() {
        assert_eq!(Renewals::default().tenure(begin()), Tenure::Doubtful);
        assert_eq!(tenure_after(RENEW_EVERY + SWEEP_EVERY), Tenure::Sure);
        assert_eq!(
            tenure_after(SURE_FOR + Duration::from_millis(1)),
            Tenure::Doubtful
        );
    }

    #[test]
    fn g07_leases_are_doubtful_after_the_clock_was_set_back() {
        let renewals = Renewals::default();
        renewals.note(begin());
        assert_eq!(
            renewals.tenure(begin().minus(Duration::from_millis(1))),
            Tenure::Doubtful
        );
    }

    #[test]
    fn once_more_is_said_once() {
        let renewals = Renewals::default();
        renewals.note(begin());
        renewals.want_once_more();
        assert_eq!(renewals.tenure(begin()), Tenure::DoubtfulAgain);
        assert_eq!(renewals.tenure(begin()), Tenure::Sure);
    }
}
