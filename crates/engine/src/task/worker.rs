//! The worker: claims due tasks, has them done, and keeps hold of them meanwhile.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use model::{ClaimRequest, Result, WorkerId};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    agenda::{Agenda, ClaimStep},
    attempt::Attempt,
    lease::{LEASE, RENEW_EVERY, Renewals, SWEEP_EVERY, Tenure},
};
use crate::{
    pace::{Duty, Pace, pause},
    parts::Engine,
    queue::{Slots, SlotsAside},
};

/// How many tasks one claim takes at most.
const MOST_CLAIMED: u16 = 1_000;

/// How many claims are under way at once: one that waits for its answer doesn't keep slots that become free meanwhile
/// from being filled.
const MOST_CLAIMS: usize = 4;

/// How long attempts that were stopped may take to hand back their tasks.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait before trying again to void the leases of the process before.
const VOID_AGAIN: Duration = Duration::from_secs(1);

/// Does tasks. Made of steps that are safe to repeat; [`Self::run`] takes them by itself. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    engine: Engine,
    id: WorkerId,
    slots: Arc<Slots>,
    attempts: TaskTracker,
    renewals: Arc<Renewals>,
}

impl Engine {
    /// Makes a worker that does as many tasks at once as the settings say. It does nothing by itself.
    #[must_use]
    pub fn worker(&self) -> Worker {
        let attempts = TaskTracker::new();
        // Nothing but an empty tracker that is closed can be waited for; it takes new attempts all the same.
        attempts.close();
        Worker {
            engine: self.clone(),
            id: WorkerId::generate(self.parts.ids.as_ref()),
            slots: Arc::new(Slots::new(self.parts.worker_concurrency)),
            attempts,
            renewals: Arc::default(),
        }
    }

    /// Does tasks until `stop`, then lets the running ones end for `grace`, and hands the rest back. See [`Worker::run`].
    pub async fn work(&self, stop: CancellationToken, grace: Duration) {
        self.worker().run(stop, grace).await;
    }
}

