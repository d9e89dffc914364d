//! How often actions were called.

use std::{collections::HashMap, time::Duration};

use ::mongodb::bson::{Bson, DateTime, Document, doc};
use model::{CallStatistics, ExecutionStatus, Result, ToolName, UserId};
use serde::Deserialize;

use super::COLLECTION;
use crate::mongodb::{
    MongoStore,
    column::{id, timestamp, to_count},
    failure::Fault,
};

/// About how many tools one question names.
const TOOLS_AT_ONCE: usize = 200;

#[derive(Deserialize)]
struct CountRow {
    #[serde(rename = "_id")]
    series: Series,
    calls: i64,
    /// Of whichever type of number the sum fits into.
    micros: Bson,
    last: Option<DateTime>,
}

#[derive(Deserialize)]
struct Series {
    p: String,
    a: String,
    st: String,
}

impl CountRow {
    fn duration(&self) -> Duration {
        let small = || self.micros.as_i32().map(i64::from);
        // A sum that no whole number can hold stops at the greatest one.
        let micros = self.micros.as_i64().or_else(small).unwrap_or(i64::MAX);
        Duration::from_micros(to_count(micros))
    }
}

impl MongoStore {
    /// Counts the ended calls of those of `tools` that were ever called, in the order of `tools`.
    pub(super) async fn count_calls(
        &self,
        tools: &[ToolName],
        caller: Option<UserId>,
    ) -> Result<Vec<CallStatistics>> {
        let mut statistics = Vec::new();
        for some in tools.chunks(TOOLS_AT_ONCE) {
            let rows = self.count_series(some, caller).await?;
            let mut by_tool: HashMap<(String, String), Vec<CountRow>> = HashMap::new();
            for row in rows {
                let tool = (row.series.p.clone(), row.series.a.clone());
                by_tool.entry(tool).or_default().push(row);
            }
            let known = some.iter().filter_map(|tool| {
                let rows = by_tool.get(&(tool.plugin.to_string(), tool.action.to_string()))?;
                Some(sum(tool, rows))
            });
            statistics.extend(known);
        }
        Ok(statistics)
    }

    async fn count_series(&self, tools: &[ToolName], caller: Option<UserId>) -> Result<Vec<CountRow>, Fault> {
        let of_tool = |tool: &ToolName| {
            let mut of_tool = doc! { "p": tool.plugin.as_str(), "a": tool.action.as_str() };
            if let Some(caller) = caller {
                of_tool.insert("u", id(caller.as_uuid()));
            }
            of_tool
        };
        let tools: Vec<Document> = tools.iter().map(of_tool).collect();
        let ended = [
            ExecutionStatus::Success.as_str(),
            ExecutionStatus::Failure.as_str(),
        ];
        let collection = self.connection.collection::<Document>(COLLECTION);
        let counting = collection
            .aggregate([
                doc! { "$match": { "$or": tools, "st": { "$in": ended.as_slice() } } },
                doc! { "$group": {
                    "_id": { "p": "$p", "a": "$a", "st": "$st" },
                    "calls": { "$sum": 1_i64 },
                    "micros": { "$sum": "$d" },
                    "last": { "$max": "$c" },
                } },
            ])
            .max_time(self.connection.limit())
            .with_type::<CountRow>();
        self.connection.read_all(counting).await
    }
}

fn sum(tool: &ToolName, rows: &[CountRow]) -> CallStatistics {
    let of = |status: ExecutionStatus| {
        let counts = rows.iter().filter(|row| row.series.st == status.as_str());
        counts.map(|row| to_count(row.calls)).fold(0, u64::saturating_add)
    };
    CallStatistics {
        plugin: tool.plugin.clone(),
        action: tool.action.clone(),
        successes: of(ExecutionStatus::Success),
        failures: of(ExecutionStatus::Failure),
        total_duration: rows
            .iter()
            .map(CountRow::duration)
            .fold(Duration::ZERO, Duration::saturating_add),
        last_called_at: rows.iter().filter_map(|row| row.last).max().map(timestamp),
    }
}
