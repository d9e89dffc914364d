//! One attempt at a task, from its claim to its recorded end.

mod record;

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    AttemptEnd, CallTry, ClaimedTask, Error, ErrorCode, ErrorKind, ExecutionOutcome, Failure, Inquiry, Job,
    LogReporter, Observation, Principal, ProgressReporter, Reply, Result, Source, Task, TaskEnding,
};

use super::{
    backoff::{delay, is_permanent},
    progress::Reports,
    reference::resolve_references,
};
use crate::{
    call::{Attempted, CallRequest, TaskCall},
    parts::Engine,
    queue::{RunningAttempt, Slot},
};

/// When a task is due again whose plugin takes no more calls at this moment.
const CROWDED_WAIT: Duration = Duration::from_millis(100);

/// When a task is due again that couldn't be begun since something of the server's own didn't work.
const UNWELL_WAIT: Duration = Duration::from_secs(1);

/// One attempt.
pub(super) struct Attempt {
    engine: Engine,
    running: RunningAttempt,
    retry_count: u16,
    /// What the task asked before, with the answers.
    asked: Option<Inquiry>,
}

impl Attempt {
    /// Takes a claimed task on.
    pub(super) fn new(engine: Engine, running: RunningAttempt, claimed: &mut ClaimedTask) -> Self {
        Self {
            engine,
            running,
            retry_count: claimed.task.standing.retry_count,
            asked: claimed.task.inquiry.take(),
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
    async fn prepare(&self, mut task: Task, progress: ProgressReporter) -> Result<TaskCall> {
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
                answers: self.asked.as_ref().map(Inquiry::answers).unwrap_or_default(),
                progress,
                log: LogReporter::default(),
                source: Source::Task,
            },
            call_try: CallTry {
                task_id: hold.task,
                attempt: hold.attempt,
            },
            timeout: task.timeout,
        })
    }

    fn ending(&self, mut attempted: Attempted) -> TaskEnding {
        let parts = &self.engine.parts;
        let now = parts.clock.now();
        let inquiry = self.take_question(&mut attempted);
        let is_made = attempted.execution.is_some();
        let end = match &attempted.outcome {
            Ok(_) if inquiry.is_some() => AttemptEnd::Asked,
            Ok(_) => AttemptEnd::Succeeded,
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
            failure: self.failure_without_call(&attempted, end),
            execution: attempted.execution,
            is_recorded: attempted.is_recorded,
            inquiry,
            now,
        }
    }

    /// What the task is to ask now, if the call asked something. When it can't be asked, the call has failed.
    fn take_question(&self, attempted: &mut Attempted) -> Option<Inquiry> {
        let outcome = std::mem::replace(&mut attempted.outcome, Ok(Reply::Done(())));
        let questions = match outcome {
            Ok(Reply::Asks(questions)) => questions,
            other => {
                attempted.outcome = other;
                return None;
            }
        };
        match Inquiry::after(self.asked.as_ref(), questions) {
            Ok(inquiry) => Some(inquiry),
            Err(error) => {
                if let Some(execution) = &mut attempted.execution {
                    execution.outcome = ExecutionOutcome::Failure(Failure::from(&error));
                }
                attempted.outcome = Err(error);
                None
            }
        }
    }

    /// Why nothing was called, when the task is to know: its history doesn't tell then.
    fn failure_without_call(&self, attempted: &Attempted, end: AttemptEnd) -> Option<Failure> {
        let is_handed_back = matches!(end, AttemptEnd::HandedBack { .. });
        let error = attempted.outcome.as_ref().err()?;
        if is_handed_back || attempted.execution.is_some() {
            return None;
        }
        let (task, cause) = (self.running.hold().task, std::error::Error::source(error));
        tracing::warn!(%task, %error, cause, "an attempt at a task failed before anything was called");
        Some(Failure::from(error))
    }
}

/// Tells failures that forbid the call for good, which belong to the task, from those that only keep it from being made
/// now.
fn lasting<T>(found: Result<T>) -> Result<Result<T>> {
    match found {
        Err(error) if !is_permanent(&error) => Err(error),
        found => Ok(found),
    }
}
