//! Tasks: work that is kept until it is done.

mod body;
mod filter;
mod stats;
pub(crate) mod view;
mod wait;

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use engine::{Engine, TaskRun};
use model::{Submitted, TaskId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    envelope::{Envelope, List, ListEnvelope, Success},
    extract::{Json, Path},
    failure::Failure,
    field::schema,
    idempotent::{Idempotent, NoBody},
    principal::TokenOrKey,
    rest::execution::ExecutionView,
    state::AppState,
};
use body::{AnswerTask, CreateTask, CreateTasks, UpdateTask};
use filter::TaskListQuery;
use stats::TaskStatsView;
use view::TaskView;
use wait::{Wait, WaitQuery};

/// What became of one task of several that were to be made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmittedView {
    /// The task: the new one, or the one that has its unique key.
    #[schema(schema_with = schema::id)]
    id: TaskId,
    /// False when another task has its unique key.
    is_new: bool,
}

/// What became of tasks that were to be made.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubmittedTasksView {
    /// In the order of the request.
    tasks: Vec<SubmittedView>,
}

impl From<Submitted> for SubmittedView {
    fn from(submitted: Submitted) -> Self {
        Self {
            id: submitted.task.id,
            is_new: submitted.is_new,
        }
    }
}

/// List tasks
///
/// One's own, or everyone's for an admin.
#[utoipa::path(
    get, path = "/tasks", tag = "Tasks", operation_id = "listTasks",
    security(("bearer" = []), ("apiKey" = [])),
    params(TaskListQuery),
    responses((status = 200, description = "A page of tasks", body = ListEnvelope<TaskView>)),
)]
pub(crate) async fn list(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    query: TaskListQuery,
) -> Result<List<TaskView>, Failure> {
    let (filter, page) = query.split();
    let tasks = engine.list_tasks(&principal, filter.into(), page).await?;
    Ok(List::of(tasks, |task| TaskView::of(&engine, task)))
}

/// Make a task
///
/// With a plugin and an action it runs by itself: as soon as a worker is free, at `scheduledAt`, once the tasks in
/// `dependsOn` are completed, or at each tick of its `schedule`. Once answered, it is on disk and will be run.
/// Without a plugin it is a to-do that only people move.
#[utoipa::path(
    post, path = "/tasks", tag = "Tasks", operation_id = "createTask",
    security(("bearer" = []), ("apiKey" = [])),
    request_body(content = CreateTask, example = json!({
        "title": "Say hello", "plugin": "sample", "action": "echo", "payload": { "message": "hello" },
    })),
    responses(
        (
            status = 201, description = "The task", body = Envelope<TaskView>,
            headers(("Location" = String, description = "The task's path")),
            links(
                ("read" = (operation_id = "readTask", parameters(("id" = "$response.body#/data/id")))),
                ("update" = (operation_id = "updateTask", parameters(("id" = "$response.body#/data/id")))),
                ("execute" = (operation_id = "executeTask", parameters(("id" = "$response.body#/data/id")))),
                ("cancel" = (operation_id = "cancelTask", parameters(("id" = "$response.body#/data/id")))),
                ("attempts" = (operation_id = "listTaskAttempts", parameters(("id" = "$response.body#/data/id")))),
                ("delete" = (operation_id = "deleteTask", parameters(("id" = "$response.body#/data/id")))),
            ),
        ),
        (status = 200, description = "The task that has the same unique key", body = Envelope<TaskView>),
        (status = 404),
    ),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn create(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    body: Idempotent<Json<CreateTask>>,
) -> Response {
    let caller = Arc::clone(&principal);
    let work = async move |Json(body): Json<CreateTask>, names| {
        let submitted = engine.submit_task(&principal, body.into(), names).await?;
        let place = format!("/api/v1/tasks/{}", submitted.task.id);
        let view = TaskView::of(&engine, submitted.task);
        Ok(if submitted.is_new {
            Success::created(view).at(place)
        } else {
            Success::ok(view)
        })
    };
    body.once_by_name("/tasks", Some(caller), work).await
}

