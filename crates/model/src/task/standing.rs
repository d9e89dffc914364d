//! The state machine of a task, as one function of state and event. Stores read, ask it, and write.

use super::{TaskKind, TaskStatus};
use crate::{
    error::{Error, ErrorCode, Result},
    id::WorkerId,
    time::Timestamp,
};

/// A worker's right to a task, until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub worker: WorkerId,
    /// When it ends unless it is renewed.
    pub until: Timestamp,
}

/// Where a task stands: all that decides what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What moves it.
    pub kind: TaskKind,
    /// Its status.
    pub status: TaskStatus,
    /// How many attempts began. It only grows, and fences: who names an older one is too late.
    pub attempt: u32,
    /// How many of them were retries of a failure, since a person last asked for it.
    pub retry_count: u16,
    /// How many retries there may be.
    pub max_retries: u16,
    /// How many attempts took their worker down with them, since a person last asked for it.
    pub stall_count: u16,
    /// How many may.
    pub max_stalls: u16,
    /// How many of the tasks that it depends on aren't completed yet.
    pub unmet: u32,
    /// Whether it asked something that isn't answered yet; only of a pending job.
    pub awaits_input: bool,
    /// When a pending job may start.
    pub due_at: Timestamp,
    /// Who is at it; set exactly while a job is in progress.
    pub lease: Option<Lease>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a result.
    Succeeded,
    /// Without one, and another try would not help.
    FailedForGood,
    /// Without one; if retries are left, the next attempt may begin at this moment.
    Failed {
        /// When.
        retry_at: Timestamp,
    },
    /// Its worker stops, or could not begin: it is due again at this moment, and nothing is counted.
    HandedBack {
        /// When.
        due_at: Timestamp,
    },
    /// With questions: it is due again once they are answered, and nothing is counted.
    Asked,
}

/// Something that happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// A worker takes it.
    Claimed {
        /// With this lease.
        lease: Lease,
        /// Now.
        now: Timestamp,
    },
    /// Its worker goes on.
    Renewed {
        /// Which attempt.
        attempt: u32,
        /// With this lease.
        lease: Lease,
    },
    /// Its attempt ended.
    Ended {
        /// Which attempt.
        attempt: u32,
        /// How.
        end: AttemptEnd,
    },
    /// Its worker hasn't renewed its lease in time, or is known to be gone.
    Abandoned {
        /// When it is due again, if it may be tried again.
        due_at: Timestamp,
    },
    /// One of the tasks that it depends on was completed.
    DependencyCompleted,
    /// One of them failed or was cancelled.
    DependencyLost,
    /// A person wants it to start now.
    Hastened {
        /// Now.
        now: Timestamp,
    },
    /// The last answer came to what it asked.
    Answered,
    /// A person calls it off.
    Cancelled,
    /// A person wants it tried anew.
    Retried {
        /// Now.
        now: Timestamp,
        /// How many of the tasks that it depends on aren't completed yet.
        unmet: u32,
    },
    /// A person says how far a to-do is.
    Moved {
        /// How far.
        to: TaskStatus,
    },
}

impl Standing {
    /// The standing of a new task.
    #[must_use]
    pub fn new(kind: TaskKind, (max_retries, max_stalls): (u16, u16), unmet: u32, due_at: Timestamp) -> Self {
        Self {
            kind,
            status: TaskStatus::Pending,
            attempt: 0,
            retry_count: 0,
            max_retries,
            stall_count: 0,
            max_stalls,
            unmet,
            awaits_input: false,
            due_at,
            lease: None,
        }
    }

