//! One attempt at a task, from its claim to its recorded end.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    AttemptEnd, CallTry, ClaimedTask, Error, ErrorCode, ErrorKind, Execution, ExecutionOutcome, Failure, Job,
    Observation, Principal, Result, Source, Task, TaskEnding, TaskId, TaskStatus,
};
use serde_json::Value;

use super::{
    backoff::{delay, is_permanent},
    progress::Reports,
    reference::resolve_references,
};
use crate::{
    call::{Attempted, CallRequest, TaskCall, Trial},
    pace::pause,
    parts::Engine,
    queue::{RunningAttempt, Slot, once_sent},
};

/// When a task is due again whose plugin takes no more calls at this moment.
const CROWDED_WAIT: Duration = Duration::from_millis(100);

/// When a task is due again that couldn't be begun since something of the server's own didn't work.
const UNWELL_WAIT: Duration = Duration::from_secs(1);

/// How long the end of an attempt is tried to be recorded while the store doesn't work. After that the task is left to
/// whoever takes it over.
const RECORDING_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The wait after the first failure to record the end; each further one doubles it, up to [`LONGEST_RECORDING_WAIT`].
const FIRST_RECORDING_WAIT: Duration = Duration::from_millis(50);
const LONGEST_RECORDING_WAIT: Duration = Duration::from_secs(5);

/// Among how many of a task's latest calls one is looked for.
const CALLS_LOOKED_AT: u16 = 100;

/// One attempt.
pub(super) struct Attempt {
    engine: Engine,
    running: RunningAttempt,
    retry_count: u16,
}

impl Attempt {
    /// Takes a claimed task on.
    pub(super) fn new(engine: Engine, running: RunningAttempt, claimed: &ClaimedTask) -> Self {
        Self {
            engine,
            running,
            retry_count: claimed.task.standing.retry_count,
        }
    }

    /// Does the task, and records what became of it. The slot is given back as soon as the end is on its way to the
    /// store, so that the next claim becomes durable together with it.
    pub(super) async fn run(self, claimed: ClaimedTask, slot: Slot) {
        let begun = Instant::now();
        let attempted = if self.running.is_worker_stopping() {
            Attempted::not_made(Error::unavailable("the server is stopping"))
        } else {
            let parts = &self.engine.parts;
            let waited = parts.clock.now().since(claimed.ready_at);
            parts.observer.observe(Observation::TaskStarted { waited });
            self.make(claimed.task).await
        };
        self.running.note_ending();
        let ending = self.ending(attempted);
        let end = ending.end;
        match self.record(ending, slot).await {
            Some(status) => self.tell(status, end, begun.elapsed()),
            None => self.engine.parts.queue.nudge(),
        }
    }

    /// Makes the call, while its progress is kept.
    async fn make(&self, task: Task) -> Attempted {
        let (progress, reports) = Reports::new();
        let call = match self.prepare(task, progress).await {
            Ok(call) => call,
            Err(error) => return Attempted::not_made(error),
        };
        let keeping = async {
            reports.keep(&self.engine, &self.running).await;
            pending::<Attempted>().await
        };
        tokio::select! {
            biased;
            attempted = self.engine.execute_task(call, self.running.stopped()) => attempted,
            never = keeping => never,
        }
    }

    /// Finds out on whose behalf the call is made, and with what.
    ///
    /// # Errors
    /// What keeps the call from being made at this moment; what forbids it for good is part of the answer.
    async fn prepare(&self, mut task: Task, progress: model::ProgressReporter) -> Result<TaskCall> {
        let owner = self.engine.owner_of_task(task.user_id).await;
        let mut permitted: Result<Arc<Principal>> = lasting(owner)?;
        let mut payload = None;
        if !task.depends_on.is_empty() && permitted.is_ok() {
            match lasting(resolve_references(&self.engine, &task).await)? {
                Ok(resolved) => payload = Some(resolved),
                Err(refusal) => permitted = Err(refusal),
            }
        }
        let Some(Job {
            plugin,
            action,
            payload: own,
        }) = task.job.take()
        else {
            return Err(Error::bug("a task without a job was claimed"));
        };
        let hold = self.running.hold();
        Ok(TaskCall {
            permitted,
            user_id: task.user_id,
            request: CallRequest {
                plugin,
                action,
                payload: Some(payload.unwrap_or(own)),
                source: Source::Task,
            },
            trial: Trial {
                call_try: Some(CallTry {
                    task_id: hold.task,
                    attempt: hold.attempt,
                }),
                progress,
            },
            timeout: task.timeout,
        })
    }

    fn ending(&self, attempted: Attempted) -> TaskEnding {
        let parts = &self.engine.parts;
        let now = parts.clock.now();
        let is_made = attempted.execution.is_some();
        let end = match &attempted.outcome {
            Ok(()) => AttemptEnd::Succeeded,
            // The call was cut off: by the end of the server, or since the attempt doesn't hold its task any more, and
            // then the store refuses what this says of the task.
            Err(error) if error.kind() == ErrorKind::Cancelled => AttemptEnd::HandedBack { due_at: now },
            Err(_) if !is_made && self.running.is_worker_stopping() => AttemptEnd::HandedBack { due_at: now },
            Err(error) if !is_made && error.is_retryable() => AttemptEnd::HandedBack {
                due_at: now.plus(if error.code() == ErrorCode::Overloaded {
                    CROWDED_WAIT
                } else {
                    UNWELL_WAIT
                }),
            },
            Err(error) if is_permanent(error) => AttemptEnd::FailedForGood,
            Err(error) => AttemptEnd::Failed {
                retry_at: now.plus(delay(parts.entropy.as_ref(), self.retry_count, error)),
            },
        };
        TaskEnding {
            end,
            execution: attempted.execution,
            is_recorded: attempted.is_recorded,
            now,
        }
    }

