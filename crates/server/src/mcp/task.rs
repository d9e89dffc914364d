//! Tasks, as the extension `io.modelcontextprotocol/tasks` shows them.

use std::{sync::Arc, time::Duration};

use model::{
    Error, ErrorKind, Permission, Progress, ResultForm, Task, TaskId, TaskKind, TaskStatus as Status,
};
use protocol::{Context, ErrorCode, Questions, RpcError, TaskHandle, TaskState, TaskStatus, ToolResult};
use serde_json::{Map, Value};

use super::{
    caller::Caller,
    catalogue::Catalogue,
    door::Door,
    fault::{failed, request_error},
    outcome::result_of,
    question::shown_question,
};

/// How often a client should ask.
const POLL_EVERY_MS: u64 = 1_000;

/// `tasks/get`.
pub(super) async fn get(door: &Door, context: &Context<Caller>, id: &str) -> Result<TaskState, RpcError> {
    let caller = &context.caller;
    caller.require(&[Permission::ReadTasks])?;
    let id = id.parse::<TaskId>().map_err(|_| no_such_task())?;
    let task = door
        .engine()
        .read_task(caller.principal(), id)
        .await
        .map_err(refusal)?;
    door.glass().state_of(task).ok_or_else(no_such_task)
}

/// `tasks/update`. Answers to what isn't asked (any more) are ignored.
pub(super) async fn answer(
    door: &Door,
    context: &Context<Caller>,
    id: &str,
    answers: Map<String, Value>,
) -> Result<(), RpcError> {
    let caller = &context.caller;
    caller.require(&[Permission::WriteTasks])?;
    let id = id.parse::<TaskId>().map_err(|_| no_such_task())?;
    let answered = door.engine().answer_task(caller.principal(), id, answers).await;
    match answered {
        // With the answers the task's plugin is called again.
        Err(error) if error.kind() == ErrorKind::Forbidden => {
            Err(cannot_answer(door, caller, (id, &error)).await)
        }
        other => settle(other.map(drop)),
    }
}

/// The refusal of answers to a task whose plugin the caller may not call, with all that it would have needed.
async fn cannot_answer(door: &Door, caller: &Caller, (id, error): (TaskId, &Error)) -> RpcError {
    let task = door.engine().read_task(caller.principal(), id).await.ok();
    let plugin = task.and_then(|task| task.job).map(|job| job.plugin);
    let needs = plugin.map(|plugin| [Permission::WriteTasks, Permission::ExecutePlugin(plugin)]);
    let refused = needs.and_then(|needs| caller.require(&needs).err());
    refused.unwrap_or_else(|| request_error(error))
}

/// `tasks/cancel`. One that has ended stays as it is.
pub(super) async fn cancel(door: &Door, context: &Context<Caller>, id: &str) -> Result<(), RpcError> {
    let caller = &context.caller;
    caller.require(&[Permission::WriteTasks])?;
    let id = id.parse::<TaskId>().map_err(|_| no_such_task())?;
    let cancelled = door.engine().cancel_task(caller.principal(), id).await;
    settle(cancelled.map(drop))
}

/// Takes a conflict with the task's state for granted: the client couldn't know that it came too late.
fn settle(done: model::Result<()>) -> Result<(), RpcError> {
    match done {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        other => other.map_err(refusal),
    }
}

fn refusal(error: Error) -> RpcError {
    if error.kind() == ErrorKind::NotFound {
        return no_such_task();
    }
    request_error(&error)
}

/// What is said of a task that isn't there, isn't the caller's, or is kept no longer: the three are not told apart.
pub(super) fn no_such_task() -> RpcError {
    RpcError::invalid_params("Unknown task: it doesn't exist, or is kept no longer")
}

/// Shows tasks.
#[derive(Clone)]
pub(super) struct TaskGlass {
    catalogue: Arc<Catalogue>,
    retention: Duration,
}

impl Door {
    /// Shows tasks.
    pub(super) fn glass(&self) -> TaskGlass {
        TaskGlass {
            catalogue: Arc::clone(self.catalogue()),
            retention: self.task_retention(),
        }
    }
}

impl TaskGlass {
    /// A task with what its status brings; `None` for one that no tool's call became: a to-do, or a recurring one.
    pub(super) fn state_of(&self, mut task: Task) -> Option<TaskState> {
        let handle = self.handle_of(&task)?;
        let status = handle.status;
        let mut state = TaskState {
            handle,
            questions: Questions::default(),
            result: None,
            error: None,
        };
        match status {
            TaskStatus::InputRequired => state.questions = open_questions(&task),
            TaskStatus::Completed => state.result = Some(self.ending(&mut task)),
            TaskStatus::Failed => state.error = Some(request_failure(&task)),
            TaskStatus::Working | TaskStatus::Cancelled => {}
        }
        Some(state)
    }

