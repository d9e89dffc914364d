//! A call's entry in the history, from its acceptance to its end.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use model::{
    ActionName, Answers, Call, CallTry, Error, ErrorCode, Execution, ExecutionId, ExecutionOutcome, Failure,
    LogReporter, Observation, PluginName, ProgressReporter, Reply, Result, UserId,
};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{CallRequest, Executed, attempted::Attempted, outcome::unanswered};
use crate::parts::{Client, Parts};

/// The most characters of the caller's program's name that are kept.
const MAX_USER_AGENT_CHARS: usize = 256;

type Writing = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The entry of one call. It is written whatever becomes of the call: dropped before its end, the call is
/// recorded as cancelled by a task that the engine's close waits for.
pub(super) struct Entry {
    parts: Arc<Parts>,
    id: ExecutionId,
    plugin: PluginName,
    action: ActionName,
    accepted: Instant,
    call_try: Option<CallTry>,
    /// Until the call is made.
    answers: Answers,
    progress: ProgressReporter,
    log: LogReporter,
    is_name_known: bool,
    /// Whether the plugin was called.
    is_made: bool,
    stage: Stage,
    /// A write that has begun: it is finished even when the call is dropped, so that nothing is written twice.
    writing: Option<Writing>,
    /// Lets closing the engine wait for this call.
    _running: TaskTrackerToken,
}

/// What the history holds of the call.
enum Stage {
    /// Nothing yet.
    Unwritten(Box<Execution>),
    /// That it has begun, once the write under way is done. Its payload is in the history only.
    Opening(Box<Execution>),
    /// That it has begun.
    Open(Box<Execution>),
    /// All there will be, once the write under way is done.
    Closed,
}

impl Entry {
    /// Accepts a call.
    ///
    /// # Errors
    /// `Unavailable` when the engine is being closed.
    pub(super) fn accept(
        parts: &Arc<Parts>,
        user_id: Option<UserId>,
        request: CallRequest,
        client: &Client,
        call_try: Option<CallTry>,
    ) -> Result<Self> {
        let running = running(parts)?;
        let id = ExecutionId::generate(parts.ids.as_ref());
        let (plugin, action) = (request.plugin.clone(), request.action.clone());
        let draft = Execution {
            id,
            plugin: request.plugin,
            action: request.action,
            payload: request.payload.unwrap_or_else(|| Value::Object(Map::new())),
            outcome: ExecutionOutcome::Running,
            duration: Duration::ZERO,
            user_id,
            task: call_try,
            source: request.source,
            ip_address: client.ip_address.map(|address| address.to_string()),
            user_agent: client.user_agent.as_deref().map(bounded),
            created_at: parts.clock.now(),
        };
        Ok(Self {
            parts: Arc::clone(parts),
            id,
            plugin,
            action,
            accepted: Instant::now(),
            call_try,
            answers: request.answers,
            progress: request.progress,
            log: request.log,
            is_name_known: false,
            is_made: false,
            stage: Stage::Unwritten(Box::new(draft)),
            writing: None,
            _running: running,
        })
    }

    pub(super) fn plugin(&self) -> &PluginName {
        &self.plugin
    }

    pub(super) fn action(&self) -> &ActionName {
        &self.action
    }

    /// Notes that plugin and action exist, so that they may name a metric.
    pub(super) fn name_is_known(&mut self) {
        self.is_name_known = true;
    }

    /// Notes that the plugin is called now.
    pub(super) fn note_made(&mut self) {
        self.is_made = true;
    }

    /// What the call works on; `null` once the entry is opened, since the history has it then.
    pub(super) fn payload(&self) -> &Value {
        match &self.stage {
            Stage::Unwritten(draft) => &draft.payload,
            Stage::Opening(_) | Stage::Open(_) | Stage::Closed => &Value::Null,
        }
    }

    /// Keeps a payload out of the history that its reader could not read back.
    pub(super) fn forget_payload(&mut self) {
        if let Stage::Unwritten(draft) = &mut self.stage {
            draft.payload = Value::Null;
        }
    }

