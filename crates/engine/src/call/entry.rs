//! A call's entry in the history, from its acceptance to its end.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use model::{
    ActionName, Call, Error, ErrorCode, Execution, ExecutionId, ExecutionOutcome, Failure, Observation,
    PluginName, Principal, ProgressReporter, Result,
};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{CallRequest, Executed};
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
    is_name_known: bool,
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
    /// That it has begun, once the write under way is done.
    Opening,
    /// That it has begun.
    Open,
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
        principal: &Principal,
        request: CallRequest,
        client: &Client,
    ) -> Result<Self> {
        let running = parts.tasks.token();
        if parts.tasks.is_closed() {
            return Err(Error::unavailable(
                "the server is stopping and takes no more calls",
            ));
        }
        let id = ExecutionId::generate(parts.ids.as_ref());
        let (plugin, action) = (request.plugin.clone(), request.action.clone());
        let draft = Execution {
            id,
            plugin: request.plugin,
            action: request.action,
            payload: request.payload.unwrap_or_else(|| Value::Object(Map::new())),
            outcome: ExecutionOutcome::Running,
            duration: Duration::ZERO,
            user_id: principal.user_id(),
            task: None,
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
            is_name_known: false,
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

    /// What the call works on; `null` once the entry is opened, since the history has it then.
    pub(super) fn payload(&self) -> &Value {
        match &self.stage {
            Stage::Unwritten(draft) => &draft.payload,
            Stage::Opening | Stage::Open | Stage::Closed => &Value::Null,
        }
    }

    /// Keeps a payload out of the history that its reader could not read back.
    pub(super) fn forget_payload(&mut self) {
        if let Stage::Unwritten(draft) = &mut self.stage {
            draft.payload = Value::Null;
        }
    }

    /// The call as the plugin gets it.
    pub(super) fn call(&self, timeout: Duration) -> Call {
        Call {
            execution_id: self.id,
            plugin: self.plugin.clone(),
            action: self.action.clone(),
            payload: self.payload().clone(),
            timeout,
            task: None,
            progress: ProgressReporter::default(),
        }
    }

    /// Writes down that the call has begun.
    ///
    /// # Errors
    /// Those of the store; the call must not be made then, and the history may lack it.
    pub(super) async fn open(&mut self) -> Result<()> {
        let Stage::Unwritten(draft) = std::mem::replace(&mut self.stage, Stage::Opening) else {
            return Err(Error::bug("a call was opened twice"));
        };
        let opened = self.write(record(&self.parts, *draft)).await;
        self.stage = if opened.is_ok() {
            Stage::Open
        } else {
            Stage::Closed
        };
        opened
    }

    /// Writes down how the call ended, and gives it as its caller sees it.
    ///
    /// # Errors
    /// The outcome's, or those of the store when the end couldn't be written.
    pub(super) async fn close(mut self, outcome: Result<Value>) -> Result<Executed> {
        let duration = self.accepted.elapsed();
        let recorded = match &outcome {
            Ok(result) => ExecutionOutcome::Success(result.clone()),
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
            Stage::Open => {
                let completed = complete(&self.parts, self.id, recorded, duration);
                self.write(completed).await.map_err(end_not_written)?;
            }
            Stage::Opening | Stage::Closed => {}
        }
        outcome.map(|result| Executed {
            id: self.id,
            plugin: self.plugin.clone(),
            action: self.action.clone(),
            result,
            duration,
        })
    }

    /// Waits for a write, holding it so that dropping the entry finishes it elsewhere.
    async fn write(&mut self, writing: Writing) -> Result<()> {
        self.writing = Some(writing);
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
            Stage::Opening | Stage::Open | Stage::Closed => {
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