    /// Records the end, again and again while the store doesn't work; gives what became of the task, and `None` when
    /// this attempt has no say in that any more.
    async fn record(&self, mut ending: TaskEnding, slot: Slot) -> Option<TaskStatus> {
        let parts = &self.engine.parts;
        let hold = self.running.hold();
        let mut slot = Some(slot);
        let begun = Instant::now();
        let mut wait = FIRST_RECORDING_WAIT;
        let (mut is_unsure, mut is_replaced) = (false, false);
        loop {
            let writing = parts.store.finish_task(hold, ending.clone());
            let error = match once_sent(writing, || drop(slot.take())).await {
                Ok(status) => return Some(status),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Conflict {
                self.record_refused(ending, is_unsure).await;
                return None;
            }
            if error.is_retryable() && begun.elapsed() < RECORDING_PATIENCE {
                if !is_unsure {
                    warn(
                        hold.task,
                        &error,
                        "the end of a task can't be recorded now; it is tried again",
                    );
                }
                is_unsure = true;
                drop(error);
                pause(wait).await;
                wait = (wait * 2).min(LONGEST_RECORDING_WAIT);
            } else if error.is_retryable() || is_replaced {
                warn(
                    hold.task,
                    &error,
                    "the end of a task was not recorded; the task is done again",
                );
                return None;
            } else {
                warn(hold.task, &error, "the end of a task can't be recorded as it is");
                is_replaced = true;
                ending = replaced(ending, &error);
            }
        }
    }

    /// Keeps the call in the history although the task isn't this attempt's any more: what it gave doesn't count.
    async fn record_refused(&self, ending: TaskEnding, is_unsure: bool) {
        let parts = &self.engine.parts;
        let hold = self.running.hold();
        if is_unsure {
            // The end may have been recorded by the write whose outcome wasn't known.
            parts.queue.announce_end(hold.task);
        } else if !self.running.is_stopped() {
            parts.observer.observe(Observation::TaskLeaseLost);
        }
        let Some(execution) = ending.execution else {
            return;
        };
        let id = execution.id;
        let recorded = if ending.is_recorded {
            let Execution {
                outcome, duration, ..
            } = refused(execution);
            parts.store.complete_execution(id, outcome, duration).await
        } else if self.is_in_history().await {
            Ok(())
        } else {
            parts.store.record_execution(refused(execution)).await
        };
        match recorded {
            Err(error) if error.kind() != ErrorKind::Conflict => {
                let cause = std::error::Error::source(&error);
                tracing::error!(execution = %id, %error, cause, "a cancelled call could not be recorded");
            }
            // The history had taken it for interrupted; the first recorded end stands.
            Ok(()) | Err(_) => {}
        }
    }

    /// Tells whether the history has a call of this attempt: told by whoever took the task over, or written by a
    /// finish whose outcome wasn't known.
    async fn is_in_history(&self) -> bool {
        let hold = self.running.hold();
        let calls = self
            .engine
            .parts
            .store
            .list_attempts(hold.task, CALLS_LOOKED_AT)
            .await;
        let is_this = |call: &Execution| call.task.is_some_and(|call_try| call_try.attempt == hold.attempt);
        calls.is_ok_and(|calls| calls.iter().any(is_this))
    }

    /// Tells everyone concerned what became of the task.
    fn tell(&self, status: TaskStatus, end: AttemptEnd, ran: Duration) {
        let parts = &self.engine.parts;
        parts
            .observer
            .observe(Observation::TaskAttemptEnded { status, ran });
        if status.is_final() {
            parts.queue.announce_end(self.running.hold().task);
            return;
        }
        if matches!(end, AttemptEnd::Failed { .. }) {
            parts.observer.observe(Observation::TaskRetried);
        }
        parts.queue.nudge();
    }
}

fn warn(task: TaskId, error: &Error, what: &'static str) {
    let cause = std::error::Error::source(error);
    tracing::warn!(%task, %error, cause, "{what}");
}

/// Tells failures that forbid the call for good, which belong to the task, from those that only keep it from being made
/// now.
fn lasting<T>(found: Result<T>) -> Result<Result<T>> {
    match found {
        Err(error) if !is_permanent(&error) => Err(error),
        found => Ok(found),
    }
}

/// The end of an attempt whose own end the store doesn't take.
fn replaced(ending: TaskEnding, error: &Error) -> TaskEnding {
    let failure = ExecutionOutcome::Failure(Failure::from(error));
    TaskEnding {
        end: AttemptEnd::FailedForGood,
        execution: ending.execution.map(|execution| Execution {
            payload: Value::Null,
            outcome: failure,
            ..execution
        }),
        ..ending
    }
}

/// A call whose end the task doesn't count.
fn refused(execution: Execution) -> Execution {
    let message = "the task was cancelled, or taken over by another attempt, before this one had ended; \
                   what came of it does not count";
    let cancelled = Error::new(ErrorCode::Cancelled, message);
    let outcome = match execution.outcome {
        ExecutionOutcome::Failure(failure) if failure.code == ErrorCode::Cancelled.as_str() => {
            ExecutionOutcome::Failure(failure)
        }
        ExecutionOutcome::Running | ExecutionOutcome::Success(_) | ExecutionOutcome::Failure(_) => {
            ExecutionOutcome::Failure(Failure::from(&cancelled))
        }
    };
    Execution { outcome, ..execution }
}