    /// The call as the plugin gets it; once.
    pub(super) fn call(&mut self, timeout: Duration) -> Call {
        Call {
            execution_id: self.id,
            plugin: self.plugin.clone(),
            action: self.action.clone(),
            payload: self.payload().clone(),
            timeout,
            task: self.call_try,
            answers: std::mem::take(&mut self.answers),
            progress: std::mem::take(&mut self.progress),
            log: std::mem::take(&mut self.log),
        }
    }

    /// Writes down that the call has begun.
    ///
    /// # Errors
    /// Those of the store; the call must not be made then, and the history may lack it.
    pub(super) async fn open(&mut self) -> Result<()> {
        let Stage::Unwritten(draft) = std::mem::replace(&mut self.stage, Stage::Closed) else {
            return Err(Error::bug("a call was opened twice"));
        };
        self.stage = Stage::Opening(Box::new(without_payload(&draft)));
        self.writing = Some(record(&self.parts, *draft));
        self.finish_opening().await
    }

    /// Waits until it is written that the call has begun.
    async fn finish_opening(&mut self) -> Result<()> {
        let opened = self.finish_writing().await;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Opening(begun) if opened.is_ok() => Stage::Open(begun),
            Stage::Unwritten(_) | Stage::Opening(_) | Stage::Open(_) | Stage::Closed => Stage::Closed,
        };
        opened
    }

    /// Ends the call of a task, and leaves it to the caller to write that down.
    ///
    /// The call counts as not made when the plugin wasn't called for a reason that may pass.
    pub(super) async fn settle(mut self, outcome: Result<Reply<Value>>) -> Attempted {
        let duration = self.accepted.elapsed();
        if matches!(self.stage, Stage::Opening(_)) {
            // The call was stopped meanwhile. If this fails, nothing was called, and there is nothing to complete.
            let _opened = self.finish_opening().await;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        let is_to_be_repeated = outcome.as_ref().is_err_and(Error::is_retryable);
        let (draft, is_recorded) = match stage {
            Stage::Unwritten(_) if !self.is_made && is_to_be_repeated => (None, false),
            Stage::Unwritten(draft) => (Some(draft), false),
            Stage::Open(begun) => (Some(begun), true),
            Stage::Opening(_) | Stage::Closed => (None, false),
        };
        let (outcome, recorded) = match outcome {
            Ok(Reply::Done(result)) => (Ok(Reply::Done(())), ExecutionOutcome::Success(result)),
            Ok(Reply::Asks(questions)) => {
                let failure = ExecutionOutcome::Failure(Failure::from(&unanswered(&questions)));
                (Ok(Reply::Asks(questions)), failure)
            }
            Err(error) => {
                let failure = ExecutionOutcome::Failure(Failure::from(&error));
                (Err(error), failure)
            }
        };
        if draft.is_some() {
            self.observe(&recorded, duration);
        }
        Attempted {
            execution: draft.map(|draft| Execution {
                outcome: recorded,
                duration,
                ..*draft
            }),
            is_recorded,
            outcome,
        }
    }

    /// Writes down how the call ended, and gives it as its caller sees it.
    ///
    /// # Errors
    /// The outcome's, or those of the store when the end couldn't be written.
    pub(super) async fn close(mut self, outcome: Result<Reply<Value>>) -> Result<Reply<Executed>> {
        let duration = self.accepted.elapsed();
        let recorded = match &outcome {
            Ok(Reply::Done(result)) => ExecutionOutcome::Success(result.clone()),
            Ok(Reply::Asks(questions)) => ExecutionOutcome::Failure(Failure::from(&unanswered(questions))),
            Err(error) => ExecutionOutcome::Failure(Failure::from(error)),
        };
        self.observe(&recorded, duration);
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Unwritten(draft) => {
                let ended = Execution {
                    outcome: recorded,
                    duration,
                    ..*draft
                };
                self.write(record(&self.parts, ended)).await?;
            }
            Stage::Open(_) => {
                let completed = complete(&self.parts, self.id, recorded, duration);
                self.write(completed).await.map_err(end_not_written)?;
            }
            Stage::Opening(_) | Stage::Closed => {}
        }
        let reply = outcome?;
        Ok(reply.map(|result| Executed {
            id: self.id,
            plugin: self.plugin.clone(),
            action: self.action.clone(),
            result,
            duration,
        }))
    }

    /// Waits for a write, holding it so that dropping the entry finishes it elsewhere.
    async fn write(&mut self, writing: Writing) -> Result<()> {
        self.writing = Some(writing);
        self.finish_writing().await
    }

    async fn finish_writing(&mut self) -> Result<()> {
        let written = poll_fn(|context| match self.writing.as_mut() {
            Some(writing) => writing.as_mut().poll(context),
            None => Poll::Ready(Err(Error::bug("a write was lost"))),
        });
        let written = written.await;
        self.writing = None;
        written
    }

    fn observe(&self, outcome: &ExecutionOutcome, duration: Duration) {
        let observation = if self.is_name_known {
            Observation::CallEnded {
                plugin: &self.plugin,
                action: &self.action,
                status: outcome.status(),
                duration,
            }
        } else {
            Observation::UnknownCall
        };
        self.parts.observer.observe(observation);
    }

    /// What is still to be written for a call that was dropped; `None` when nothing is.
    fn remainder(&mut self) -> Option<Writing> {
        let writing = self.writing.take();
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        if matches!(stage, Stage::Closed) {
            return writing;
        }
        let duration = self.accepted.elapsed();
        let cancelled = Error::new(ErrorCode::Cancelled, "the caller went away before the end");
        let cancelled = ExecutionOutcome::Failure(Failure::from(&cancelled));
        self.observe(&cancelled, duration);
        let last = match stage {
            Stage::Unwritten(draft) => {
                let ended = Execution {
                    outcome: cancelled,
                    duration,
                    ..*draft
                };
                record(&self.parts, ended)
            }
            Stage::Opening(_) | Stage::Open(_) | Stage::Closed => {
                complete(&self.parts, self.id, cancelled, duration)
            }
        };
        Some(Box::pin(async move {
            if let Some(opening) = writing {
                opening.await?;
            }
            last.await
        }))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(remainder) = self.remainder() else {
            return;
        };
        let id = self.id;
        let finish = async move {
            if let Err(error) = remainder.await {
                let cause = std::error::Error::source(&error);
                tracing::error!(execution = %id, %error, cause, "a cancelled call could not be recorded");
            }
        };
        match Handle::try_current() {
            // The tracker keeps the task; nobody needs its handle.
            Ok(runtime) => drop(self.parts.tasks.spawn_on(finish, &runtime)),
            Err(_gone) => tracing::warn!(execution = %id, "a call was dropped outside of the runtime"),
        }
    }
}

