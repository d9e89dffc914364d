//! Taking tasks from workers that are gone.

use std::time::Duration;

use model::{
    ActionName, CallTry, ErrorCode, Execution, ExecutionId, ExecutionOutcome, ExecutionStatus, Failure, Hold,
    PluginName, Released, Source, TaskEvent, TaskStatus, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;
use uuid::{Builder, Uuid};

use crate::sqlite::{
    column::{Id, Moment, Text},
    execution::{Ending, NewRow},
    failure::{Fault, Outcome},
    ledger::Ledger,
    task::place::{PLACED, Placed},
};

/// A task that a worker holds and lost.
struct Abandoned {
    task: Placed,
    plugin: PluginName,
    action: ActionName,
    payload: Value,
    started_at: Timestamp,
}

/// Takes up to `limit` tasks whose leases ended before a moment from their workers.
pub(super) fn release(
    connection: &Connection,
    ledger: &mut Ledger,
    (expired_before, now): (Timestamp, Timestamp),
    limit: u16,
) -> Outcome<Vec<Released>> {
    if ledger.tasks.lanes(connection)?.held() == 0 {
        return Ok(Vec::new());
    }
    let mut released = Vec::new();
    for abandoned in find_abandoned(connection, expired_before, limit)? {
        let status = abandoned.give_up(connection, ledger, now).map_err(to_torn)?;
        released.push(Released {
            hold: abandoned.hold(),
            status,
            plugin: abandoned.plugin,
            action: abandoned.action,
        });
    }
    Ok(released)
}

/// One that fails after others were written must not leave them half done.
fn to_torn(fault: Fault) -> Fault {
    match fault {
        Fault::Database(error) | Fault::Torn(error) => Fault::Torn(error),
        Fault::Refused(error) => Fault::Refused(error),
    }
}

fn find_abandoned(
    connection: &Connection,
    expired_before: Timestamp,
    limit: u16,
) -> rusqlite::Result<Vec<Abandoned>> {
    let sql = format!(
        "SELECT {PLACED}, l.plugin, t.action, t.payload, t.started_at FROM task t INDEXED BY task_held \
         CROSS JOIN task_lane l ON l.id = t.lane WHERE t.queue = 0 AND (t.lease_until < ?1 OR ?2) LIMIT ?3"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(
            params![Moment(expired_before), expired_before == Timestamp::MAX, limit],
            |row| {
                let task = Placed::read(row)?;
                Ok(Abandoned {
                    plugin: row.get::<_, Text<_>>(19)?.0,
                    action: row.get::<_, Text<_>>(20)?.0,
                    // One that can't be read must not keep the others from being released.
                    payload: row
                        .get_ref(21)?
                        .as_str()
                        .ok()
                        .and_then(|text| serde_json::from_str(text).ok())
                        .unwrap_or_default(),
                    started_at: row
                        .get::<_, Option<Moment>>(22)?
                        .map_or(task.standing.due_at, |moment| moment.0),
                    task,
                })
            },
        )?
        .collect()
}

impl Abandoned {
    fn hold(&self) -> Hold {
        Hold {
            task: self.task.id,
            attempt: self.task.standing.attempt,
        }
    }

    fn give_up(&self, connection: &Connection, ledger: &mut Ledger, now: Timestamp) -> Outcome<TaskStatus> {
        let standing = self.task.standing.after(TaskEvent::Abandoned { due_at: now })?;
        self.end_call(connection, ledger)?;
        let mut change = self.task.to(standing, now);
        change.error = Some(Some(if standing.status == TaskStatus::Failed {
            Failure {
                code: ErrorCode::WorkerLost.as_str().to_owned(),
                message: format!(
                    "the task took its worker down with it {} times",
                    standing.stall_count
                ),
            }
        } else {
            interrupted()
        }));
        self.task.change(connection, &mut ledger.tasks, change)?;
        Ok(standing.status)
    }

    /// Sees to it that the history has an end of the attempt's call.
    fn end_call(&self, connection: &Connection, ledger: &mut Ledger) -> Outcome<()> {
        let failure = ExecutionOutcome::Failure(interrupted());
        match self.find_call(connection)? {
            Some((id, true)) => Ending::of(&failure, Duration::ZERO)?.write(connection, ledger, id),
            Some((_, false)) => Ok(()),
            None => NewRow::of(&self.call(failure))?.insert(connection, ledger),
        }
    }

    /// The attempt's call, if it is recorded, and whether it is running.
    fn find_call(&self, connection: &Connection) -> rusqlite::Result<Option<(ExecutionId, bool)>> {
        connection
            .prepare_cached(
                "SELECT e.id, s.status = ?3 FROM execution e INDEXED BY execution_by_task \
                 CROSS JOIN call_series s ON s.id = e.series WHERE e.task_id = ?1 AND e.attempt = ?2",
            )?
            .query_row(
                params![
                    Id(self.task.id.as_uuid()),
                    self.task.standing.attempt,
                    ExecutionStatus::Running.as_str()
                ],
                |row| Ok((ExecutionId::from_uuid(row.get::<_, Id>(0)?.0), row.get(1)?)),
            )
            .optional()
    }

    /// A call that only its worker knew of.
    fn call(&self, outcome: ExecutionOutcome) -> Execution {
        let attempt = self.task.standing.attempt;
        Execution {
            id: ExecutionId::from_uuid(unknown_call_id(self.task.id.as_uuid(), attempt, self.started_at)),
            plugin: self.plugin.clone(),
            action: self.action.clone(),
            payload: self.payload.clone(),
            outcome,
            duration: Duration::ZERO,
            user_id: self.task.user_id,
            task: Some(CallTry {
                task_id: self.task.id,
                attempt,
            }),
            source: Source::Task,
            ip_address: None,
            user_agent: None,
            created_at: self.started_at,
        }
    }
}

fn interrupted() -> Failure {
    Failure {
        code: ErrorCode::Interrupted.as_str().to_owned(),
        message: "the worker stopped before the end of this call was recorded".to_owned(),
    }
}

/// Names a call whose id went with its worker: a UUID of version 7 of the time when it began, with the attempt and
/// the random part of the task's id in it, so that each attempt has one of its own.
fn unknown_call_id(task: Uuid, attempt: u32, began_at: Timestamp) -> Uuid {
    let [_, _, _, _, _, _, _, _, random @ ..] = *task.as_bytes();
    let [_, _, high, low] = attempt.to_be_bytes();
    let mut bytes = [0; 10];
    for (to, from) in bytes.iter_mut().zip([high, low].into_iter().chain(random)) {
        *to = from;
    }
    let millis = u64::try_from(began_at.as_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}
