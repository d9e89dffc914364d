//! The history of calls.
#![expect(unused_qualifications, reason = "utoipa qualifies the types of parameters")]

use std::time::Duration;

use axum::extract::State;
use engine::Engine;
use model::{
    ActionName, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStatus,
    Failure as CallFailure, PluginName, Source, TaskId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    envelope::{Envelope, List, ListEnvelope, Success},
    extract::{ListQuery, Path},
    failure::Failure,
    field::{self, TimeOrder, schema},
    principal::TokenOrKey,
};

/// One call of a plugin's action.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionView {
    #[schema(schema_with = schema::id)]
    id: ExecutionId,
    /// The plugin as it was asked for; it need not exist.
    #[schema(schema_with = schema::plugin_name)]
    plugin: PluginName,
    /// The action as it was asked for; it need not exist.
    #[schema(schema_with = schema::action_name)]
    action: ActionName,
    #[schema(schema_with = schema::anything)]
    payload: Value,
    /// Present on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::anything)]
    result: Option<Value>,
    /// Present on failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<CallFailureView>,
    /// `running` while the end of the call isn't recorded.
    #[schema(schema_with = schema::status)]
    status: ExecutionStatus,
    /// In milliseconds, to the microsecond; zero while running.
    #[schema(minimum = 0.0)]
    duration: f64,
    /// Who called; absent for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::id)]
    user_id: Option<UserId>,
    /// The task that it was a try of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::id)]
    task_id: Option<TaskId>,
    /// Which try of the task it was, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    attempt: Option<u32>,
    /// Through which door the call came.
    #[schema(schema_with = schema::source)]
    source: Source,
    /// The caller's network address, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ip_address: Option<String>,
    /// What the caller's program calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<String>,
    /// When the call was accepted.
    #[schema(schema_with = schema::timestamp)]
    created_at: Timestamp,
}

/// Why a call failed, as its caller was told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallFailureView {
    /// One of the codes of failed answers.
    code: String,
    message: String,
}

impl From<CallFailure> for CallFailureView {
    fn from(CallFailure { code, message }: CallFailure) -> Self {
        Self { code, message }
    }
}

impl From<Execution> for ExecutionView {
    fn from(execution: Execution) -> Self {
        let status = execution.outcome.status();
        let (result, error) = match execution.outcome {
            ExecutionOutcome::Running => (None, None),
            ExecutionOutcome::Success(result) => (Some(result), None),
            ExecutionOutcome::Failure(failure) => (None, Some(failure.into())),
        };
        Self {
            id: execution.id,
            plugin: execution.plugin,
            action: execution.action,
            payload: execution.payload,
            result,
            error,
            status,
            duration: milliseconds(execution.duration),
            user_id: execution.user_id,
            task_id: execution.task.map(|task| task.task_id),
            attempt: execution.task.map(|task| task.attempt),
            source: execution.source,
            ip_address: execution.ip_address,
            user_agent: execution.user_agent,
            created_at: execution.created_at,
        }
    }
}

/// A duration as answers show it: in milliseconds, to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    // Microseconds first, so that 12.345 ms is shown as that and not as 12.345000000000001.
    let micros = u32::try_from(duration.as_micros()).map_or(duration.as_secs_f64() * 1e6, f64::from);
    micros.round() / 1000.0
}

type HistoryQuery = ListQuery<TimeOrder, HistoryFilter>;

/// Which calls a list holds.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryFilter {
    /// Only calls of this plugin.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::plugin_name, required = false)]
    plugin: Option<PluginName>,
    /// Only calls of actions with this name.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::action_name, required = false)]
    action: Option<ActionName>,
    /// Only calls with this status.
    #[serde(default, deserialize_with = "field::status")]
    #[param(schema_with = schema::status, required = false)]
    status: Option<ExecutionStatus>,
    /// Only calls through this door.
    #[serde(default, deserialize_with = "field::source")]
    #[param(schema_with = schema::source, required = false)]
    source: Option<Source>,
    /// Only this account's calls; for admins.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::id, required = false)]
    user_id: Option<UserId>,
    /// Only calls accepted at or after this moment.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::moment, required = false)]
    since: Option<Timestamp>,
    /// Only calls accepted before this moment.
    #[serde(default, deserialize_with = "field::given")]
    #[param(schema_with = schema::moment, required = false)]
    until: Option<Timestamp>,
}

impl From<HistoryFilter> for ExecutionFilter {
    fn from(query: HistoryFilter) -> Self {
        let HistoryFilter {
            plugin,
            action,
            status,
            source,
            user_id,
            since,
            until,
        } = query;
        Self {
            user_id,
            plugin,
            action,
            status,
            source,
            since,
            until,
        }
    }
}

/// List calls
///
/// One's own, or everyone's for an admin. Refused calls are in it, too.
#[utoipa::path(
    get, path = "/mcp/history", tag = "History", operation_id = "listHistory",
    security(("bearer" = []), ("apiKey" = [])),
    params(HistoryQuery),
    responses((status = 200, description = "A page of calls", body = ListEnvelope<ExecutionView>)),
)]
pub(crate) async fn list(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    query: HistoryQuery,
) -> Result<List<ExecutionView>, Failure> {
    let (filter, page) = query.split();
    let executions = engine.list_executions(&principal, filter.into(), page).await?;
    Ok(List::of(executions, ExecutionView::from))
}

/// Read a call
///
/// One's own, or any for an admin.
#[utoipa::path(
    get, path = "/mcp/history/{id}", tag = "History", operation_id = "readHistory",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses((status = 200, description = "The call", body = Envelope<ExecutionView>), (status = 404)),
)]
pub(crate) async fn read(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<ExecutionId>,
) -> Result<Success<ExecutionView>, Failure> {
    let execution = engine.execution(&principal, id).await?;
    Ok(Success::ok(execution.into()))
}
