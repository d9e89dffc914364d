//! Recording the end of an attempt, while the store works and while it doesn't.

use std::time::{Duration, Instant};

use model::{
    AttemptEnd, Error, ErrorCode, ErrorKind, Execution, ExecutionOutcome, Failure, Observation, Result,
    TaskEnding, TaskId, TaskStatus,
};
use serde_json::Value;

use super::Attempt;
use crate::{
    pace::pause,
    queue::{Slot, once_sent},
};

/// How long a write is tried again while the store doesn't work. After that a task is left to whoever takes it over.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The wait after the first failure; each further one doubles it, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Among how many of a task's latest calls one is looked for.
const CALLS_LOOKED_AT: u16 = 100;

impl Attempt {
    /// Records the end, again and again while the store doesn't work; gives what became of the task, and `None` when
    /// this attempt has no say in that any more.
    pub(super) async fn record(&self, mut ending: TaskEnding, slot: Slot) -> Option<TaskStatus> {
        let parts = &self.engine.parts;
        let hold = self.running.hold();
        let mut slot = Some(slot);
        let mut retries = Retries::begin(hold.task);
        let mut is_replaced = false;
        loop {
            let writing = parts.store.finish_task(hold, &ending);
            let error = match once_sent(writing, || drop(slot.take())).await {
                Ok(status) => return Some(status),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Conflict {
                self.note_refusal(retries.is_unsure());
                self.record_refused(ending).await;
                return None;
            }
            if !error.is_retryable() && !is_replaced {
                warn(hold.task, &error, "the end of a task can't be recorded as it is");
                is_replaced = true;
                ending = replaced(ending, &error);
            } else if !retries.may_try_again(error).await {
                return None;
            }
        }
    }

    /// Notes that the attempt doesn't hold its task any more.
    fn note_refusal(&self, is_unsure: bool) {
        let parts = &self.engine.parts;
        if is_unsure {
            // Its end may have been recorded by a write whose outcome wasn't known.
            parts.queue.announce_end(self.running.hold().task);
        } else if !self.running.is_stopped() {
            parts.observer.observe(Observation::TaskLeaseLost);
        }
    }

    /// Keeps the call in the history although the task isn't this attempt's any more: what it gave doesn't count.
    async fn record_refused(&self, ending: TaskEnding) {
        let Some(execution) = ending.execution else {
            return;
        };
        let call = refused(execution);
        let mut retries = Retries::begin(self.running.hold().task);
        loop {
            match self.try_record_refused(&call, ending.is_recorded).await {
                // The history had taken the call for interrupted; the first recorded end stands.
                Err(error) if error.kind() != ErrorKind::Conflict => {
                    if !retries.may_try_again(error).await {
                        return;
                    }
                }
                Ok(()) | Err(_) => return,
            }
        }
    }

    async fn try_record_refused(&self, call: &Execution, is_recorded: bool) -> Result<()> {
        let store = &self.engine.parts.store;
        if is_recorded {
            let outcome = call.outcome.clone();
            return store.complete_execution(call.id, outcome, call.duration).await;
        }
        // Whoever took the task over wrote down an end of this attempt, and so did a write whose outcome isn't known.
        let calls = store
            .list_attempts(self.running.hold().task, CALLS_LOOKED_AT)
            .await?;
        if calls.iter().any(|other| other.task == call.task) {
            return Ok(());
        }
        store.record_execution(call.clone()).await
    }

    /// Tells everyone concerned what became of the task.
    pub(super) fn tell(&self, status: TaskStatus, end: AttemptEnd, ran: Duration) {
        let parts = &self.engine.parts;
        parts
            .observer
            .observe(Observation::TaskAttemptEnded { status, ran });
        if status.is_final() {
            parts.queue.announce_end(self.running.hold().task);
            return;
        }
        let task = self.running.hold().task;
        match end {
            AttemptEnd::Asked => return parts.queue.announce_question(task),
            AttemptEnd::Failed { .. } => parts.observer.observe(Observation::TaskRetried),
            AttemptEnd::Succeeded | AttemptEnd::FailedForGood | AttemptEnd::HandedBack { .. } => {}
        }
        parts.queue.announce_change(task);
        parts.queue.nudge();
    }
}

/// A write that is tried again and again.
struct Retries {
    task: TaskId,
    begun: Instant,
    wait: Duration,
    failures: u32,
}

impl Retries {
    fn begin(task: TaskId) -> Self {
        Self {
            task,
            begun: Instant::now(),
            wait: FIRST_WAIT,
            failures: 0,
        }
    }

    /// Tells whether a write failed that may have had its effect.
    fn is_unsure(&self) -> bool {
        self.failures > 0
    }

    /// Waits before the next try; gives false, and logs it, when there is to be none.
    async fn may_try_again(&mut self, error: Error) -> bool {
        if !error.is_retryable() || self.begun.elapsed() > PATIENCE {
            warn(
                self.task,
                &error,
                "what came of an attempt at a task was not recorded",
            );
            return false;
        }
        if self.failures == 0 {
            warn(
                self.task,
                &error,
                "what came of an attempt at a task can't be recorded yet",
            );
        }
        drop(error);
        self.failures = self.failures.saturating_add(1);
        pause(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        true
    }
}

fn warn(task: TaskId, error: &Error, what: &'static str) {
    let cause = std::error::Error::source(error);
    tracing::warn!(%task, %error, cause, "{what}");
}

/// The end of an attempt whose own end the store doesn't take.
fn replaced(ending: TaskEnding, error: &Error) -> TaskEnding {
    let failure = Failure::from(error);
    TaskEnding {
        end: AttemptEnd::FailedForGood,
        execution: ending.execution.map(|execution| Execution {
            payload: Value::Null,
            outcome: ExecutionOutcome::Failure(failure.clone()),
            ..execution
        }),
        failure: Some(failure),
        inquiry: None,
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
