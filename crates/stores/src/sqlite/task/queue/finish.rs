//! What a worker says of an attempt that it holds.

use model::{
    AttemptEnd, Error, ErrorCode, ExecutionId, ExecutionOutcome, Failure, Hold, Result, TaskEnding,
    TaskEvent, TaskStatus, Timestamp, WorkerId,
};
use rusqlite::{Connection, params};

use crate::sqlite::{
    column::{Id, Moment},
    execution::{Ending, NewRow},
    failure::{Fault, Outcome},
    ledger::Ledger,
    task::place::find_placed,
};

/// The end of an attempt about to be recorded.
pub(super) struct Finish {
    hold: Hold,
    end: AttemptEnd,
    call: Option<(ExecutionId, CallRow)>,
    error: Option<Option<Failure>>,
    inquiry: Option<String>,
    now: Timestamp,
}

enum CallRow {
    New(Box<NewRow>),
    Recorded(Box<Ending>),
}

impl Finish {
    /// Takes an ending apart.
    ///
    /// # Errors
    /// `Invalid` when the result of the call can't be kept; `Bug` when it hasn't ended.
    pub(super) fn of(hold: Hold, ending: &TaskEnding) -> Result<Self> {
        let failure = match ending.execution.as_ref().map(|execution| &execution.outcome) {
            Some(ExecutionOutcome::Failure(failure)) => Some(failure.clone()),
            Some(ExecutionOutcome::Running) => {
                return Err(Error::bug("an attempt ended with a running call"));
            }
            Some(ExecutionOutcome::Success(_)) => None,
            None => ending.failure.clone(),
        };
        let call = match &ending.execution {
            None => None,
            Some(execution) if ending.is_recorded => {
                let id = execution.id;
                let row = Ending::of(&execution.outcome, execution.duration)?;
                Some((id, CallRow::Recorded(Box::new(row))))
            }
            Some(execution) => Some((execution.id, CallRow::New(Box::new(NewRow::of(execution)?)))),
        };
        let has_asked = matches!(ending.end, AttemptEnd::Asked);
        if has_asked != ending.inquiry.is_some() {
            return Err(Error::bug("an attempt asks something exactly when it ended so"));
        }
        let inquiry = ending.inquiry.as_ref().map(serde_json::to_string).transpose();
        let inquiry = inquiry.map_err(Error::bug)?;
        Ok(Self {
            hold,
            end: ending.end,
            call,
            error: match ending.end {
                AttemptEnd::Succeeded | AttemptEnd::Asked => Some(None),
                AttemptEnd::FailedForGood | AttemptEnd::Failed { .. } => failure.map(Some),
                AttemptEnd::HandedBack { .. } => None,
            },
            inquiry,
            now: ending.now,
        })
    }

    /// Writes call and task.
    ///
    /// # Errors
    /// `Conflict` when the attempt doesn't hold the task; nothing is written then.
    pub(super) fn write(self, connection: &Connection, ledger: &mut Ledger) -> Outcome<TaskStatus> {
        let Some(task) = find_placed(connection, self.hold.task)? else {
            return Err(late().into());
        };
        let standing = task.standing.after(TaskEvent::Ended {
            attempt: self.hold.attempt,
            end: self.end,
        })?;
        // Counted anew, if need be, while nothing is written.
        ledger.tasks.lanes(connection)?;
        let mut change = task.to(standing, self.now);
        change.error = self.error;
        change.inquiry = self.inquiry;
        if let Some((id, row)) = self.call {
            change.call = Some(id);
            row.write(connection, ledger, id)?;
        }
        task.change(connection, &mut ledger.tasks, change)
            .map_err(Fault::Torn)?;
        Ok(standing.status)
    }
}

impl CallRow {
    fn write(self, connection: &Connection, ledger: &mut Ledger, id: ExecutionId) -> Outcome<()> {
        match self {
            Self::New(row) => row.insert(connection, ledger),
            Self::Recorded(row) => match row.write(connection, ledger, id) {
                // The history has an end of it already, which stands; the task is still this attempt's to end.
                Err(Fault::Refused(_)) => Ok(()),
                written => written,
            },
        }
    }
}

/// Makes leases last; gives the attempts that don't hold their tasks any more. What the condition says is what
/// [`TaskEvent::Renewed`] asks for.
pub(super) fn renew(
    connection: &Connection,
    worker: WorkerId,
    holds: &[Hold],
    lease_until: Timestamp,
) -> rusqlite::Result<Vec<Hold>> {
    let mut statement = connection.prepare_cached(
        "UPDATE task SET lease_until = ?4 WHERE id = ?1 AND queue = 0 AND attempt = ?2 AND worker = ?3",
    )?;
    let mut lost = Vec::new();
    for hold in holds {
        let renewed = statement.execute(params![
            Id(hold.task.as_uuid()),
            hold.attempt,
            Id(worker.as_uuid()),
            Moment(lease_until)
        ])?;
        if renewed == 0 {
            lost.push(*hold);
        }
    }
    Ok(lost)
}

/// Keeps how far an attempt has come.
///
/// # Errors
/// `Conflict` when it doesn't hold the task any more.
pub(super) fn keep_progress(connection: &Connection, hold: Hold, text: &str, now: Timestamp) -> Outcome<()> {
    let kept = connection
        .prepare_cached(
            "UPDATE task SET progress = ?3, updated_at = ?4 WHERE id = ?1 AND queue = 0 AND attempt = ?2",
        )?
        .execute(params![Id(hold.task.as_uuid()), hold.attempt, text, Moment(now)])?;
    if kept == 0 {
        return Err(late().into());
    }
    Ok(())
}

fn late() -> Error {
    let message = "the task is held by nobody, or by another attempt; this one is too late";
    Error::new(ErrorCode::Conflict, message)
}
