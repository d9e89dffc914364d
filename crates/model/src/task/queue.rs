//! The port of the queue: what workers do with tasks.

use async_trait::async_trait;

use super::{AttemptEnd, Inquiry, Task, TaskStatus};
use crate::{
    error::Result,
    execution::{Execution, Failure},
    id::{TaskId, WorkerId},
    name::{ActionName, PluginName},
    report::Progress,
    time::Timestamp,
};

/// One attempt at one task: what a worker holds, and names in all that it says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The task.
    pub task: TaskId,
    /// Which attempt; the fence.
    pub attempt: u32,
}

/// What a worker asks for.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// Now.
    pub now: Timestamp,
    /// When the leases end unless they are renewed.
    pub lease_until: Timestamp,
    /// How many tasks at most; 1 to 1,000.
    pub limit: u16,
    /// Plugins that take only so many more calls at this moment: no more of their tasks are given, and those
    /// beyond are passed over. A plugin that isn't named takes any number.
    pub room: Vec<(PluginName, u16)>,
}

/// A task that a worker holds now.
#[derive(Clone, Debug)]
pub struct ClaimedTask {
    /// The task, in progress, with its job.
    pub task: Task,
    /// When it could have been started: the later of its due time and the moment when it came to be or became free.
    pub ready_at: Timestamp,
}

impl ClaimedTask {
    /// What its worker names in all that it says of it.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold {
            task: self.task.id,
            attempt: self.task.standing.attempt,
        }
    }
}

/// What a worker got.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// Tasks, in the order in which they should start.
    pub tasks: Vec<ClaimedTask>,
    /// When the next task becomes due that isn't yet; `None` when there is none.
    pub next_due: Option<Timestamp>,
    /// Whether there are (probably) more that could be claimed right now, by the same request less what it got.
    pub has_more: bool,
}

impl Claimed {
    /// How many of the tasks are a plugin's.
    #[must_use]
    pub fn count_of(&self, plugin: &PluginName) -> usize {
        let jobs = self.tasks.iter().filter_map(|claimed| claimed.task.job.as_ref());
        jobs.filter(|job| job.plugin == *plugin).count()
    }
}

/// How an attempt ended, with the call that it was.
#[derive(Clone, Debug)]
pub struct TaskEnding {
    /// How it ended.
    pub end: AttemptEnd,
    /// The call, ended: its result or failure becomes the task's. `None` when no call was made or is to be recorded.
    pub execution: Option<Execution>,
    /// Why the attempt failed without a call; not looked at when there was one.
    pub failure: Option<Failure>,
    /// What it asks; there exactly when it ended so.
    pub inquiry: Option<Inquiry>,
    /// Whether the history holds the call as running already, so that it is to be completed and not added.
    pub is_recorded: bool,
    /// Now.
    pub now: Timestamp,
}

/// A task that was taken from a worker that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Which attempt.
    pub hold: Hold,
    /// What became of the task: pending again, or failed since this happened too often.
    pub status: TaskStatus,
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
}

/// What one step of settling did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// How many tasks were told what became of one that they depend on.
    pub told: u64,
    /// Those of them that were cancelled for it.
    pub cancelled: Vec<TaskId>,
    /// Whether there is more to do.
    pub has_more: bool,
}

/// How full the queue is. Counts jobs only, not to-dos and recurring tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Due and waiting for a worker, by priority from low to critical.
    pub ready: [u64; 4],
    /// Waiting for their time.
    pub scheduled: u64,
    /// Waiting for tasks that they depend on.
    pub blocked: u64,
    /// Waiting for answers to what they asked.
    pub awaiting_input: u64,
    /// Held by workers.
    pub in_progress: u64,
    /// Since when the task that waits longest has been waiting for a worker; of each priority and plugin, only the
    /// 64 tasks whose turn comes first are looked at.
    pub oldest_ready: Option<Timestamp>,
}

/// What workers do with tasks. Each method is one atomic, durable step, and follows [`super::Standing::after`].
///
/// Fencing: a step that names a [`Hold`] has an effect only while that attempt holds the task.
#[async_trait]
pub trait TaskQueue: Send + Sync {
    /// Claims due jobs for a worker, in the order in which they should start.
    ///
    /// A task goes to at most one caller. Priority: a more urgent task goes first; yet of every four tasks
    /// claimed, one is of the priority whose next task has been ready longest, if it has been for 30 s. Within a
    /// priority, owners take turns: a task takes its turn when it becomes ready, one place behind its owner's
    /// task before it, so that the first task of one owner waits for at most one task of each other owner. Within
    /// owner and priority, what became ready first goes first; what is due becomes ready before anything else does,
    /// also while nothing is claimed, but no more than 256 tasks at once.
    ///
    /// Costs as much as it claims, whatever else is waiting.
    ///
    /// # Errors
    /// `Unavailable` when the database can't be reached.
    async fn claim_tasks(&self, request: ClaimRequest) -> Result<Claimed>;

    /// Makes the leases of attempts last until `lease_until`; gives those that `worker` doesn't hold any more.
    async fn renew_leases(
        &self,
        worker: WorkerId,
        holds: &[Hold],
        lease_until: Timestamp,
    ) -> Result<Vec<Hold>>;

    /// Records the end of an attempt: the task's new state and the call in the history, in one step. Tasks that
    /// depend on it are told by [`Self::settle_dependents`].
    ///
    /// # Errors
    /// `Conflict` when the attempt doesn't hold the task any more; nothing is changed or recorded then.
    async fn finish_task(&self, hold: Hold, ending: &TaskEnding) -> Result<TaskStatus>;

    /// Takes up to `limit` tasks from workers whose leases ended before `expired_before`, and records each call
    /// in the history as interrupted (code `interrupted`). A task that lost too many workers is failed with the
    /// code `worker_lost`; the others are due again at `now`.
    ///
    /// With [`Timestamp::MAX`], all leases are void: on a store that only this process uses, at its start.
    async fn release_expired(
        &self,
        expired_before: Timestamp,
        now: Timestamp,
        limit: u16,
    ) -> Result<Vec<Released>>;

    /// Keeps how far an attempt has come.
    ///
    /// # Errors
    /// `Conflict` when the attempt doesn't hold the task any more.
    async fn report_progress(&self, hold: Hold, progress: Progress, now: Timestamp) -> Result<()>;

    /// Tells up to `limit` tasks what became of one that they depend on: with it completed they wait for one less;
    /// otherwise they are cancelled with the code `dependency_failed`, and those that depend on them are told in
    /// turn. What is to be told is kept with the end of the task, so that nothing is forgotten when a process dies.
    async fn settle_dependents(&self, now: Timestamp, limit: u16) -> Result<Settled>;

    /// Removes up to `limit` tasks that came into a final state before `finished_before`, and on which no task
    /// depends that hasn't ended; gives how many. Their calls stay in the history.
    async fn remove_finished_tasks(&self, finished_before: Timestamp, limit: u16) -> Result<u64>;

    /// Tells how full the queue is, without looking at every task.
    async fn queue_depth(&self) -> Result<QueueDepth>;
}
