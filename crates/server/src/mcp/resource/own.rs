//! The caller's own tasks and calls as resources.

use engine::PageQuery;
use model::{
    Direction, Error, ErrorKind, Execution, ExecutionFilter, ExecutionId, PageLimit, Permission, Sort, Task,
    TaskFilter, TaskId, TaskSort,
};
use protocol::{Resource, ResourceTemplate, RpcError};
use serde_json::Value;

use super::not_found;
use crate::{
    mcp::{caller::Caller, door::Door, fault::request_error},
    rest::{execution::ExecutionView, task::view::TaskView},
};

/// The scheme of what is this server's own.
const SCHEME: &str = "mcp-server://";
pub(super) const JSON: &str = "application/json";

/// How many tasks, and how many calls, the list shows.
const SHOWN: u16 = 25;

/// A pattern of addresses.
pub(in crate::mcp) struct OwnTemplate {
    pub(in crate::mcp) pattern: &'static str,
    name: &'static str,
    title: &'static str,
    description: &'static str,
}

pub(in crate::mcp) const OWN_TEMPLATES: [OwnTemplate; 3] = [
    OwnTemplate {
        pattern: "mcp-server://executions/{id}",
        name: "execution",
        title: "A call",
        description: "One call of your history: what was called with what, and its result or error.",
    },
    OwnTemplate {
        pattern: "mcp-server://tasks/{id}",
        name: "task",
        title: "A task",
        description: "One of your tasks: what it does, how far it has come, and its result or error.",
    },
    OwnTemplate {
        pattern: "mcp-server://tasks/{id}/result",
        name: "task-result",
        title: "The result of a task",
        description: "What one of your tasks gave; there once it is completed.",
    },
];

impl OwnTemplate {
    /// Tells whether the caller may read what is at such addresses.
    pub(super) fn is_open_to(&self, caller: &Caller) -> bool {
        let permission = OwnAddress::parse(self.pattern).and_then(OwnAddress::permission);
        permission.is_some_and(|permission| caller.may(&[permission]))
    }

    pub(super) fn describe(&self) -> ResourceTemplate {
        ResourceTemplate {
            uri_template: self.pattern.to_owned(),
            name: self.name.to_owned(),
            title: Some(self.title.to_owned()),
            description: Some(self.description.to_owned()),
            mime_type: Some(JSON.to_owned()),
        }
    }
}

/// Where one of the caller's things is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mcp) enum OwnAddress {
    /// A call. `None` for what can't be its id.
    Execution(Option<ExecutionId>),
    /// A task, or its result alone.
    Task { id: Option<TaskId>, is_result: bool },
    /// Nothing that there is.
    Elsewhere,
}

impl OwnAddress {
    /// Reads an address; `None` for one of another scheme.
    pub(in crate::mcp) fn parse(uri: &str) -> Option<Self> {
        let path = uri.strip_prefix(SCHEME)?;
        let mut segments = path.split('/');
        let (kind, id) = (segments.next(), segments.next().unwrap_or_default());
        Some(match (kind, segments.next(), segments.next()) {
            (Some("executions"), None, None) => Self::Execution(id.parse().ok()),
            (Some("tasks"), None, None) => Self::Task {
                id: id.parse().ok(),
                is_result: false,
            },
            (Some("tasks"), Some("result"), None) => Self::Task {
                id: id.parse().ok(),
                is_result: true,
            },
            _ => Self::Elsewhere,
        })
    }

    /// What reading it takes; `None` where nothing is.
    fn permission(self) -> Option<Permission> {
        match self {
            Self::Execution(_) => Some(Permission::ReadHistory),
            Self::Task { .. } => Some(Permission::ReadTasks),
            Self::Elsewhere => None,
        }
    }