/// Make many tasks
///
/// All of them or, when one can't be made, none. As if they were made one after the other: a later one can have the
/// unique key of an earlier one, and is that one then.
#[utoipa::path(
    post, path = "/tasks/bulk", tag = "Tasks", operation_id = "createTasks",
    security(("bearer" = []), ("apiKey" = [])),
    request_body(content = CreateTasks, example = json!({ "tasks": [
        { "title": "Say hello", "plugin": "sample", "action": "echo", "payload": { "message": "hello" } },
        { "title": "Ask whether it was heard" },
    ] })),
    responses(
        (status = 201, description = "The tasks by their ids", body = Envelope<SubmittedTasksView>), (status = 404),
    ),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn create_many(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    body: Idempotent<Json<CreateTasks>>,
) -> Response {
    let caller = Arc::clone(&principal);
    let work = async move |Json(body): Json<CreateTasks>, names| {
        let submitted = engine.submit_tasks(&principal, body.into(), names).await?;
        let tasks = submitted.into_iter().map(SubmittedView::from).collect();
        Ok(Success::created(SubmittedTasksView { tasks }))
    };
    body.once_by_name("/tasks/bulk", Some(caller), work).await
}

/// Count tasks
///
/// By status, priority and plugin, and how those went that ended last: one's own, or everyone's for an admin.
#[utoipa::path(
    get, path = "/tasks/stats", tag = "Tasks", operation_id = "countTasks",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "The counts", body = Envelope<TaskStatsView>)),
)]
pub(crate) async fn stats(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
) -> Result<Success<TaskStatsView>, Failure> {
    let overview = engine.task_overview(&principal).await?;
    Ok(Success::ok(overview.into()))
}

/// Read a task
///
/// One's own, or any for an admin.
#[utoipa::path(
    get, path = "/tasks/{id}", tag = "Tasks", operation_id = "readTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses((status = 200, description = "The task", body = Envelope<TaskView>), (status = 404)),
)]
pub(crate) async fn read(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.read_task(&principal, id).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// Change a task
///
/// What is left out stays. What a worker does, when and how changes only while the task is pending (409). A to-do
/// moves by its `status`.
#[utoipa::path(
    put, path = "/tasks/{id}", tag = "Tasks", operation_id = "updateTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    request_body(content = UpdateTask, example = json!({ "priority": "high", "tags": ["reports"] })),
    responses(
        (status = 200, description = "The task, changed", body = Envelope<TaskView>), (status = 404), (status = 409),
    ),
)]
pub(crate) async fn update(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
    Json(body): Json<UpdateTask>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.update_task(&principal, id, body.into()).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// Delete a task
///
/// Not while a worker is at it, or while a pending task depends on it (409). Its calls stay in the history; what
/// came of a recurring task stays.
#[utoipa::path(
    delete, path = "/tasks/{id}", tag = "Tasks", operation_id = "deleteTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses(
        (status = 200, description = "The task as it was", body = Envelope<TaskView>), (status = 404), (status = 409),
    ),
)]
pub(crate) async fn delete(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.delete_task(&principal, id).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// Run a task now
///
/// Makes it due, and waits for its end: 200 with the finished task when it ended within `wait`, otherwise 202 with
/// the task as it is, which goes on; also, at once, when it waits for answers. 409 for a to-do, a recurring task and one that has ended.
#[utoipa::path(
    post, path = "/tasks/{id}/execute", tag = "Tasks", operation_id = "executeTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path), WaitQuery),
    responses(
        (status = 200, description = "The task, completed, failed or cancelled", body = Envelope<TaskView>),
        (status = 202, description = "The task, which goes on", body = Envelope<TaskView>),
        (status = 404),
    ),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn execute(
    State(state): State<AppState>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
    Wait(wait): Wait,
    body: Idempotent<NoBody>,
) -> Response {
    let caller = Arc::clone(&principal);
    let work = async move |NoBody| {
        let engine = state.engine();
        let run = engine.run_task(&principal, id, wait);
        let TaskRun { task, has_ended } = tokio::select! {
            biased;
            run = run => run?,
            // Whoever waits is told what is known, so that a stop doesn't wait for them.
            () = state.stopping().cancelled() => engine.run_task(&principal, id, Duration::ZERO).await?,
        };
        let view = TaskView::of(engine, task);
        Ok(if has_ended {
            Success::ok(view)
        } else {
            Success::accepted(view)
        })
    };
    body.about(id)
        .once("/tasks/{id}/execute", Some(caller), work)
        .await
}

/// Cancel a task
///
/// No attempt begins after the answer; one that is going on is stopped. A recurring task ends for good.
#[utoipa::path(
    post, path = "/tasks/{id}/cancel", tag = "Tasks", operation_id = "cancelTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses(
        (status = 200, description = "The task, cancelled", body = Envelope<TaskView>), (status = 404), (status = 409),
    ),
)]
pub(crate) async fn cancel(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.cancel_task(&principal, id).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// Answer what a task asks
///
/// By the keys of its `inputRequests`, now or some later. With the last answer the task goes on. An answer to a
/// question that isn't asked, or was answered before, is ignored; a task that asks nothing, or has ended, takes none
/// (409).
#[utoipa::path(
    post, path = "/tasks/{id}/answers", tag = "Tasks", operation_id = "answerTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    request_body(content = AnswerTask, example = json!({
        "answers": { "name": { "action": "accept", "content": { "name": "Ada" } } },
    })),
    responses(
        (status = 200, description = "The task", body = Envelope<TaskView>), (status = 404), (status = 409),
    ),
)]
pub(crate) async fn answer(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
    Json(body): Json<AnswerTask>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.answer_task(&principal, id, body.into_answers()).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// Try a failed or cancelled task again
///
/// From its beginning, with all its retries, and due now. It waits for the tasks that it depends on; when one of them
/// has failed or was cancelled, retry that one first (409).
#[utoipa::path(
    post, path = "/tasks/{id}/retry", tag = "Tasks", operation_id = "retryTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses((status = 200, description = "The task, pending", body = Envelope<TaskView>), (status = 404)),
    extensions(("x-repeatable" = json!(true))),
)]
pub(crate) async fn retry(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
    body: Idempotent<NoBody>,
) -> Response {
    let caller = Arc::clone(&principal);
    let work = async move |NoBody| {
        let task = engine.retry_task(&principal, id).await?;
        Ok(Success::ok(TaskView::of(&engine, task)))
    };
    body.about(id).once("/tasks/{id}/retry", Some(caller), work).await
}

