//! Where tasks stand in the queue.

use model::{Error, Result, Standing, TaskKind, TaskStatus, Timestamp};

/// Where a job stands that hasn't ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A worker holds it.
    Held,
    /// It is ready for one.
    Ready,
    /// It waits for its time.
    Scheduled,
    /// It waits for other tasks.
    Blocked,
    /// It waits for answers.
    Asking,
}

impl Place {
    /// The number in the field `q`.
    pub(super) const fn number(self) -> i32 {
        match self {
            Self::Held => 0,
            Self::Ready => 1,
            Self::Scheduled => 2,
            Self::Blocked => 3,
            Self::Asking => 4,
        }
    }

    /// Reads the field `q`.
    pub(super) fn of_number(number: i32) -> Result<Self> {
        Ok(match number {
            0 => Self::Held,
            1 => Self::Ready,
            2 => Self::Scheduled,
            3 => Self::Blocked,
            4 => Self::Asking,
            other => return Err(Error::bug(format!("{other} is no place in the queue"))),
        })
    }

    /// The place of a task with this standing; none for what isn't a job, or has ended.
    pub(super) fn of(standing: &Standing, now: Timestamp) -> Option<Self> {
        if standing.kind != TaskKind::Job {
            return None;
        }
        match standing.status {
            TaskStatus::InProgress => Some(Self::Held),
            TaskStatus::Pending if standing.awaits_input => Some(Self::Asking),
            TaskStatus::Pending if standing.unmet > 0 => Some(Self::Blocked),
            TaskStatus::Pending if standing.due_at > now => Some(Self::Scheduled),
            TaskStatus::Pending => Some(Self::Ready),
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => None,
        }
    }
}
