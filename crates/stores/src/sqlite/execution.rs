//! The history of calls.

mod record;
mod span;
mod row;
mod listing;

use std::time::Duration;

use async_trait::async_trait;
use model::{
    CallStatistics, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStore, Page,
    PageRequest, Result, Timestamp, UserId,
};
use rusqlite::Connection;

use self::record::{Ending, NewRow};
use super::{
    SqliteStore,
    column::{Moment, Text, to_count},
};

#[async_trait]
impl ExecutionStore for SqliteStore {
    async fn record_execution(&self, execution: Execution) -> Result<()> {
        let row = NewRow::of(execution)?;
        self.writer
            .count(move |connection, ledger| row.insert(connection, ledger))
            .await
    }

    async fn complete_execution(
        &self,
        id: ExecutionId,
        outcome: ExecutionOutcome,
        duration: Duration,
    ) -> Result<()> {
        let ending = Ending::of(outcome, duration)?;
        self.writer
            .count(move |connection, ledger| ending.write(connection, ledger, id))
            .await
    }

    async fn find_execution(&self, id: ExecutionId, owner: Option<UserId>) -> Result<Option<Execution>> {
        self.readers
            .read(move |connection| {
                let found = row::find(connection, id)?;
                Ok(found.filter(|execution| owner.is_none() || execution.user_id == owner))
            })
            .await
    }

    async fn list_executions(
        &self,
        filter: &ExecutionFilter,
        page: &PageRequest<()>,
    ) -> Result<Page<Execution>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.readers
            .read(move |connection| listing::list(connection, &filter, &page))
            .await
    }

    async fn close_interrupted_executions(&self, accepted_before: Timestamp, limit: u32) -> Result<u64> {
        self.writer
            .count(move |connection, ledger| {
                record::close_interrupted(connection, ledger, accepted_before, limit)
            })
            .await
    }

    async fn call_statistics(&self) -> Result<Vec<CallStatistics>> {
        self.readers
            .read(|connection| Ok(read_statistics(connection)?))
            .await
    }
}

fn read_statistics(connection: &Connection) -> rusqlite::Result<Vec<CallStatistics>> {
    // Sums that no column could hold stop at its greatest number.
    let sql = "SELECT plugin, action, sum(calls) FILTER (WHERE status = 'success'), \
        sum(calls) FILTER (WHERE status = 'failure'), min(total(total_micros), 9.2e18), max(last_called_at) \
        FROM call_series GROUP BY plugin, action HAVING sum(calls) > 0 ORDER BY plugin, action";
    connection
        .prepare_cached(sql)?
        .query_map((), |row| {
            let micros: f64 = row.get(4)?;
            Ok(CallStatistics {
                plugin: row.get::<_, Text<_>>(0)?.0,
                action: row.get::<_, Text<_>>(1)?.0,
                successes: to_count(row.get::<_, Option<i64>>(2)?.unwrap_or(0)),
                failures: to_count(row.get::<_, Option<i64>>(3)?.unwrap_or(0)),
                total_duration: Duration::from_secs_f64(micros.max(0.0) / 1e6),
                last_called_at: row.get::<_, Option<Moment>>(5)?.map(|moment| moment.0),
            })
        })?
        .collect()
}
