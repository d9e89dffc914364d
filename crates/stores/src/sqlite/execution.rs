//! The history of calls.

mod span;
mod row;
mod record;
mod listing;

use std::time::Duration;

use async_trait::async_trait;
use model::{
    CallStatistics, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStore, Page,
    PageRequest, Result, Timestamp, ToolName, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore,
    column::{Id, Moment, to_count},
};

pub(super) use self::{
    record::{Ending, NewRow},
    row::list_of_task,
};

#[async_trait]
impl ExecutionStore for SqliteStore {
    async fn record_execution(&self, execution: Execution) -> Result<()> {
        let row = NewRow::of(&execution)?;
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
        let ending = Ending::of(&outcome, duration)?;
        self.writer
            .count(move |connection, ledger| ending.write(connection, ledger, id))
            .await
    }

    async fn find_execution(&self, id: ExecutionId, owner: Option<UserId>) -> Result<Option<Execution>> {
        self.readers
            .read(move |connection| {
                // Asked first, so that another's execution, however large, takes no more time than none.
                if let Some(owner) = owner
                    && !row::belongs_to(connection, id, owner)?
                {
                    return Ok(None);
                }
                Ok(row::find(connection, id)?)
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

    async fn call_statistics(
        &self,
        tools: &[ToolName],
        caller: Option<UserId>,
    ) -> Result<Vec<CallStatistics>> {
        let (tools, caller) = (tools.to_vec(), caller.map(|id| Id(id.as_uuid())));
        self.readers
            .read(move |connection| Ok(read_statistics(connection, tools, caller)?))
            .await
    }
}

fn read_statistics(
    connection: &Connection,
    tools: Vec<ToolName>,
    caller: Option<Id>,
) -> rusqlite::Result<Vec<CallStatistics>> {
    let counts = match caller {
        Some(_) => "call_series s CROSS JOIN user_call_count c ON c.user_id = ?3 AND c.series = s.id",
        None => "call_series s CROSS JOIN call_series c ON ?3 IS NULL AND c.id = s.id",
    };
    // Sums that no column could hold stop at its greatest number.
    let sql = format!(
        "SELECT sum(c.calls) FILTER (WHERE s.status = 'success'), \
         sum(c.calls) FILTER (WHERE s.status = 'failure'), \
         min(total(c.total_micros), 9.2e18), max(c.last_called_at) \
         FROM {counts} WHERE s.plugin = ?1 AND s.action = ?2 HAVING sum(c.calls) > 0"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let read = |tool: ToolName| {
        let asked = params![tool.plugin.as_str(), tool.action.as_str(), caller];
        let counted = statement.query_row(asked, |row| {
            let micros: f64 = row.get(2)?;
            Ok(CallStatistics {
                plugin: tool.plugin.clone(),
                action: tool.action.clone(),
                successes: to_count(row.get::<_, Option<i64>>(0)?.unwrap_or(0)),
                failures: to_count(row.get::<_, Option<i64>>(1)?.unwrap_or(0)),
                total_duration: Duration::from_secs_f64(micros.max(0.0) / 1e6),
                last_called_at: row.get::<_, Option<Moment>>(3)?.map(|moment| moment.0),
            })
        });
        counted.optional().transpose()
    };
    tools.into_iter().filter_map(read).collect()
}
