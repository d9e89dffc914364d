//! A task as the server's own tools show it.

use model::{Failure, Progress, Task, TaskId, TaskStatus, TaskTitle, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::mcp::door::Door;

/// A task as the server's own tools show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskView {
    task_id: TaskId,
    title: TaskTitle,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    status: TaskStatus,
    /// Whether nothing more becomes of it by itself.
    is_final: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    /// What it asks, by keys; someone answers it over REST or the tasks extension.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct FailureView {
    code: String,
    message: String,
}

impl TaskView {
    pub(super) fn of(task: Task, door: &Door) -> Self {
        let open = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
        let asks = open.map(|(key, _)| key.to_owned()).collect();
        let job = task.job.as_ref();
        Self {
            task_id: task.id,
            title: task.title,
            tool: job.map(|job| door.names().show(&job.plugin, job.action.as_str())),
            status: task.standing.status,
            is_final: task.standing.status.is_final(),
            progress: task.progress,
            asks: if task.standing.awaits_input {
                asks
            } else {
                Vec::new()
            },
            result: task.result,
            error: task
                .error
                .map(|Failure { code, message }| FailureView { code, message }),
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}
