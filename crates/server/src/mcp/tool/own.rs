//! The server's own tools: tasks, for clients that know only tools.

mod view;
mod arguments;
mod describe;

use std::time::Duration;

use model::{Error, ErrorKind, Permission, Result, Task, TaskId, TaskTitle, ToolName};
use protocol::{Content, RpcError, ToolResult};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::submission::submit;
use crate::mcp::{
    caller::Caller,
    door::Door,
    fault::{failed, request_error, tool_result},
};
use arguments::Arguments;
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

/// The most characters of an unknown tool's name that are repeated.
const MAX_NAME_CHARS: usize = 64;

/// What `tasks__submit` works on.
struct Submission {
    tool: String,
    arguments: Map<String, Value>,
    title: Option<TaskTitle>,
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
        caller.require(&self.needs(door, &arguments))?;
        let engine = door.engine();
        let done = match self {
            Self::Submit => match Arguments::read(arguments, Submission::take) {
                Ok(submission) => return hand_in(door, caller, submission).await,
                Err(refusal) => Err(refusal),
            },
            Self::Status => match Arguments::read(arguments, Arguments::task_id) {
                Ok(id) => engine.read_task(caller.principal(), id).await,
                Err(refusal) => Err(refusal),
            },
            Self::Wait => match Arguments::read(arguments, |given| given.task_id().zip(given.seconds())) {
                Ok((id, seconds)) => wait(door, caller, id, seconds).await,
                Err(refusal) => Err(refusal),
            },
            Self::Cancel => match Arguments::read(arguments, Arguments::task_id) {
                Ok(id) => engine.cancel_task(caller.principal(), id).await,
                Err(refusal) => Err(refusal),
            },
        };
        concluded(door, done)
    }

    /// What this call takes: handing in also takes what the tool does that is to be called.
    fn needs(self, door: &Door, arguments: &Map<String, Value>) -> Vec<Permission> {
        let mut needs = self.permissions().to_vec();
        if self == Self::Submit {
            let tool = arguments.get("tool").and_then(Value::as_str);
            let target = tool.and_then(|tool| target(door, tool));
            needs.extend(target.map(|name| Permission::ExecutePlugin(name.plugin)));
        }
        needs
    }
}

impl Submission {
    fn take(given: &mut Arguments) -> Option<Self> {
        let (tool, arguments, title) = (given.tool(), given.arguments(), given.title());
        Some(Self {
            tool: tool?,
            arguments: arguments?,
            title: title?,
        })
    }
}

/// The action that a task can call; `None` for what can't be the name of one.
fn target(door: &Door, tool: &str) -> Option<ToolName> {
    let name = door.names().find_tool(tool);
    name.filter(|_| OwnTool::find(tool).is_none())
}

async fn hand_in(door: &Door, caller: &Caller, submission: Submission) -> Result<ToolResult, RpcError> {
    let Submission {
        tool,
        arguments,
        title,
    } = submission;
    let shown: String = tool.chars().take(MAX_NAME_CHARS).collect();
    let Some(name) = target(door, &tool) else {
        return Ok(failed(format!("There is no tool {shown:?} that a task can call")));
    };
    let submitted = match door.engine().find_tool(caller.principal(), &name) {
        Ok(found) => submit(door, caller, &found, Value::Object(arguments), title).await,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(failed(format!("There is no such tool: {shown}")));
        }
        Err(error) => Err(error),
    };
    concluded(door, submitted)
}

/// Waits until a task has ended or asks something, or the time is over; gives it as it is then.
async fn wait(door: &Door, caller: &Caller, task_id: TaskId, seconds: u64) -> Result<Task> {
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