impl Worker {
    /// Takes all tasks from the process that had this store before, if only one process can have it at a time; gives
    /// how many. To be done before the first claim.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn void_leases(&self) -> Result<usize> {
        self.engine.void_leases().await
    }

    /// Claims as many due tasks as there are free slots, and begins them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim(&self) -> Result<ClaimStep> {
        match self.slots.put_aside(self.slots.free().min(MOST_CLAIMED)) {
            Some(aside) => self.claim_for(aside).await,
            None => Ok(ClaimStep::default()),
        }
    }

    /// Renews the leases of all tasks that it is at, and stops those that aren't its any more; gives how many.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn renew(&self) -> Result<usize> {
        let now = self.engine.parts.clock.now();
        let lost = self.engine.renew_leases(self.id).await?;
        self.renewals.note(now);
        Ok(lost)
    }

    /// Takes tasks from workers that are gone; gives how many. Never from itself: after it stood still for long, or
    /// the clock was set, it renews its own leases first, and takes nothing until that has worked.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self) -> Result<usize> {
        // What is renewed from here on lasts beyond this moment, however long that takes.
        let now = self.engine.parts.clock.now();
        let tenure = self.renewals.tenure(now);
        if tenure != Tenure::Sure {
            let is_claiming = self.slots.are_some_aside();
            if let Err(error) = self.renew().await {
                self.renewals.want_once_more();
                return Err(error);
            }
            if tenure == Tenure::Doubtful && is_claiming {
                // What was claimed before wasn't renewed, since it isn't known yet.
                self.renewals.want_once_more();
                return Ok(0);
            }
        }
        self.engine.release_expired(now).await
    }

    /// Waits until every attempt that was begun has ended and is recorded.
    pub async fn idle(&self) {
        self.attempts.wait().await;
    }

    /// Takes every step when it is time, until `stop`: claims when something may be due, a slot becomes free, or a
    /// second has passed; renewals every 5 s; a look for tasks of workers that are gone every second. When told to
    /// stop it begins nothing more, lets running tasks end for `grace`, then cancels and hands back the rest. Ends
    /// 5 s after `grace` at the latest, unless the store doesn't answer.
    pub async fn run(&self, stop: CancellationToken, grace: Duration) {
        let mut at_work = self.engine.parts.queue.begin_work(Arc::clone(&self.slots));
        let renewing = Pace {
            stop: CancellationToken::new(),
        };
        let working = async {
            self.work_until(&stop).await;
            self.engine.parts.queue.note_stopping();
            self.end(grace).await;
            renewing.stop.cancel();
        };
        tokio::join!(working, renewing.drive(Arc::new(Renew(self.clone()))));
        at_work.stop();
    }

    async fn work_until(&self, stop: &CancellationToken) {
        if stop.run_until_cancelled(self.void_at_last()).await.is_none() {
            return;
        }
        let sweeping = Pace { stop: stop.clone() };
        tokio::join!(
            self.claim_until(stop),
            sweeping.drive(Arc::new(Sweep(self.clone()))),
        );
    }

    async fn void_at_last(&self) {
        let mut is_failing = false;
        while let Err(error) = self.void_leases().await {
            if !is_failing {
                let cause = std::error::Error::source(&error);
                tracing::warn!(%error, cause, "tasks of the run before can't be taken over; it is tried again and again");
            }
            is_failing = true;
            pause(VOID_AGAIN).await;
        }
    }

    /// Claims whenever there may be something to claim.
    async fn claim_until(&self, stop: &CancellationToken) {
        let parts = &self.engine.parts;
        let mut agenda = Agenda::new(Instant::now());
        let mut claims = FuturesUnordered::new();
        let mut number = 0_u64;
        loop {
            // Before the first wait too: what was due when the process before this one ended is announced by nobody.
            if claims.len() < MOST_CLAIMS
                && agenda.is_claim_due()
                && let Some(aside) = self.slots.put_aside(self.share(&agenda))
            {
                agenda.begin_claim(Instant::now());
                number += 1;
                claims.push(self.claim_numbered(number, aside));
            }
            let wait = agenda.wait(Instant::now(), parts.clock.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((number, claimed)) = claims.next(), if !claims.is_empty() => {
                    agenda.note_claim(number, claimed, Instant::now());
                }
                () = parts.queue.nudged() => {
                    // Whoever nudged is often one of many that do so now; one claim is to serve them all.
                    tokio::task::yield_now().await;
                    agenda.want_claim();
                }
                () = parts.queue.slot_freed() => {
                    // As above: many end at once.
                    tokio::task::yield_now().await;
                    agenda.note_free_slot();
                }
                () = pause(wait.unwrap_or_default()), if wait.is_some() => agenda.note_waited(Instant::now()),
            }
        }
        // What they claim is handed back at once, or done within the grace.
        while claims.next().await.is_some() {}
    }

    /// How many slots the next claim gets: all while there is more to do than can be done; else half, so that what
    /// comes while this claim is under way needn't wait for its answer.
    fn share(&self, agenda: &Agenda) -> u16 {
        let free = self.slots.free();
        let share = if agenda.has_backlog() {
            free
        } else {
            free.div_ceil(2)
        };
        share.min(MOST_CLAIMED)
    }

    async fn claim_numbered(&self, number: u64, aside: SlotsAside) -> (u64, Result<ClaimStep>) {
        (number, self.claim_for(aside).await)
    }

    /// Claims a task for each slot, and begins them.
    async fn claim_for(&self, mut aside: SlotsAside) -> Result<ClaimStep> {
        let parts = &self.engine.parts;
        let now = parts.clock.now();
        let room = parts.plugins.room(aside.count());
        let request = ClaimRequest {
            worker: self.id,
            now,
            lease_until: now.plus(LEASE),
            limit: aside.count(),
            room: room.clone(),
        };
        let claimed = parts.store.claim_tasks(request).await?;
        let has_passed_over = room
            .iter()
            .any(|(plugin, room)| claimed.count_of(plugin) >= usize::from(*room));
        parts.queue.note_progress();
        if claimed.has_more && (has_passed_over || self.slots.free() == 0) {
            parts.queue.offer_work();
        }
        let begun = claimed.tasks.len();
        for mut task in claimed.tasks {
            parts.queue.announce_change(task.task.id);
            let slot = aside.take_one(&parts.queue)?;
            let running = parts.queue.begin_attempt(task.hold(), self.id);
            let attempt = Attempt::new(self.engine.clone(), running, &mut task);
            // The tracker keeps it; whoever stops the worker waits for it there.
            drop(self.attempts.spawn(attempt.run(task, slot)));
        }
        Ok(ClaimStep {
            begun,
            next_due: claimed.next_due,
            has_more: claimed.has_more,
            has_passed_over,
        })
    }

    /// Lets running attempts end, then stops them.
    async fn end(&self, grace: Duration) {
        if timeout(grace, self.attempts.wait()).await.is_ok() {
            return;
        }
        tracing::info!(
            tasks = self.attempts.len(),
            "tasks are handed back that did not end in time"
        );
        self.engine.parts.queue.stop_worker(self.id);
        if timeout(HAND_BACK_LIMIT, self.attempts.wait()).await.is_err() {
            tracing::error!(
                tasks = self.attempts.len(),
                "tasks could not be handed back; they are taken over later"
            );
        }
    }
}

/// Keeps hold of tasks.
struct Renew(Worker);

#[async_trait]
impl Duty for Renew {
    fn name(&self) -> &'static str {
        "renew the leases of tasks"
    }

    fn period(&self) -> Duration {
        RENEW_EVERY
    }

    async fn step(&self) -> Result<()> {
        self.0.renew().await.map(|_lost| ())
    }
}

/// Takes tasks from workers that are gone.
struct Sweep(Worker);

#[async_trait]
impl Duty for Sweep {
    fn name(&self) -> &'static str {
        "take tasks from workers that are gone"
    }

    fn period(&self) -> Duration {
        SWEEP_EVERY
    }

    async fn step(&self) -> Result<()> {
        self.0.sweep().await.map(|_count| ())
    }
}
