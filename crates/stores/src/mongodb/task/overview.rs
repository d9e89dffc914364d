//! Tasks in numbers.

use std::time::Duration;

use model::{Error, Result, TaskCount, TaskOverview, Timestamp, Timing, UserId};
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{
    place::Place,
    row::{kind_number, read_priority, read_status},
};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{id, moment, timestamp},
};

/// So many tasks have this in common.
#[derive(Deserialize)]
struct CountRow {
    #[serde(rename = "_id")]
    sort: SortRow,
    #[serde(rename = "c")]
    count: i64,
}

#[derive(Deserialize)]
struct SortRow {
    s: i32,
    p: i32,
    #[serde(default)]
    l: Option<String>,
}

/// The times of a job that ended.
#[derive(Deserialize)]
struct EndedRow {
    #[serde(rename = "ra", default)]
    ready_at: Option<DateTime>,
    #[serde(rename = "sa", default)]
    started_at: Option<DateTime>,
    #[serde(rename = "fa")]
    finished_at: DateTime,
}

#[derive(Deserialize)]
struct ReadyRow {
    #[serde(rename = "ra", default)]
    ready_at: Option<DateTime>,
}

impl MongoStore {
    /// Counts an owner's tasks, or all, and times the latest `sample` jobs that ended at or after `since`.
    pub(super) async fn overview(
        &self,
        owner: Option<UserId>,
        (since, sample): (Timestamp, u32),
    ) -> Result<TaskOverview> {
        let ended = self.ended_jobs(owner, (since, sample)).await?;
        Ok(TaskOverview {
            counts: self.count_task_sorts(owner).await?,
            ended: u64::try_from(ended.len()).unwrap_or(u64::MAX),
            wait: timing(ended.iter().filter_map(EndedRow::wait)),
            run: timing(ended.iter().filter_map(EndedRow::run)),
            oldest_pending: self.oldest_ready(owner).await?,
        })
    }

    async fn count_task_sorts(&self, owner: Option<UserId>) -> Result<Vec<TaskCount>> {
        let sort = doc! { "s": "$s", "p": "$p", "l": "$l" };
        let pipeline = vec![
            doc! { "$match": of_owner(doc! { "s": { "$gte": 0 } }, owner) },
            doc! { "$group": { "_id": sort, "c": { "$sum": 1_i64 } } },
        ];
        let rows: Vec<CountRow> = self.aggregate_tasks(pipeline).await?;
        let count = |row: CountRow| {
            Ok(TaskCount {
                status: read_status(row.sort.s)?,
                priority: read_priority(row.sort.p)?,
                plugin: row
                    .sort
                    .l
                    .map(|plugin| plugin.parse())
                    .transpose()
                    .map_err(Error::bug)?,
                count: u64::try_from(row.count).unwrap_or(0),
            })
        };
        rows.into_iter().map(count).collect()
    }

    async fn ended_jobs(
        &self,
        owner: Option<UserId>,
        (since, sample): (Timestamp, u32),
    ) -> Result<Vec<EndedRow>> {
        if sample == 0 {
            return Ok(Vec::new());
        }
        let job = kind_number(model::TaskKind::Job);
        let ended = of_owner(doc! { "fa": { "$gte": moment(since) }, "k": job }, owner);
        let tasks = self.connection.collection::<EndedRow>(TASKS);
        let find = tasks
            .find(ended)
            .sort(doc! { "fa": -1 })
            .limit(i64::from(sample))
            .projection(doc! { "ra": 1, "sa": 1, "fa": 1 });
        Ok(self.connection.read_all(find).await?)
    }

    /// Since when the job that waits longest has been ready for a worker.
    pub(super) async fn oldest_ready(&self, owner: Option<UserId>) -> Result<Option<Timestamp>> {
        let ready = of_owner(doc! { "q": Place::Ready.number() }, owner);
        let tasks = self.connection.collection::<ReadyRow>(TASKS);
        let find = tasks
            .find_one(ready)
            .sort(doc! { "ra": 1 })
            .projection(doc! { "ra": 1 });
        let oldest = self.connection.run(find).await?;
        Ok(oldest.and_then(|row| row.ready_at).map(timestamp))
    }
}

fn of_owner(mut filter: Document, owner: Option<UserId>) -> Document {
    if let Some(owner) = owner {
        filter.insert("u", id(owner.as_uuid()));
    }
    filter
}

impl EndedRow {
    /// When it became ready and was started last; `None` when it ended while it waited to be.
    fn last_start(&self) -> Option<(Timestamp, Timestamp)> {
        let times = self.ready_at.map(timestamp).zip(self.started_at.map(timestamp));
        times.filter(|(ready_at, started_at)| started_at >= ready_at)
    }

    fn wait(&self) -> Option<Duration> {
        let (ready_at, started_at) = self.last_start()?;
        Some(started_at.since(ready_at))
    }

    fn run(&self) -> Option<Duration> {
        let (_, started_at) = self.last_start()?;
        Some(timestamp(self.finished_at).since(started_at))
    }
}

/// Sums times up; `None` when there are none.
fn timing(times: impl Iterator<Item = Duration>) -> Option<Timing> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    // The smallest time that so many of a hundred don't exceed.
    let at = |percent: usize| {
        let rank = times.len().saturating_mul(percent).div_ceil(100);
        times.get(rank.saturating_sub(1)).copied()
    };
    Some(Timing {
        p50: at(50)?,
        p95: at(95)?,
        p99: at(99)?,
    })
}
