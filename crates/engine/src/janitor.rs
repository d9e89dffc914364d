//! Periodic duties: what is expired goes, what was interrupted is closed, what was counted is written down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::Result;

use crate::{
    listen::ReadAccessChanges, pace::Duty, parts::Engine, schedule::FireSchedules, throttle::FORGOTTEN_AFTER,
};

/// How many rows one write takes away, so that other writes needn't wait long behind it.
const BATCH: u32 = 500;

/// How many tasks one write takes away: each is more than a row.
const TASK_BATCH: u16 = 200;

/// How many batches one step does at most; the next step goes on.
const BATCHES_PER_STEP: u32 = 100;

/// How much longer than its limit a call may take to be recorded before it counts as interrupted.
const RECORDING_ALLOWANCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Everything that must be done again and again.
    #[must_use]
    pub fn duties(&self) -> Vec<Arc<dyn Duty>> {
        let shared: [Arc<dyn Duty>; 5] = [
            Arc::new(CloseInterrupted {
                engine: self.clone(),
                has_cleared_past: AtomicBool::new(false),
            }),
            Arc::new(RemoveExpired(self.clone())),
            Arc::new(RemoveFinishedTasks(self.clone())),
            Arc::new(SettleDependents(self.clone())),
            Arc::new(FireSchedules::new(self.clone())),
        ];
        self.own_duties().into_iter().chain(shared).collect()
    }

    /// What each process must do again and again for itself; the rest of [`Self::duties`] one of all the processes on
    /// a store could do for the others.
    #[must_use]
    pub fn own_duties(&self) -> Vec<Arc<dyn Duty>> {
        let mut duties: Vec<Arc<dyn Duty>> = vec![Arc::new(WriteKeyUsage(self.clone()))];
        if self.parts.store.is_shared() {
            duties.push(Arc::new(ReadAccessChanges::new(self.clone())));
        }
        duties
    }
}

/// Writes down how API keys were used.
struct WriteKeyUsage(Engine);

#[async_trait]
impl Duty for WriteKeyUsage {
    fn name(&self) -> &'static str {
        "write down the use of keys"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn step(&self) -> Result<()> {
        self.0.flush_key_usage().await
    }
}

/// Removes expired sessions, old failures to sign in, and expired idempotency keys.
struct RemoveExpired(Engine);

#[async_trait]
impl Duty for RemoveExpired {
    fn name(&self) -> &'static str {
        "remove what is expired"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn step(&self) -> Result<()> {
        let parts = &self.0.parts;
        let now = parts.clock.now();
        let forgotten_before = now.minus(FORGOTTEN_AFTER);
        repeat(BATCH, || {
            parts.store.remove_expired_sessions(now, forgotten_before, BATCH)
        })
        .await?;
        repeat(BATCH, || parts.store.remove_expired_claims(now, BATCH)).await
    }
}

/// Removes tasks that ended long enough ago.
struct RemoveFinishedTasks(Engine);

#[async_trait]
impl Duty for RemoveFinishedTasks {
    fn name(&self) -> &'static str {
        "remove tasks that ended long ago"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn step(&self) -> Result<()> {
        let parts = &self.0.parts;
        let finished_before = parts.clock.now().minus(parts.task_retention);
        repeat(TASK_BATCH.into(), || {
            parts.store.remove_finished_tasks(finished_before, TASK_BATCH)
        })
        .await
    }
}

/// Tells tasks what became of those that they depend on: as soon as one ends here, and every second, since others
/// end on other processes, or this one died before it told.
struct SettleDependents(Engine);

#[async_trait]
impl Duty for SettleDependents {
    fn name(&self) -> &'static str {
        "tell tasks what became of those that they depend on"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn woken(&self) {
        self.0.parts.queue.ended().await;
    }

    async fn step(&self) -> Result<()> {
        self.0.settle_dependents().await
    }
}

/// Ends what the history holds as running and nobody runs any more.
///
/// On a store of our own, all that was accepted before this start was cut off by the end of the process before.
/// On a shared one another process may still be at it, until the longest time that a call can take is over.
struct CloseInterrupted {
    engine: Engine,
    has_cleared_past: AtomicBool,
}

#[async_trait]
impl Duty for CloseInterrupted {
    fn name(&self) -> &'static str {
        "close interrupted calls"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn step(&self) -> Result<()> {
        let parts = &self.engine.parts;
        // A call waits and runs for its timeout each at most; those of tasks end with their leases.
        let longest = parts.plugins.longest_timeout() * 2 + RECORDING_ALLOWANCE;
        let overdue = parts.clock.now().minus(longest);
        let is_past_open = !parts.store.is_shared() && !self.has_cleared_past.load(Ordering::Relaxed);
        let accepted_before = if is_past_open {
            overdue.max(parts.started_at)
        } else {
            overdue
        };
        repeat(BATCH, || {
            parts.store.close_interrupted_executions(accepted_before, BATCH)
        })
        .await?;
        self.has_cleared_past.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Repeats a bounded write until it finds no more, or has been done often enough for one step.
async fn repeat<F: Future<Output = Result<u64>>>(size: u32, mut batch: impl FnMut() -> F) -> Result<()> {
    for _ in 0..BATCHES_PER_STEP {
        if batch().await? < u64::from(size) {
            break;
        }
    }
    Ok(())
}
