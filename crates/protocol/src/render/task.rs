//! Tasks of the extension, as they stand on the wire.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Renderer, ResultObject, SubscriptionMeta, ToolResultBody, input_requests};
use crate::{
    error::RpcError,
    handler::{TaskHandle, TaskState, TaskStatus},
    jsonrpc::{ErrorObject, Id},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskBody<'a> {
    task_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    created_at: &'a str,
    last_updated_at: &'a str,
    ttl_ms: Option<u64>,
    poll_interval_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskStateBody<'a> {
    #[serde(flatten)]
    task: TaskBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_requests: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultObject<'a, ToolResultBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorObject<'a>>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<SubscriptionMeta<'a>>,
}

impl Renderer<'_> {
    /// A task instead of what a tool gives.
    pub(crate) fn task(self, handle: &TaskHandle) -> Result<String, RpcError> {
        self.write("task", task_body(handle), None, None)
    }

    /// A task with what its status brings.
    pub(crate) fn task_state(self, state: &TaskState) -> Result<String, RpcError> {
        self.complete(self.task_state_body(state, None))
    }

    /// The parameters of the notification about a task.
    pub(crate) fn task_notice(self, state: &TaskState, subscription: &Id) -> Value {
        let body = self.task_state_body(state, Some(SubscriptionMeta { subscription }));
        serde_json::to_value(body).unwrap_or_default()
    }

    fn task_state_body<'b>(
        self,
        state: &'b TaskState,
        meta: Option<SubscriptionMeta<'b>>,
    ) -> TaskStateBody<'b> {
        let needs_input = state.handle.status == TaskStatus::InputRequired;
        let result = state.result.clone();
        TaskStateBody {
            task: task_body(&state.handle),
            input_requests: needs_input.then(|| input_requests(&state.questions)),
            result: result.map(|result| ResultObject {
                kind: self.revision.is_stateless().then_some("complete"),
                body: self.tool_result_body(result),
                ttl_ms: None,
                cache_scope: None,
                meta: None,
            }),
            error: state
                .error
                .as_ref()
                .map(|error| ErrorObject::new(error, self.revision)),
            meta,
        }
    }
}

fn task_body(handle: &TaskHandle) -> TaskBody<'_> {
    TaskBody {
        task_id: &handle.id,
        status: match handle.status {
            TaskStatus::Working => "working",
            TaskStatus::InputRequired => "input_required",
            TaskStatus::Completed => "completed",
            TaskStatus::Failed => "failed",
            TaskStatus::Cancelled => "cancelled",
        },
        status_message: handle.message.as_deref(),
        created_at: &handle.created_at,
        last_updated_at: &handle.updated_at,
        ttl_ms: handle.ttl_ms,
        poll_interval_ms: handle.poll_interval_ms,
    }
}
