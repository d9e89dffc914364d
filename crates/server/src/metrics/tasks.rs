//! What workers tell about tasks, and how full the queue is.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use engine::{Backlog, Engine};
use model::{Priority, QueueDepth, TaskStatus};
use tokio::sync::Mutex;

use super::histogram::Histogram;

/// What the workers of this process did.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Attempts that ended, by what became of the task, in the order of [`TaskStatus::ALL`].
    ended: [AtomicU64; TaskStatus::ALL.len()],
    pub(super) retries: AtomicU64,
    pub(super) leases_lost: AtomicU64,
    pub(super) released: AtomicU64,
    /// From ready to started.
    pub(super) waits: Histogram,
    /// From started to ended.
    pub(super) runs: Histogram,
}

impl Tasks {
    pub(super) fn count_end(&self, status: TaskStatus, ran: Duration) {
        let place = TaskStatus::ALL.iter().position(|known| *known == status);
        if let Some(counter) = place.and_then(|place| self.ended.get(place)) {
            counter.fetch_add(1, Relaxed);
        }
        self.runs.record(ran);
    }

    /// How many attempts ended, by what became of the task.
    pub(super) fn ended(&self) -> impl Iterator<Item = (TaskStatus, u64)> {
        let counts = self.ended.iter().map(|count| count.load(Relaxed));
        TaskStatus::ALL.into_iter().zip(counts)
    }
}

/// How old an answer of the store may be: whoever asks for the metrics needs no credential.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How full the queue was last, and when.
#[derive(Debug, Default)]
pub(super) struct QueueWatch(Mutex<Option<(Instant, Option<Backlog>)>>);

impl QueueWatch {
    /// How full the queue is, at most a second ago; `None` when the store doesn't tell. Of all who ask at once, one
    /// asks the store.
    pub(super) async fn backlog(&self, engine: &Engine) -> Option<Backlog> {
        let mut last = self.0.lock().await;
        if let Some((when, backlog)) = &*last
            && when.elapsed() < MAX_AGE
        {
            return backlog.clone();
        }
        let backlog = engine.backlog().await.ok();
        *last = Some((Instant::now(), backlog.clone()));
        backlog
    }
}

/// Every state with how many tasks are in it.
pub(super) fn states(depth: &QueueDepth) -> [(&'static str, u64); 5] {
    [
        ("ready", depth.ready.iter().sum()),
        ("scheduled", depth.scheduled),
        ("blocked", depth.blocked),
        ("awaiting-input", depth.awaiting_input),
        ("in-progress", depth.in_progress),
    ]
}

/// Every priority, with how many tasks of it wait for a worker.
pub(super) fn ready(depth: &QueueDepth) -> impl Iterator<Item = (Priority, u64)> {
    Priority::ALL.into_iter().zip(depth.ready)
}
