//! Tasks as callers see them.

use engine::Engine;
use model::{
    ActionName, CatchUp, Inquiry, PluginName, Priority, Progress, Recurrence, Tags, Task, TaskDescription,
    TaskId, TaskKind, TaskStatus, TaskTitle, Timestamp, UniqueKey, UserId,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{
    field::schema,
    rest::execution::{CallFailureView, milliseconds},
};

/// How many of the next ticks of a recurring task are shown.
const SHOWN_TICKS: usize = 5;

/// A task.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskView {
    #[schema(schema_with = schema::id)]
    id: TaskId,
    #[schema(value_type = String)]
    title: TaskTitle,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    description: Option<TaskDescription>,
    #[schema(schema_with = schema::task_status)]
    status: TaskStatus,
    #[schema(schema_with = schema::priority)]
    priority: Priority,
    #[schema(schema_with = schema::tags)]
    tags: Tags,
    /// Absent for a to-do, which people do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::plugin_name)]
    plugin: Option<PluginName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::action_name)]
    action: Option<ActionName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::anything)]
    payload: Option<Value>,
    /// What it asks and nobody has answered yet, by the keys to answer by; present while it waits for that, pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::questions)]
    input_requests: Option<Map<String, Value>>,
    /// What the action gave; present once it is completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::anything)]
    result: Option<Value>,
    /// Why its last attempt failed, or why it is failed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<CallFailureView>,
    /// Whose it is; absent for the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::id)]
    user_id: Option<UserId>,
    /// When it was to start at the earliest, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    scheduled_at: Option<Timestamp>,
    /// When its next attempt may begin; present while a worker is to do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    due_at: Option<Timestamp>,
    /// The tasks that must be completed before it starts.
    #[schema(schema_with = schema::dependencies)]
    depends_on: Vec<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::unique_key)]
    unique_key: Option<UniqueKey>,
    /// When tasks come of it; present when it is recurring.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    schedule: Option<ScheduleView>,
    /// The recurring task that it came of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::id)]
    schedule_id: Option<TaskId>,
    /// How many attempts began.
    #[schema(minimum = 0)]
    attempt: u32,
    /// How many of them were retries of a failure, since a person last asked for it.
    #[schema(minimum = 0)]
    retry_count: u16,
    #[schema(schema_with = schema::retries)]
    max_retries: u16,
    /// How many attempts took down the process that worked at it, since a person last asked for it.
    #[schema(minimum = 0)]
    stall_count: u16,
    #[schema(schema_with = schema::retries)]
    max_stalls: u16,
    /// How long one attempt may take, in milliseconds; absent when the action says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0.0)]
    timeout_ms: Option<f64>,
    /// How far its present attempt has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    progress: Option<ProgressView>,
    /// When its last attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    started_at: Option<Timestamp>,
    /// When it was completed, failed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    finished_at: Option<Timestamp>,
    #[schema(schema_with = schema::timestamp)]
    created_at: Timestamp,
    #[schema(schema_with = schema::timestamp)]
    updated_at: Timestamp,
}

/// How far a call has come, as its plugin says.
#[derive(Serialize, ToSchema)]
struct ProgressView {
    #[schema(minimum = 0.0, maximum = 1.0)]
    fraction: f64,
    /// What is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

/// When tasks come of a recurring one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScheduleView {
    #[schema(schema_with = schema::cron)]
    cron: String,
    #[schema(schema_with = schema::timezone)]
    timezone: String,
    #[schema(schema_with = schema::catch_up)]
    catch_up: CatchUp,
    /// Whether no tasks come of it for the time being.
    is_paused: bool,
    /// The next ticks, at most five; none while it is paused.
    #[schema(schema_with = schema::timestamps)]
    next_runs: Vec<Timestamp>,
    /// The last tick of which a task came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    last_run_at: Option<Timestamp>,
}

impl TaskView {
    /// Shows a task; `engine` reads its schedule.
    pub(crate) fn of(engine: &Engine, task: Task) -> Self {
        let standing = task.standing;
        let is_pending = standing.kind == TaskKind::Job && standing.status == TaskStatus::Pending;
        let is_due = is_pending && !standing.awaits_input;
        let schedule = task.recurrence.map(|recurrence| {
            let next_runs = engine.upcoming_ticks(&recurrence, SHOWN_TICKS);
            ScheduleView::new(recurrence, next_runs)
        });
        let (plugin, action, payload) = match task.job {
            Some(job) => (Some(job.plugin), Some(job.action), Some(job.payload)),
            None => (None, None, None),
        };
        Self {
            id: task.id,
            title: task.title,
            description: task.description,
            status: standing.status,
            priority: task.priority,
            tags: task.tags,
            plugin,
            action,
            payload,
            input_requests: standing.awaits_input.then(|| open_questions(task.inquiry)),
            result: task.result,
            error: task.error.map(CallFailureView::from),
            user_id: task.user_id,
            scheduled_at: task.scheduled_at,
            due_at: is_due.then_some(standing.due_at),
            depends_on: task.depends_on,
            unique_key: task.unique_key,
            schedule,
            schedule_id: task.schedule_id,
            attempt: standing.attempt,
            retry_count: standing.retry_count,
            max_retries: standing.max_retries,
            stall_count: standing.stall_count,
            max_stalls: standing.max_stalls,
            timeout_ms: task.timeout.map(milliseconds),
            progress: task.progress.map(ProgressView::from),
            started_at: task.started_at,
            finished_at: task.finished_at,
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}

fn open_questions(inquiry: Option<Inquiry>) -> Map<String, Value> {
    let open = inquiry.iter().flat_map(Inquiry::open);
    let shown = open.map(|(key, question)| {
        let shown = json!({ "method": question.kind.method(), "params": question.params });
        (key.to_owned(), shown)
    });
    shown.collect()
}

impl ScheduleView {
    fn new(recurrence: Recurrence, next_runs: Vec<Timestamp>) -> Self {
        Self {
            cron: recurrence.cron,
            timezone: recurrence.timezone,
            catch_up: recurrence.catch_up,
            is_paused: recurrence.is_paused,
            next_runs,
            last_run_at: recurrence.last_at,
        }
    }
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        Self {
            fraction: progress.fraction,
            message: progress.message,
        }
    }
}