/// Pause a recurring task
///
/// No tasks come of it until it is resumed; those that have come go on.
#[utoipa::path(
    post, path = "/tasks/{id}/pause", tag = "Tasks", operation_id = "pauseTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses(
        (status = 200, description = "The task, paused", body = Envelope<TaskView>), (status = 404), (status = 409),
    ),
)]
pub(crate) async fn pause(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.pause_task(&principal, id).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// Resume a recurring task
///
/// From its next tick on; none is made up for.
#[utoipa::path(
    post, path = "/tasks/{id}/resume", tag = "Tasks", operation_id = "resumeTask",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses(
        (status = 200, description = "The task, going on", body = Envelope<TaskView>), (status = 404), (status = 409),
    ),
)]
pub(crate) async fn resume(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
) -> Result<Success<TaskView>, Failure> {
    let task = engine.resume_task(&principal, id).await?;
    Ok(Success::ok(TaskView::of(&engine, task)))
}

/// List the attempts at a task
///
/// The last hundred in one page, the latest first: each a call of its own in the history, with its result or error.
#[utoipa::path(
    get, path = "/tasks/{id}/attempts", tag = "Tasks", operation_id = "listTaskAttempts",
    security(("bearer" = []), ("apiKey" = [])),
    params(("id" = schema::Id, Path)),
    responses((status = 200, description = "The attempts", body = ListEnvelope<ExecutionView>), (status = 404)),
)]
pub(crate) async fn attempts(
    State(engine): State<Engine>,
    TokenOrKey(principal): TokenOrKey,
    Path(id): Path<TaskId>,
) -> Result<List<ExecutionView>, Failure> {
    let attempts = engine.task_attempts(&principal, id).await?;
    Ok(List::whole(attempts, ExecutionView::from))
}
