//! The port of tasks: what people do with them.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{NewTask, Priority, Tag, Tags, Task, TaskDescription, TaskStatus, TaskTitle};
use crate::{
    error::Result,
    execution::Execution,
    id::{TaskId, UserId},
    name::PluginName,
    page::{Page, PageRequest},
    time::Timestamp,
};

/// What became of a submission.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The task: the new one, or the one that has its unique key.
    pub task: Task,
    /// Whether it is new.
    pub is_new: bool,
}

/// A task that was called off.
#[derive(Clone, Debug)]
pub struct Cancelled {
    /// The task, cancelled.
    pub task: Task,
    /// The attempt that was going on and must be stopped.
    pub running: Option<u32>,
}

/// A change to a task. What is `None` stays; the inner `None` removes.
#[derive(Clone, Debug, Default)]
pub struct TaskChange {
    /// Another title.
    pub title: Option<TaskTitle>,
    /// Another description.
    pub description: Option<Option<TaskDescription>>,
    /// Other tags.
    pub tags: Option<Tags>,
    /// Another priority; only while pending, or for a to-do that hasn't ended.
    pub priority: Option<Priority>,
    /// Another payload; only while pending, and only of a task that has asked nothing.
    pub payload: Option<Value>,
    /// Another time; only while pending, or for a to-do that hasn't ended.
    pub scheduled_at: Option<Option<Timestamp>>,
    /// Another number of retries; only while pending.
    pub max_retries: Option<u16>,
    /// Another number of stalls; only while pending.
    pub max_stalls: Option<u16>,
    /// Another time limit; only while pending.
    pub timeout: Option<Option<Duration>>,
    /// How far a to-do is.
    pub status: Option<TaskStatus>,
}

impl TaskChange {
    /// Tells whether it changes what is done, when or how, and not only what people call it.
    #[must_use]
    pub fn changes_definition(&self) -> bool {
        self.priority.is_some()
            || self.payload.is_some()
            || self.scheduled_at.is_some()
            || self.max_retries.is_some()
            || self.max_stalls.is_some()
            || self.timeout.is_some()
    }
}

/// By what a list of tasks is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskSort {
    /// By time of creation.
    CreatedAt,
}

/// Which tasks a list holds.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only this owner's; set by the verb for everyone who isn't an admin.
    pub user_id: Option<UserId>,
    /// Only with this status.
    pub status: Option<TaskStatus>,
    /// Only with this priority.
    pub priority: Option<Priority>,
    /// Only of this plugin.
    pub plugin: Option<PluginName>,
    /// Only with this tag.
    pub tag: Option<Tag>,
    /// Only with this text in title or description, without regard to the case of ASCII letters.
    pub q: Option<String>,
    /// Only scheduled before this moment.
    pub scheduled_before: Option<Timestamp>,
    /// Only scheduled at or after this moment.
    pub scheduled_after: Option<Timestamp>,
    /// Only recurring ones, or only others.
    pub recurring: Option<bool>,
    /// Only what came of this recurring task.
    pub schedule_id: Option<TaskId>,
}

/// How many tasks have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskCount {
    /// Their status.
    pub status: TaskStatus,
    /// Their priority.
    pub priority: Priority,
    /// Their plugin; `None` for to-dos.
    pub plugin: Option<PluginName>,
    /// How many.
    pub count: u64,
}

/// How long the jobs took that ended last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Half of them at most.
    pub p50: Duration,
    /// 95 of 100 at most.
    pub p95: Duration,
    /// 99 of 100 at most.
    pub p99: Duration,
}

/// The tasks of one owner, or of all, in numbers.
#[derive(Clone, Debug, Default)]
pub struct TaskOverview {
    /// How many there are of each sort.
    pub counts: Vec<TaskCount>,
    /// How many jobs came into a final state since `since`, up to `sample`.
    pub ended: u64,
    /// From ready to started, over the jobs that ended last.
    pub wait: Option<Timing>,
    /// From started to ended, over the same.
    pub run: Option<Timing>,
    /// Since when the job that waits longest has been ready for a worker.
    pub oldest_pending: Option<Timestamp>,
}

