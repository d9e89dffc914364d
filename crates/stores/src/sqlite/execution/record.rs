//! Writing executions and their ends.

use std::time::Duration;

use model::{
    CallTry, Error, ErrorCode, Execution, ExecutionId, ExecutionOutcome, ExecutionStatus, Failure, Result,
    Timestamp, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::row::read_series;
use crate::{
    json::to_json_text,
    sqlite::{
        column::{Id, Moment},
        failure::{Fault, Outcome},
        ledger::{Entry, Ledger, Series, to_micros},
    },
};

/// What an ended execution has that a running one hasn't, as it stands in columns.
#[derive(Debug, Default)]
struct OutcomeColumns {
    result: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl OutcomeColumns {
    fn of(outcome: &ExecutionOutcome) -> Result<Self> {
        Ok(match outcome {
            ExecutionOutcome::Running => Self::default(),
            ExecutionOutcome::Success(result) => Self {
                result: Some(to_json_text(result).map_err(|error| error.under("result"))?),
                ..Self::default()
            },
            ExecutionOutcome::Failure(failure) => Self {
                error_code: Some(failure.code.clone()),
                error_message: Some(failure.message.clone()),
                ..Self::default()
            },
        })
    }
}

/// An execution about to be added. JSON is turned into text where the caller is, not where all callers wait.
pub(in crate::sqlite) struct NewRow {
    id: ExecutionId,
    series: Series,
    user_id: Option<UserId>,
    task: Option<CallTry>,
    created_at: Timestamp,
    duration: Duration,
    ip_address: Option<String>,
    user_agent: Option<String>,
    payload: String,
    outcome: OutcomeColumns,
}

impl NewRow {
    /// Takes an execution apart.
    ///
    /// # Errors
    /// `Invalid` when payload or result can't be kept.
    pub(in crate::sqlite) fn of(execution: &Execution) -> Result<Self> {
        let status = execution.outcome.status();
        let is_running = status == ExecutionStatus::Running;
        Ok(Self {
            id: execution.id,
            series: Series {
                plugin: execution.plugin.clone(),
                action: execution.action.clone(),
                source: execution.source,
                status,
            },
            user_id: execution.user_id,
            task: execution.task,
            created_at: execution.created_at,
            duration: if is_running {
                Duration::ZERO
            } else {
                execution.duration
            },
            ip_address: execution.ip_address.clone(),
            user_agent: execution.user_agent.clone(),
            payload: to_json_text(&execution.payload).map_err(|error| error.under("payload"))?,
            outcome: OutcomeColumns::of(&execution.outcome)?,
        })
    }

    /// Adds the execution and counts it.
    ///
    /// What may be written before the row fails is harmless: an empty series, a wider skew.
    pub(in crate::sqlite) fn insert(self, connection: &Connection, ledger: &mut Ledger) -> Outcome<()> {
        let status = self.series.status;
        let series = ledger.number(connection, self.series)?;
        ledger.note_skew(connection, self.id.as_uuid(), self.created_at)?;
        connection
            .prepare_cached(
                "INSERT INTO execution (id, series, user_id, task_id, created_at, duration_micros, ip_address, \
                 user_agent, error_code, error_message, payload, result, attempt) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                Id(self.id.as_uuid()),
                series,
                self.user_id.map(|id| Id(id.as_uuid())),
                self.task.map(|task| Id(task.task_id.as_uuid())),
                Moment(self.created_at),
                to_micros(self.duration),
                self.ip_address,
                self.user_agent,
                self.outcome.error_code,
                self.outcome.error_message,
                self.payload,
                self.outcome.result,
                self.task.map(|task| task.attempt),
            ])?;
        let has_ended = status != ExecutionStatus::Running;
        ledger.add(Entry {
            series,
            user_id: self.user_id,
            ended: has_ended.then_some((self.duration, self.created_at)),
        });
        Ok(())
    }
}

/// The end of an execution that is recorded as running.
pub(in crate::sqlite) struct Ending {
    status: ExecutionStatus,
    duration: Duration,
    outcome: OutcomeColumns,
}

impl Ending {
    /// Takes an outcome apart.
    ///
    /// # Errors
    /// `Invalid` when the result can't be kept; `Bug` when the outcome is no end.
    pub(in crate::sqlite) fn of(outcome: &ExecutionOutcome, duration: Duration) -> Result<Self> {
        let status = outcome.status();
        if status == ExecutionStatus::Running {
            return Err(Error::bug("an execution was to be ended as running"));
        }
        Ok(Self {
            status,
            duration,
            outcome: OutcomeColumns::of(outcome)?,
        })
    }

    /// Ends a running execution and counts it.
    ///
    /// # Errors
    /// `Conflict` when it isn't running.
    pub(in crate::sqlite) fn write(
        self,
        connection: &Connection,
        ledger: &mut Ledger,
        id: ExecutionId,
    ) -> Outcome<()> {
        match find_running(connection, id)? {
            Some(running) => self.replace(connection, ledger, running),
            None => {
                let message = "the execution isn't running any more; its first recorded end stands";
                Err(Error::new(ErrorCode::Conflict, message).into())
            }
        }
    }

    fn replace(self, connection: &Connection, ledger: &mut Ledger, running: Running) -> Outcome<()> {
        let ended_series = Series {
            status: self.status,
            ..running.series
        };
        let series = ledger.number(connection, ended_series)?;
        connection
            .prepare_cached(
                "UPDATE execution SET series = ?2, duration_micros = ?3, result = ?4, error_code = ?5, \
                 error_message = ?6 WHERE seq = ?1",
            )?
            .execute(params![
                running.seq,
                series,
                to_micros(self.duration),
                self.outcome.result,
                self.outcome.error_code,
                self.outcome.error_message,
            ])?;
        ledger.remove_running(running.number, running.user_id);
        ledger.add(Entry {
            series,
            user_id: running.user_id,
            ended: Some((self.duration, running.created_at)),
        });
        Ok(())
    }
}

/// Ends up to `limit` executions that are still running although they were accepted before a moment.
pub(super) fn close_interrupted(
    connection: &Connection,
    ledger: &mut Ledger,
    accepted_before: Timestamp,
    limit: u32,
) -> Outcome<u64> {
    let ids: Vec<ExecutionId> = connection
        .prepare_cached(
            "SELECT e.id FROM call_series s CROSS JOIN execution e INDEXED BY execution_by_series \
             ON e.series = s.id WHERE s.status = 'running' AND e.created_at < ?1 AND NOT EXISTS (SELECT 1 FROM task t              WHERE t.id = e.task_id AND t.queue = 0 AND t.attempt = e.attempt) LIMIT ?2",
        )?
        .query_map(params![Moment(accepted_before), limit], |row| {
            Ok(ExecutionId::from_uuid(row.get::<_, Id>(0)?.0))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut closed: u64 = 0;
    for id in ids {
        let failure = Failure {
            code: ErrorCode::Interrupted.as_str().to_owned(),
            message: "the server stopped before the end of this call was recorded".to_owned(),
        };
        let ending = Ending::of(&ExecutionOutcome::Failure(failure), Duration::ZERO)?;
        // One that fails after others were written must not leave them half counted.
        ending
            .write(connection, ledger, id)
            .map_err(|fault| match fault {
                Fault::Database(error) | Fault::Torn(error) => Fault::Torn(error),
                Fault::Refused(error) => Fault::Refused(error),
            })?;
        closed = closed.saturating_add(1);
    }
    Ok(closed)
}

struct Running {
    seq: i64,
    number: i64,
    series: Series,
    user_id: Option<UserId>,
    created_at: Timestamp,
}

fn find_running(connection: &Connection, id: ExecutionId) -> rusqlite::Result<Option<Running>> {
    connection
        .prepare_cached(
            "SELECT s.plugin, s.action, s.source, s.status, e.seq, e.series, e.user_id, e.created_at \
             FROM execution e CROSS JOIN call_series s ON s.id = e.series \
             WHERE e.id = ?1 AND s.status = 'running'",
        )?
        .query_row([Id(id.as_uuid())], |row| {
            Ok(Running {
                series: read_series(row)?,
                seq: row.get(4)?,
                number: row.get(5)?,
                user_id: row.get::<_, Option<Id>>(6)?.map(|id| UserId::from_uuid(id.0)),
                created_at: row.get::<_, Moment>(7)?.0,
            })
        })
        .optional()
}
