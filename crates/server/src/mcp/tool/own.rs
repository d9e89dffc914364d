//! The server's own tools: tasks, for clients that know only tools.

mod view;
mod describe;

use std::time::Duration;

use model::{Error, ErrorKind, Permission, Result, Task, TaskId, TaskTitle, ToolName};
use protocol::{Content, RpcError, ToolResult};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::submission::submit;
use crate::mcp::{
    caller::Caller,
    door::Door,
    fault::{failed, request_error, tool_result},
};
use view::TaskView;

/// The longest that one call waits: most clients give up after a minute.
const LONGEST_WAIT: u64 = 50;

/// How long a call waits that doesn't say.
const USUAL_WAIT: u64 = 30;

/// One of the server's own tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnTool {
    /// Calls another tool as a task.
    Submit,
    /// Shows a task.
    Status,
    /// Waits for a task.
    Wait,
    /// Calls a task off.
    Cancel,
}

/// The arguments of `tasks__submit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    tool: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    title: Option<TaskTitle>,
}

/// The arguments of `tasks__status` and `tasks__cancel`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Named {
    task_id: TaskId,
}

/// The arguments of `tasks__wait`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Waiting {
    task_id: TaskId,
    #[serde(default = "usual_wait")]
    seconds: u64,
}

fn usual_wait() -> u64 {
    USUAL_WAIT
}

impl OwnTool {
    pub(super) const ALL: [Self; 4] = [Self::Cancel, Self::Status, Self::Submit, Self::Wait];

    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Submit => "tasks__submit",
            Self::Status => "tasks__status",
            Self::Wait => "tasks__wait",
            Self::Cancel => "tasks__cancel",
        }
    }

    /// What calling it takes, in any case.
    fn permissions(self) -> [Permission; 1] {
        match self {
            Self::Submit | Self::Cancel => [Permission::WriteTasks],
            Self::Status | Self::Wait => [Permission::ReadTasks],
        }
    }

    pub(super) fn is_open_to(self, caller: &Caller) -> bool {
        caller.may(&self.permissions())
    }

    pub(super) async fn call(
        self,
        door: &Door,
        caller: &Caller,
        arguments: Map<String, Value>,
    ) -> Result<ToolResult, RpcError> {
        caller.require(&self.permissions())?;
        let arguments = Value::Object(arguments);
        let done = match self {
            Self::Submit => match read::<Submission>(arguments) {
                Ok(submission) => return hand_in(door, caller, submission).await,
                Err(refusal) => return Ok(refusal),
            },
            Self::Status => match read::<Named>(arguments) {
                Ok(Named { task_id }) => door.engine().read_task(caller.principal(), task_id).await,
                Err(refusal) => return Ok(refusal),
            },
            Self::Wait => match read::<Waiting>(arguments) {
                Ok(waiting) => wait(door, caller, waiting).await,
                Err(refusal) => return Ok(refusal),
            },
            Self::Cancel => match read::<Named>(arguments) {
                Ok(Named { task_id }) => door.engine().cancel_task(caller.principal(), task_id).await,
                Err(refusal) => return Ok(refusal),
            },
        };
        concluded(door, done)
    }
}

/// Takes arguments, or says what is wrong with them.
fn read<T: for<'de> Deserialize<'de>>(arguments: Value) -> Result<T, ToolResult> {
    serde_json::from_value(arguments)
        .map_err(|error| failed(format!("The arguments are not acceptable: {error}")))
}

async fn hand_in(door: &Door, caller: &Caller, submission: Submission) -> Result<ToolResult, RpcError> {
    let Submission {
        tool,
        arguments,
        title,
    } = submission;
    let Some(name) = door
        .names()
        .find_tool(&tool)
        .filter(|_| OwnTool::find(&tool).is_none())
    else {
        return Ok(failed(format!("There is no tool {tool:?} that a task can call")));
    };
    let ToolName { plugin, .. } = &name;
    caller.require(&[Permission::WriteTasks, Permission::ExecutePlugin(plugin.clone())])?;
    let submitted = match door.engine().find_tool(caller.principal(), &name) {
        Ok(found) => submit(door, caller, &found, Value::Object(arguments), title).await,
        Err(error) => Err(error),
    };
    concluded(door, submitted)
}

/// Waits until a task has ended or asks something, or the time is over; gives it as it is then.
async fn wait(door: &Door, caller: &Caller, waiting: Waiting) -> Result<Task> {
    let Waiting { task_id, seconds } = waiting;
    if !(1..=LONGEST_WAIT).contains(&seconds) {
        let message = format!("must be a whole number from 1 to {LONGEST_WAIT}");
        return Err(Error::invalid("seconds", message));
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut watch = door.engine().watch_task(caller.principal(), task_id).await?;
    while !is_settled(watch.task()) {
        match timeout_at(until, watch.changed()).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Error::not_found("task")),
            Err(_elapsed) => break,
        }
    }
    Ok(watch.task().clone())
}

/// Tells whether nothing happens to a task unless someone does something.
fn is_settled(task: &Task) -> bool {
    task.standing.status.is_final() || task.standing.awaits_input
}

/// The task as a result, or why there is none.
fn concluded(door: &Door, done: Result<Task>) -> Result<ToolResult, RpcError> {
    let task = match done {
        Ok(task) => task,
        Err(error) if error.kind() == ErrorKind::Forbidden => return Err(request_error(&error)),
        Err(error) => return tool_result(&error),
    };
    let view = serde_json::to_value(TaskView::of(task, door)).map_err(|_| RpcError::internal())?;
    Ok(ToolResult {
        content: vec![Content::text(view.to_string())],
        structured: Some(view),
        is_error: false,
    })
}
