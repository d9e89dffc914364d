//! The history of calls.

use std::time::Duration;

use model::{Error, ExecutionStatus, Result, Source, TaskId, UserId};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Filled, behind};
use crate::{
    sqlite::{
        column::{Id, Moment, to_count},
        failure::Outcome,
        ledger::{Entry, Ledger, Series},
    },
    transfer::{ExecutionRecord, MAX_PAGE_RECORDS, Record},
};

/// How many bytes a call takes without its longer texts.
const BYTES_EACH: usize = 256;

/// Reads calls that follow one.
pub(super) fn read(connection: &Connection, after: Option<Uuid>, page: &mut Filled) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "SELECT e.id, s.plugin, s.action, s.source, s.status, e.user_id, e.task_id, e.attempt, e.created_at, \
         e.duration_micros, e.ip_address, e.user_agent, e.error_code, e.error_message, e.payload, e.result \
         FROM execution e INDEXED BY execution_by_id CROSS JOIN call_series s ON s.id = e.series \
         WHERE e.id > ?1 ORDER BY e.id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![behind(after), MAX_PAGE_RECORDS])?;
    while let Some(row) = rows.next()? {
        let execution = read_row(row)?;
        let texts = [&execution.error_message, &execution.result];
        let bytes = texts.into_iter().flatten().map(String::len);
        let bytes = bytes.fold(execution.payload.len(), usize::saturating_add);
        let id = execution.id.to_string();
        let place = (id, bytes.saturating_add(BYTES_EACH));
        if !page.add(Record::Execution(Box::new(execution)), place) {
            break;
        }
    }
    Ok(())
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<ExecutionRecord> {
    Ok(ExecutionRecord {
        id: row.get::<_, Id>(0)?.0,
        plugin: row.get(1)?,
        action: row.get(2)?,
        source: row.get(3)?,
        status: row.get(4)?,
        user_id: row.get::<_, Option<Id>>(5)?.map(|id| UserId::from_uuid(id.0)),
        task_id: row.get::<_, Option<Id>>(6)?.map(|id| TaskId::from_uuid(id.0)),
        attempt: row.get(7)?,
        created_at: row.get::<_, Moment>(8)?.0,
        duration_micros: row.get(9)?,
        ip_address: row.get(10)?,
        user_agent: row.get(11)?,
        error_code: row.get(12)?,
        error_message: row.get(13)?,
        payload: row.get(14)?,
        result: row.get(15)?,
    })
}

/// Adds a call and counts it.
pub(super) fn write(
    connection: &Connection,
    ledger: &mut Ledger,
    execution: &ExecutionRecord,
) -> Outcome<()> {
    let series = series_of(execution)?;
    let status = series.status;
    let number = ledger.number(connection, series)?;
    ledger.note_skew(connection, execution.id, execution.created_at)?;
    connection
        .prepare_cached(
            "INSERT INTO execution (id, series, user_id, task_id, created_at, duration_micros, ip_address, \
             user_agent, error_code, error_message, payload, result, attempt) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            Id(execution.id),
            number,
            execution.user_id.map(|id| Id(id.as_uuid())),
            execution.task_id.map(|id| Id(id.as_uuid())),
            Moment(execution.created_at),
            execution.duration_micros,
            execution.ip_address,
            execution.user_agent,
            execution.error_code,
            execution.error_message,
            execution.payload,
            execution.result,
            execution.attempt,
        ])?;
    let duration = Duration::from_micros(to_count(execution.duration_micros));
    let has_ended = status != ExecutionStatus::Running;
    ledger.add(Entry {
        series: number,
        user_id: execution.user_id,
        ended: has_ended.then_some((duration, execution.created_at)),
    });
    Ok(())
}

fn series_of(execution: &ExecutionRecord) -> Result<Series> {
    let source = Source::ALL
        .into_iter()
        .find(|source| source.as_str() == execution.source);
    let status = ExecutionStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == execution.status);
    Ok(Series {
        plugin: execution.plugin.parse().map_err(Error::bug)?,
        action: execution.action.parse().map_err(Error::bug)?,
        source: source.ok_or_else(|| Error::bug("an unknown source of a call"))?,
        status: status.ok_or_else(|| Error::bug("an unknown status of a call"))?,
    })
}
