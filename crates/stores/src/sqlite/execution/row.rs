//! Reading executions.

use std::time::Duration;

use model::{
    CallTry, Error, Execution, ExecutionId, ExecutionOutcome, ExecutionStatus, Failure, Source, TaskId,
    UserId,
};
use rusqlite::{
    Connection, OptionalExtension as _, Row, Rows, params,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};

use crate::{
    paging::Filling,
    sqlite::{
        column::{Id, Json, Moment, Text, to_count},
        ledger::Series,
    },
};

/// The columns of an execution `e` with its series `s`, in the order in which they are read.
pub(super) const COLUMNS: &str = "s.plugin, s.action, s.source, s.status, e.id, e.user_id, e.task_id, \
    e.created_at, e.duration_micros, e.ip_address, e.user_agent, e.error_code, e.error_message, e.payload, e.result, \
    e.attempt";

/// Looks an execution up by id.
pub(super) fn find(connection: &Connection, id: ExecutionId) -> rusqlite::Result<Option<Execution>> {
    find_with(connection, id, read_execution)
}

/// Looks an execution up by id, and reads it if it fits; tells whether it did.
pub(super) fn find_fitting(
    connection: &Connection,
    id: ExecutionId,
    executions: &mut Filling<Execution>,
) -> rusqlite::Result<bool> {
    let has_fitted = find_with(connection, id, |row| add_execution(executions, row))?;
    Ok(has_fitted.unwrap_or(true))
}

fn find_with<T>(
    connection: &Connection,
    id: ExecutionId,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM execution e CROSS JOIN call_series s ON s.id = e.series WHERE e.id = ?1"
    );
    connection
        .prepare_cached(&sql)?
        .query_row([Id(id.as_uuid())], read)
        .optional()
}

/// Reads an execution from a row of [`COLUMNS`] if it fits; tells whether it did.
fn add_execution(executions: &mut Filling<Execution>, row: &Row<'_>) -> rusqlite::Result<bool> {
    let mut bytes: usize = 0;
    // The message of a failure, the payload and the result.
    for column in 12..=14 {
        if let ValueRef::Text(text) = row.get_ref(column)? {
            bytes = bytes.saturating_add(text.len());
        }
    }
    executions.add(bytes, || read_execution(row))
}

/// Reads executions from rows of [`COLUMNS`], as many as fit.
pub(super) fn read_fitting(mut rows: Rows<'_>) -> rusqlite::Result<Filling<Execution>> {
    let mut executions = Filling::new();
    while let Some(row) = rows.next()?
        && add_execution(&mut executions, row)?
    {}
    Ok(executions)
}

/// The last up to `limit` calls that were made for a task, the latest first, as many as fit.
pub(in crate::sqlite) fn list_of_task(
    connection: &Connection,
    task: TaskId,
    limit: u16,
) -> rusqlite::Result<Vec<Execution>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM execution e INDEXED BY execution_by_task \
         CROSS JOIN call_series s ON s.id = e.series WHERE e.task_id = ?1 ORDER BY e.id DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query(params![Id(task.as_uuid()), limit])?;
    Ok(read_fitting(rows)?.into_entries())
}

/// Tells whether an execution is there and somebody's own.
pub(super) fn belongs_to(connection: &Connection, id: ExecutionId, owner: UserId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM execution WHERE id = ?1 AND user_id = ?2")?
        .exists([Id(id.as_uuid()), Id(owner.as_uuid())])
}

/// Reads an execution from a row of [`COLUMNS`].
pub(super) fn read_execution(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let series = read_series(row)?;
    Ok(Execution {
        id: ExecutionId::from_uuid(row.get::<_, Id>(4)?.0),
        outcome: read_outcome(row, series.status)?,
        plugin: series.plugin,
        action: series.action,
        source: series.source,
        user_id: row.get::<_, Option<Id>>(5)?.map(|id| UserId::from_uuid(id.0)),
        task: read_try(row)?,
        created_at: row.get::<_, Moment>(7)?.0,
        duration: Duration::from_micros(to_count(row.get(8)?)),
        ip_address: row.get(9)?,
        user_agent: row.get(10)?,
        payload: row.get::<_, Json<_>>(13)?.0,
    })
}

fn read_try(row: &Row<'_>) -> rusqlite::Result<Option<CallTry>> {
    let Some(id) = row.get::<_, Option<Id>>(6)? else {
        return Ok(None);
    };
    Ok(Some(CallTry {
        task_id: TaskId::from_uuid(id.0),
        attempt: row.get::<_, Option<u32>>(15)?.unwrap_or(0),
    }))
}

/// Reads a series from a row that begins with plugin, action, source and status.
pub(super) fn read_series(row: &Row<'_>) -> rusqlite::Result<Series> {
    Ok(Series {
        plugin: row.get::<_, Text<_>>(0)?.0,
        action: row.get::<_, Text<_>>(1)?.0,
        source: row.get::<_, Door>(2)?.0,
        status: row.get::<_, Status>(3)?.0,
    })
}

fn read_outcome(row: &Row<'_>, status: ExecutionStatus) -> rusqlite::Result<ExecutionOutcome> {
    Ok(match status {
        ExecutionStatus::Running => ExecutionOutcome::Running,
        ExecutionStatus::Success => ExecutionOutcome::Success(row.get::<_, Json<_>>(14)?.0),
        ExecutionStatus::Failure => ExecutionOutcome::Failure(Failure {
            code: row.get(11)?,
            message: row.get(12)?,
        }),
    })
}

struct Door(Source);

impl FromSql for Door {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let source = Source::ALL.into_iter().find(|source| source.as_str() == text);
        source.map(Self).ok_or_else(|| unknown("source"))
    }
}

struct Status(ExecutionStatus);

impl FromSql for Status {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let status = ExecutionStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == text);
        status.map(Self).ok_or_else(|| unknown("status"))
    }
}

fn unknown(what: &str) -> FromSqlError {
    FromSqlError::Other(Error::bug(format!("the store holds an unknown {what}")).into())
}