    /// Tells whether a worker may take it at `now`.
    #[must_use]
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        self.kind == TaskKind::Job
            && self.status == TaskStatus::Pending
            && self.unmet == 0
            && !self.awaits_input
            && self.due_at <= now
    }

    /// What becomes of it.
    ///
    /// # Errors
    /// `Conflict` when that can't happen to it; it stays as it is then.
    pub fn after(self, event: TaskEvent) -> Result<Self> {
        match event {
            TaskEvent::Claimed { lease, now } if self.is_claimable(now) => Ok(Self {
                status: TaskStatus::InProgress,
                attempt: self.attempt.saturating_add(1),
                lease: Some(lease),
                ..self
            }),
            TaskEvent::Claimed { .. } => Err(conflict("the task can't be started now")),
            TaskEvent::Renewed { attempt, lease } => {
                let held = self.require_hold(attempt)?;
                if held.worker != lease.worker {
                    return Err(late());
                }
                Ok(Self {
                    lease: Some(lease),
                    ..self
                })
            }
            TaskEvent::Ended { attempt, end } => {
                self.require_hold(attempt)?;
                Ok(self.after_attempt(end))
            }
            TaskEvent::Abandoned { due_at } => self.abandoned(due_at),
            TaskEvent::DependencyCompleted => {
                self.require_waiting()?;
                Ok(Self {
                    unmet: self.unmet.saturating_sub(1),
                    ..self
                })
            }
            TaskEvent::DependencyLost => {
                self.require_waiting()?;
                Ok(self.ended_as(TaskStatus::Cancelled))
            }
            TaskEvent::Hastened { now } => self.hastened(now),
            TaskEvent::Answered if self.awaits_input => Ok(Self {
                awaits_input: false,
                ..self
            }),
            TaskEvent::Answered => Err(conflict("the task awaits no answer")),
            TaskEvent::Cancelled if self.status.is_final() => {
                Err(conflict("the task has ended; there is nothing to cancel"))
            }
            TaskEvent::Cancelled => Ok(self.ended_as(TaskStatus::Cancelled)),
            TaskEvent::Retried { now, unmet } => self.retried(now, unmet),
            TaskEvent::Moved { to } => self.moved(to),
        }
    }

    fn after_attempt(self, end: AttemptEnd) -> Self {
        match end {
            AttemptEnd::Succeeded => self.ended_as(TaskStatus::Completed),
            AttemptEnd::FailedForGood => self.ended_as(TaskStatus::Failed),
            AttemptEnd::Failed { .. } if self.retry_count >= self.max_retries => {
                self.ended_as(TaskStatus::Failed)
            }
            AttemptEnd::Failed { retry_at } => Self {
                retry_count: self.retry_count.saturating_add(1),
                ..self.pending_again(retry_at)
            },
            AttemptEnd::HandedBack { due_at } => self.pending_again(due_at),
            AttemptEnd::Asked => Self {
                awaits_input: true,
                ..self.pending_again(self.due_at)
            },
        }
    }

    fn abandoned(self, due_at: Timestamp) -> Result<Self> {
        if self.lease.is_none() {
            return Err(conflict("no worker is at the task"));
        }
        let counted = Self {
            stall_count: self.stall_count.saturating_add(1),
            ..self
        };
        Ok(if counted.stall_count > self.max_stalls {
            counted.ended_as(TaskStatus::Failed)
        } else {
            counted.pending_again(due_at)
        })
    }

    fn hastened(self, now: Timestamp) -> Result<Self> {
        if self.kind != TaskKind::Job {
            return Err(conflict(
                "only a task with a plugin, without a schedule, can be run",
            ));
        }
        match self.status {
            TaskStatus::Pending => Ok(Self {
                due_at: self.due_at.min(now),
                ..self
            }),
            TaskStatus::InProgress => Ok(self),
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => Err(conflict(
                "the task has ended; a failed or cancelled one can be retried",
            )),
        }
    }

    fn retried(self, now: Timestamp, unmet: u32) -> Result<Self> {
        if self.kind == TaskKind::Recurring {
            return Err(conflict("a recurring task can't be retried; make a new one"));
        }
        match self.status {
            TaskStatus::Failed | TaskStatus::Cancelled => Ok(Self {
                retry_count: 0,
                stall_count: 0,
                unmet,
                ..self.pending_again(now)
            }),
            TaskStatus::Pending | TaskStatus::InProgress | TaskStatus::Completed => {
                Err(conflict("only a failed or cancelled task can be retried"))
            }
        }
    }

    fn moved(self, to: TaskStatus) -> Result<Self> {
        use TaskStatus::{InProgress, Pending};
        if self.kind != TaskKind::ToDo {
            return Err(conflict(
                "the status of a task with a plugin follows from its work; it can be cancelled or retried",
            ));
        }
        match (self.status, to) {
            (from, to) if from == to => Ok(self),
            (Pending | InProgress, to) => Ok(Self { status: to, ..self }),
            (TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled, _) => Err(conflict(
                "the task has ended; a failed or cancelled one can be retried",
            )),
        }
    }

    fn require_hold(&self, attempt: u32) -> Result<Lease> {
        match self.lease {
            Some(lease) if self.attempt == attempt => Ok(lease),
            Some(_) | None => Err(late()),
        }
    }

    fn require_waiting(&self) -> Result<()> {
        if self.status == TaskStatus::Pending && self.unmet > 0 {
            Ok(())
        } else {
            Err(conflict("the task waits for no other"))
        }
    }

    fn pending_again(self, due_at: Timestamp) -> Self {
        Self {
            status: TaskStatus::Pending,
            lease: None,
            due_at,
            ..self
        }
    }

    fn ended_as(self, status: TaskStatus) -> Self {
        Self {
            status,
            awaits_input: false,
            lease: None,
            ..self
        }
    }
}

fn conflict(message: &'static str) -> Error {
    Error::new(ErrorCode::Conflict, message)
}

/// What a worker is told that lost its lease.
fn late() -> Error {
    conflict("the task is held by nobody, or by another attempt; this one is too late")
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod stories;
