//! Tasks: work that is kept until it is done.

mod text;
mod inquiry;
mod queue;
mod standing;
mod store;
mod recurring;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    execution::Failure,
    id::{TaskId, UserId},
    name::{ActionName, PluginName},
    report::Progress,
    schedule::Recurrence,
    time::Timestamp,
};

pub use inquiry::Inquiry;
pub use queue::{
    ClaimRequest, Claimed, ClaimedTask, Hold, QueueDepth, Released, Settled, TaskEnding, TaskQueue,
};
pub use recurring::ScheduleStore;
pub use standing::{AttemptEnd, Lease, Standing, TaskEvent};
pub use store::{
    Cancelled, Submitted, TaskChange, TaskCount, TaskFilter, TaskOverview, TaskSort, TaskStore, Timing,
};
pub use text::{Tag, Tags, TaskDescription, TaskTitle, UniqueKey};

/// Where a task is on its way, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskStatus {
    /// Not begun, or to be tried again. In: submitted; failed in a way that a retry may help; handed back by a
    /// worker that stops; taken from one that died; asked for anew by a person; asking something itself. Out:
    /// claimed, cancelled, or failed with what it depends on.
    Pending,
    /// A worker is at it and holds a lease, or a person said so. In: claimed; moved by hand. Out: every other state.
    InProgress,
    /// Done. In: its attempt succeeded; moved by hand. Out: never.
    Completed,
    /// Given up. In: failed for good, out of retries, killed too many workers, or a dependency failed. Out: only
    /// when a person asks for it anew.
    Failed,
    /// Called off. In: cancelled by a person, or with what it depends on. Out: only when a person asks for it anew.
    Cancelled,
}

impl TaskStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The status's name in stores and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Tells whether nothing more becomes of the task by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// How urgent a task is: of due tasks, the more urgent start first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When nothing else is to be done; started before more urgent ones all the same once it waited too long.
    Low,
    /// As most are.
    #[default]
    Medium,
    /// Before most.
    High,
    /// Before everything else.
    Critical,
}

impl Priority {
    /// Every priority, the least urgent first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The priority's name in stores and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What moves a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// People alone.
    ToDo,
    /// A worker, which calls an action.
    Job,
    /// Its schedule: at each tick a task of kind `Job` comes of it. It is pending until it is cancelled.
    Recurring,
}

/// What a worker does for a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
    /// What it works on; may hold references to results of the tasks that it depends on.
    pub payload: Value,
}

/// How often and how long a task is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often it is tried again after a failure that a retry may help.
    pub max_retries: u16,
    /// How often it may take its worker down with it.
    pub max_stalls: u16,
    /// How long one try may take; the action's own limit when `None`. Kept in milliseconds.
    pub timeout: Option<Duration>,
}

impl Patience {
    /// The most retries that can be asked for.
    pub const MOST_RETRIES: u16 = 100;
    /// The longest time that one try can be given.
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            max_retries: 3,
            max_stalls: 3,
            timeout: None,
        }
    }
}

/// A task about to be submitted: checked by the verb, complete but for what the store says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// Its name.
    pub id: TaskId,
    /// Whose it is; `None` for the operator.
    pub user_id: Option<UserId>,
    /// What it is called.
    pub title: TaskTitle,
    /// More about it.
    pub description: Option<TaskDescription>,
    /// How urgent it is.
    pub priority: Priority,
    /// For finding it.
    pub tags: Tags,
    /// What a worker does; a to-do for people without.
    pub job: Option<Job>,
    /// How often and how long it is tried.
    pub patience: Patience,
    /// When it may start at the earliest; at once when `None` or past.
    pub scheduled_at: Option<Timestamp>,
    /// While a task of the same owner with the same key is pending or in progress, no second one comes to be.
    pub unique_key: Option<UniqueKey>,
    /// The tasks of the same owner that must be completed before it may start.
    pub depends_on: Vec<TaskId>,
    /// When jobs come of it, for a recurring one.
    pub recurrence: Option<Recurrence>,
    /// The recurring task that it came of.
    pub schedule_id: Option<TaskId>,
    /// When it was submitted.
    pub created_at: Timestamp,
}

impl NewTask {
    /// The most tasks that one can depend on.
    pub const MOST_DEPENDENCIES: usize = 100;
    /// The most tasks that one submission holds.
    pub const MOST_AT_ONCE: usize = 1_000;

    /// What moves it.
    #[must_use]
    pub fn kind(&self) -> TaskKind {
        match (&self.job, &self.recurrence) {
            (Some(_), Some(_)) => TaskKind::Recurring,
            (Some(_), None) => TaskKind::Job,
            (None, _) => TaskKind::ToDo,
        }
    }
}

/// A task, as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// Whose it is; `None` for the operator.
    pub user_id: Option<UserId>,
    /// What it is called.
    pub title: TaskTitle,
    /// More about it.
    pub description: Option<TaskDescription>,
    /// How urgent it is.
    pub priority: Priority,
    /// For finding it.
    pub tags: Tags,
    /// What a worker does.
    pub job: Option<Job>,
    /// Where it stands.
    pub standing: Standing,
    /// How long one try may take; the action's own limit when `None`.
    pub timeout: Option<Duration>,
    /// When it was to start at the earliest, as it was asked for.
    pub scheduled_at: Option<Timestamp>,
    /// Keeps a second one from coming to be.
    pub unique_key: Option<UniqueKey>,
    /// What must be completed before it may start.
    pub depends_on: Vec<TaskId>,
    /// When jobs come of it, for a recurring one.
    pub recurrence: Option<Recurrence>,
    /// The recurring task that it came of.
    pub schedule_id: Option<TaskId>,
    /// What it asked last, with the answers so far; until it has ended.
    pub inquiry: Option<Inquiry>,
    /// What its last attempt gave, once completed.
    pub result: Option<Value>,
    /// Why its last attempt failed, or why it is failed or cancelled.
    pub error: Option<Failure>,
    /// How far its present attempt has come.
    pub progress: Option<Progress>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it came into a final state.
    pub finished_at: Option<Timestamp>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When anything of it changed last.
    pub updated_at: Timestamp,
}