/// Lets closing the engine wait for a call.
///
/// # Errors
/// `Unavailable` when the engine is being closed.
pub(super) fn running(parts: &Parts) -> Result<TaskTrackerToken> {
    let running = parts.tasks.token();
    if parts.tasks.is_closed() {
        return Err(Error::unavailable(
            "the server is stopping and takes no more calls",
        ));
    }
    Ok(running)
}

/// A call that has begun, without what only the history needs.
fn without_payload(draft: &Execution) -> Execution {
    Execution {
        id: draft.id,
        plugin: draft.plugin.clone(),
        action: draft.action.clone(),
        payload: Value::Null,
        outcome: ExecutionOutcome::Running,
        duration: Duration::ZERO,
        user_id: draft.user_id,
        task: draft.task,
        source: draft.source,
        ip_address: None,
        user_agent: None,
        created_at: draft.created_at,
    }
}

fn record(parts: &Arc<Parts>, execution: Execution) -> Writing {
    let store = Arc::clone(&parts.store);
    Box::pin(async move { store.record_execution(execution).await })
}

fn complete(parts: &Arc<Parts>, id: ExecutionId, outcome: ExecutionOutcome, duration: Duration) -> Writing {
    let store = Arc::clone(&parts.store);
    Box::pin(async move { store.complete_execution(id, outcome, duration).await })
}

/// Tells the caller that the call was made although its end isn't in the history: as the history itself will
/// tell, once the call counts as interrupted there. Not a plain `Unavailable`, after which a caller would repeat it.
fn end_not_written(error: Error) -> Error {
    let message = if error.code() == ErrorCode::Conflict {
        "the history had taken this call for interrupted before it ended; look at what it did before you repeat it"
    } else {
        "the call was made, but how it ended could not be recorded; look at what it did before you repeat it"
    };
    Error::new(ErrorCode::Interrupted, message).source(error)
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_USER_AGENT_CHARS).collect()
}