/// What people do with tasks. Each method is one atomic, durable step, and follows [`super::Standing::after`].
///
/// Where a method takes an `owner`, another owner's task doesn't exist for it; `None` sees all.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Adds a task, unless one of the same owner with the same unique key is pending or in progress.
    ///
    /// A task of the same owner that has the id already is this one, submitted before: it is given as it is now, and
    /// as new, before anything else is looked at. So a submission whose outcome isn't known can be repeated.
    ///
    /// # Errors
    /// `Conflict` when another owner's task has the id.
    /// `Invalid` on `dependsOn.N` when there is no such task of the same owner, it is recurring, or it has failed
    /// or been cancelled.
    async fn submit_task(&self, task: NewTask) -> Result<Submitted>;

    /// Adds up to 1,000 tasks, all or none, in their order; as [`Self::submit_task`] each.
    ///
    /// # Errors
    /// As there, with the paths under the index of the task.
    async fn submit_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>>;

    /// Looks a task up.
    async fn find_task(&self, id: TaskId, owner: Option<UserId>) -> Result<Option<Task>>;

    /// Lists tasks.
    async fn list_tasks(&self, filter: &TaskFilter, page: &PageRequest<TaskSort>) -> Result<Page<Task>>;

    /// Lists the last up to `limit` calls that were made for a task, the latest first; with their attempts.
    ///
    /// Gives fewer, one at least, when payloads and results together have more than 8 MiB.
    async fn list_attempts(&self, id: TaskId, limit: u16) -> Result<Vec<Execution>>;

    /// Changes a task; gives `None` when there is none.
    ///
    /// # Errors
    /// `Conflict` when its definition is to change while it is in progress or after its end, or a status is to
    /// change that people don't move.
    async fn update_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        change: TaskChange,
        now: Timestamp,
    ) -> Result<Option<Task>>;

    /// Removes a task that isn't in progress; gives it. What came of a recurring one stays.
    ///
    /// # Errors
    /// `Conflict` when a worker is at it, or a task that hasn't ended depends on it.
    async fn delete_task(&self, id: TaskId, owner: Option<UserId>) -> Result<Option<Task>>;

    /// Calls a task off, whatever stands between: no attempt begins after this, and the end of one that is going
    /// on is refused. Ends a recurring one for good.
    ///
    /// # Errors
    /// `Conflict` when it has ended.
    async fn cancel_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        now: Timestamp,
    ) -> Result<Option<Cancelled>>;

    /// Makes a failed or cancelled task pending again, with all its retries, due now. It waits for those of the tasks
    /// that it depends on that haven't ended; one that is gone is waited for no more. What it asked before is
    /// forgotten, with the answers.
    ///
    /// # Errors
    /// `Conflict` when it is in another state, is recurring, its unique key is taken meanwhile, or a task that it
    /// depends on has failed or been cancelled.
    async fn retry_task(&self, id: TaskId, owner: Option<UserId>, now: Timestamp) -> Result<Option<Task>>;

    /// Makes a pending job due now. One that is in progress stays so.
    ///
    /// # Errors
    /// `Conflict` when it has ended, or isn't a job.
    async fn hasten_task(&self, id: TaskId, owner: Option<UserId>, now: Timestamp) -> Result<Option<Task>>;

    /// Keeps answers to what a task asks; with the last of them it is ready at once, unless it is scheduled for later.
    /// What answers no open question is ignored: the first answer to a question stands, and a task that asks nothing
    /// stays as it is.
    async fn answer_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        answers: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Task>>;

    /// Gives an owner's tasks, or all, in numbers: the counts of all, and the rest of the latest `sample` jobs that
    /// ended at or after `since`.
    async fn task_overview(
        &self,
        owner: Option<UserId>,
        since: Timestamp,
        sample: u32,
    ) -> Result<TaskOverview>;
}
