//! Executions: the history of calls, and the port that keeps it.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    id::{ExecutionId, UserId},
    name::{ActionName, PluginName, ToolName},
    page::{Page, PageRequest},
    plugin::CallTry,
    time::Timestamp,
};

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionStatus {
    /// It has begun and its end isn't recorded yet. Only calls that aren't read-only are recorded as such.
    Running,
    /// It gave a result.
    Success,
    /// It was refused, failed, was cancelled, took too long, or the server stopped before its end.
    Failure,
}

impl ExecutionStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Running, Self::Success, Self::Failure];

    /// The status's name in stores and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Through which door a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The REST interface.
    Rest,
    /// The Model Context Protocol.
    Mcp,
    /// A task.
    Task,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Rest, Self::Mcp, Self::Task];

    /// The source's name in stores and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Mcp => "mcp",
            Self::Task => "task",
        }
    }
}

/// Why a call failed, as its caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The text of an [`crate::ErrorCode`].
    pub code: String,
    /// For people.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().as_str().to_owned(),
            message: error.message().to_owned(),
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecutionOutcome {
    /// Not yet.
    Running,
    /// With a result.
    Success(Value),
    /// Without one.
    Failure(Failure),
}

impl ExecutionOutcome {
    /// The outcome without what belongs to it.
    #[must_use]
    pub fn status(&self) -> ExecutionStatus {
        match self {
            Self::Running => ExecutionStatus::Running,
            Self::Success(_) => ExecutionStatus::Success,
            Self::Failure(_) => ExecutionStatus::Failure,
        }
    }
}

/// One call of an action, as the history keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Its name.
    pub id: ExecutionId,
    /// The plugin as it was asked for; it need not exist.
    pub plugin: PluginName,
    /// The action as it was asked for; it need not exist.
    pub action: ActionName,
    /// What it worked on.
    pub payload: Value,
    /// How it ended.
    pub outcome: ExecutionOutcome,
    /// From its acceptance to its end; zero while running. Kept in microseconds.
    pub duration: Duration,
    /// Who called; `None` for the operator.
    pub user_id: Option<UserId>,
    /// Which try of which task it was.
    pub task: Option<CallTry>,
    /// Through which door it came.
    pub source: Source,
    /// The caller's network address, when known.
    pub ip_address: Option<String>,
    /// What the caller's program calls itself; at most 256 characters.
    pub user_agent: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Which executions a list holds.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFilter {
    /// Only this caller's; set by the verb for everyone who isn't an admin.
    pub user_id: Option<UserId>,
    /// Only of this plugin.
    pub plugin: Option<PluginName>,
    /// Only of actions with this name.
    pub action: Option<ActionName>,
    /// Only with this status.
    pub status: Option<ExecutionStatus>,
    /// Only through this door.
    pub source: Option<Source>,
    /// Only accepted at or after this moment.
    pub since: Option<Timestamp>,
    /// Only accepted before this moment.
    pub until: Option<Timestamp>,
}

/// How one action was called since the store began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStatistics {
    /// The plugin.
    pub plugin: PluginName,
    /// The action.
    pub action: ActionName,
    /// Calls that gave a result.
    pub successes: u64,
    /// Calls that gave none.
    pub failures: u64,
    /// The durations of all of them together.
    pub total_duration: Duration,
    /// When the last one ended was accepted.
    pub last_called_at: Option<Timestamp>,
}

/// Keeps the history of calls. Each method is one atomic, durable step.
#[async_trait]
pub trait ExecutionStore: Send + Sync {
    /// Adds an execution, running or ended. An ended one is counted in the statistics in the same step.
    async fn record_execution(&self, execution: Execution) -> Result<()>;

    /// Ends a running execution and counts it.
    ///
    /// # Errors
    /// `Conflict` when it isn't running (any more): the first recorded end stands.
    async fn complete_execution(
        &self,
        id: ExecutionId,
        outcome: ExecutionOutcome,
        duration: Duration,
    ) -> Result<()>;

    /// Looks an execution up; with `owner`, only if it is that caller's.
    async fn find_execution(&self, id: ExecutionId, owner: Option<UserId>) -> Result<Option<Execution>>;

    /// Lists executions by time of creation.
    async fn list_executions(
        &self,
        filter: &ExecutionFilter,
        page: &PageRequest<()>,
    ) -> Result<Page<Execution>>;

    /// Ends up to `limit` executions that are still running although they were accepted before
    /// `accepted_before`, as failures with the code `interrupted`; gives how many. Calls of attempts that hold their
    /// tasks are passed over: they end with their leases.
    async fn close_interrupted_executions(&self, accepted_before: Timestamp, limit: u32) -> Result<u64>;

    /// Gives the statistics of those of `tools` that were ever called, in the order of `tools`; with `caller`, of
    /// that caller's calls only.
    ///
    /// Costs as much as there are tools, however many other names callers have made up.
    async fn call_statistics(
        &self,
        tools: &[ToolName],
        caller: Option<UserId>,
    ) -> Result<Vec<CallStatistics>>;
}