    /// What every answer says of a task; `None` as for [`Self::state_of`].
    pub(super) fn handle_of(&self, task: &Task) -> Option<TaskHandle> {
        if task.standing.kind != TaskKind::Job {
            return None;
        }
        let status = status_of(task);
        Some(TaskHandle {
            id: task.id.to_string(),
            status,
            message: message_of(task, status),
            created_at: task.created_at.to_string(),
            updated_at: task.updated_at.to_string(),
            ttl_ms: ttl_of(task, self.retention),
            poll_interval_ms: POLL_EVERY_MS,
        })
    }

    /// The result of a task that has ended.
    pub(super) fn ending(&self, task: &mut Task) -> ToolResult {
        let form = self.catalogue.form_of(task);
        match (task.result.take(), &task.error) {
            (Some(value), _) => result_of(form, value),
            (None, Some(failure)) => failed(failure.message.clone()),
            (None, None) => result_of(ResultForm::Value, Value::Null),
        }
    }
}

fn status_of(task: &Task) -> TaskStatus {
    match task.standing.status {
        Status::Pending if task.standing.awaits_input => TaskStatus::InputRequired,
        Status::Pending | Status::InProgress => TaskStatus::Working,
        Status::Completed => TaskStatus::Completed,
        Status::Failed if is_request_failure(task) => TaskStatus::Failed,
        // The tool was called and failed: that is a result, too.
        Status::Failed => TaskStatus::Completed,
        Status::Cancelled => TaskStatus::Cancelled,
    }
}

/// Tells whether a call would have been answered with an error in place of a result.
fn is_request_failure(task: &Task) -> bool {
    let code = task.error.as_ref().map(|failure| failure.code.as_str());
    let is = |known: model::ErrorCode| code == Some(known.as_str());
    is(model::ErrorCode::Internal) || is(model::ErrorCode::NotFound)
}

fn request_failure(task: &Task) -> RpcError {
    match &task.error {
        Some(failure) if failure.code == model::ErrorCode::NotFound.as_str() => {
            RpcError::invalid_params(failure.message.clone())
        }
        Some(failure) => RpcError::new(ErrorCode::Internal, failure.message.clone()),
        None => RpcError::internal(),
    }
}

/// What a task asks that nobody has answered.
fn open_questions(task: &Task) -> Questions {
    let open = task.inquiry.iter().flat_map(|inquiry| inquiry.open());
    Questions {
        asked: open
            .map(|(key, question)| (key.to_owned(), shown_question(question.clone())))
            .collect(),
        state: None,
    }
}

fn message_of(task: &Task, status: TaskStatus) -> Option<String> {
    match status {
        TaskStatus::Working => Some(match (&task.progress, task.standing.status) {
            (Some(progress), Status::InProgress) => told(progress),
            (None, Status::InProgress) => "running".to_owned(),
            _ if task.standing.attempt > 0 => "waiting to be tried again".to_owned(),
            _ => "waiting for its turn".to_owned(),
        }),
        TaskStatus::InputRequired => Some("waiting for answers".to_owned()),
        TaskStatus::Failed | TaskStatus::Cancelled => {
            task.error.as_ref().map(|failure| failure.message.clone())
        }
        TaskStatus::Completed => None,
    }
}

fn told(progress: &Progress) -> String {
    let percent = percent(progress.fraction).floor();
    match &progress.message {
        Some(message) => format!("{percent} %: {message}"),
        None => format!("{percent} %"),
    }
}

/// A share in percent, to four places: more of them only show how numbers are kept.
pub(super) fn percent(fraction: f64) -> f64 {
    (fraction * 1_000_000.0).round() / 10_000.0
}

/// How long a task is kept from its creation on: unknown until it has ended.
fn ttl_of(task: &Task, retention: Duration) -> Option<u64> {
    let until = task.finished_at?.plus(retention);
    let millis = until.as_millis().saturating_sub(task.created_at.as_millis());
    u64::try_from(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_in_percent_has_four_places_at_most() {
        let told = [0.0, 0.29, 0.55, 0.57, 1.0 / 3.0, 1.0].map(|share| percent(share).to_string());
        assert_eq!(told, ["0", "29", "55", "57", "33.3333", "100"]);
    }
}