    /// What is there, as the REST interface shows it; `uri` is the address as it was asked for.
    pub(super) async fn read(self, door: &Door, caller: &Caller, uri: &str) -> Result<Value, RpcError> {
        let refusal = |error: Error| {
            if error.kind() == ErrorKind::NotFound {
                return not_found(uri);
            }
            request_error(&error)
        };
        match self {
            Self::Execution(Some(id)) => {
                caller.require(&[Permission::ReadHistory])?;
                let execution = door.engine().execution(caller.principal(), id).await;
                as_json(&ExecutionView::from(execution.map_err(refusal)?))
            }
            Self::Task {
                id: Some(id),
                is_result,
            } => {
                caller.require(&[Permission::ReadTasks])?;
                let task = door.engine().read_task(caller.principal(), id).await;
                let task = task.map_err(refusal)?;
                if is_result {
                    return task.result.ok_or_else(|| not_found(uri));
                }
                as_json(&TaskView::of(door.engine(), task))
            }
            Self::Execution(None) | Self::Task { id: None, .. } | Self::Elsewhere => Err(not_found(uri)),
        }
    }
}

fn as_json(view: &impl serde::Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(view).map_err(|_| RpcError::internal())
}

fn execution_uri(id: ExecutionId) -> String {
    format!("{SCHEME}executions/{id}")
}

fn task_uri(id: TaskId) -> String {
    format!("{SCHEME}tasks/{id}")
}

/// The caller's latest tasks and calls, as far as the credential shows them. An admin's list holds its own, too: others'
/// things are read by their address.
pub(super) async fn latest(door: &Door, caller: &Caller) -> Result<Vec<Resource>, RpcError> {
    let (engine, principal) = (door.engine(), caller.principal());
    let user_id = principal.user_id().filter(|_| principal.is_admin());
    let mut found = Vec::new();
    if caller.may(&[Permission::ReadTasks]) {
        let filter = TaskFilter {
            user_id,
            ..TaskFilter::default()
        };
        let tasks = engine.list_tasks(principal, filter, newest(TaskSort::CreatedAt)?);
        let tasks = tasks.await.map_err(|error| request_error(&error))?;
        found.extend(tasks.items.iter().map(task_entry));
    }
    if caller.may(&[Permission::ReadHistory]) {
        let filter = ExecutionFilter {
            user_id,
            ..ExecutionFilter::default()
        };
        let calls = engine.list_executions(principal, filter, newest(())?);
        let calls = calls.await.map_err(|error| request_error(&error))?;
        found.extend(calls.items.iter().map(call_entry));
    }
    Ok(found)
}

fn newest<F>(field: F) -> Result<PageQuery<F>, RpcError> {
    Ok(PageQuery {
        limit: PageLimit::new(SHOWN).map_err(|error| request_error(&error))?,
        sort: Sort {
            field,
            direction: Direction::Descending,
        },
        cursor: None,
    })
}

fn task_entry(task: &Task) -> Resource {
    Resource {
        uri: task_uri(task.id),
        name: format!("task {}", task.id),
        title: Some(task.title.to_string()),
        description: Some(format!(
            "{}, made {}",
            task.standing.status.as_str(),
            task.created_at
        )),
        mime_type: Some(JSON.to_owned()),
    }
}

fn call_entry(execution: &Execution) -> Resource {
    let called = format!("{}__{}", execution.plugin, execution.action);
    let status = execution.outcome.status();
    Resource {
        uri: execution_uri(execution.id),
        name: format!("execution {}", execution.id),
        title: Some(called),
        description: Some(format!("{}, made {}", status.as_str(), execution.created_at)),
        mime_type: Some(JSON.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ID: &str = "0199c0de-0000-7000-8000-00000000abcd";

    #[rstest]
    #[case("executions/{id}", OwnAddress::Execution(ID.parse().ok()))]
    #[case("tasks/{id}", OwnAddress::Task { id: ID.parse().ok(), is_result: false })]
    #[case("tasks/{id}/result", OwnAddress::Task { id: ID.parse().ok(), is_result: true })]
    #[case("tasks/x", OwnAddress::Task { id: None, is_result: false })]
    #[case("tasks/{id}/results", OwnAddress::Elsewhere)]
    #[case("tasks/{id}/result/", OwnAddress::Elsewhere)]
    #[case("users/{id}", OwnAddress::Elsewhere)]
    #[case("", OwnAddress::Elsewhere)]
    fn an_address_leads_to_one_thing(#[case] path: &str, #[case] expected: OwnAddress) {
        let uri = format!("mcp-server://{}", path.replace("{id}", ID));
        assert_eq!(OwnAddress::parse(&uri), Some(expected));
        assert_eq!(OwnAddress::parse(&uri.replace("mcp-server", "file")), None);
    }
}
