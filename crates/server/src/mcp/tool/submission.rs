//! Handing a tool's call in as a task.

use std::sync::Arc;

use engine::{Engine, TaskRequest, ToolView};
use model::{Principal, Priority, Result, Tags, Task, TaskId, TaskTitle, ToolName};
use serde_json::Value;
use tokio_util::task::TaskTracker;

use crate::mcp::{caller::Caller, door::Door};

/// Hands a call in; it is on disk then. Its title is the tool's when none is given.
///
/// A tool that can't be called twice without harm is called once at most: neither a failure nor the end of a worker in
/// the middle of the call has it called again.
pub(super) async fn submit(
    door: &Door,
    caller: &Caller,
    tool: &ToolView,
    arguments: Value,
    title: Option<TaskTitle>,
) -> Result<Task> {
    let ToolName { plugin, action } = tool.name.clone();
    let hints = tool.action.annotations;
    let most = if hints.idempotent || hints.read_only {
        None
    } else {
        Some(0)
    };
    let request = TaskRequest {
        title: match title {
            Some(title) => title,
            None => title_of(tool)?,
        },
        description: None,
        priority: Priority::default(),
        tags: Tags::default(),
        plugin: Some(plugin),
        action: Some(action),
        payload: Some(arguments),
        scheduled_at: None,
        max_retries: most,
        max_stalls: most,
        timeout: None,
        unique_key: None,
        depends_on: Vec::new(),
        schedule: None,
    };
    let submitted = door.engine().submit_task(caller.principal(), request, None);
    Ok(submitted.await?.task)
}

fn title_of(tool: &ToolView) -> Result<TaskTitle> {
    TaskTitle::parse(&tool.action.title).or_else(|_| TaskTitle::parse(&tool.name.to_string()))
}

/// Calls a task off when it is dropped before its client has heard of it.
pub(super) struct Abandon {
    left: Option<(Engine, Arc<Principal>, TaskTracker)>,
    id: TaskId,
}

impl Abandon {
    pub(super) fn of(door: &Door, caller: &Caller, id: TaskId) -> Self {
        let principal = caller.shared_principal();
        Self {
            left: Some((door.engine().clone(), principal, door.cleanup().clone())),
            id,
        }
    }

    /// The client hears of it now.
    pub(super) fn disarm(mut self) {
        self.left = None;
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        let Some((engine, principal, cleanup)) = self.left.take() else {
            return;
        };
        let id = self.id;
        cleanup.spawn(async move {
            // One that has ended meanwhile needs no calling off.
            drop(engine.cancel_task(&principal, id).await);
        });
    }
}
