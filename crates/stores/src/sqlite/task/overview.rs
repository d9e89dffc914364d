//! Tasks in numbers.

use std::time::Duration;

use model::{TaskCount, TaskOverview, TaskStatus, Timestamp, Timing, UserId};
use rusqlite::{Connection, params};

use crate::sqlite::{
    column::{Id, Moment, Status, Text, Urgency, to_count},
    failure::Outcome,
};

/// How many tasks are looked through at most where there is another way.
const FEW: u64 = 20_000;

/// How many jobs at the head of each lane are looked at for the one that has been ready longest, when there are many:
/// since owners take turns, it may stand behind younger ones of others.
const LOOKED_AT: u32 = 64;

/// Counts an owner's tasks, or all, and times the latest `sample` jobs that ended at or after `since`.
pub(super) fn count(
    connection: &Connection,
    owner: Option<UserId>,
    (since, sample): (Timestamp, u32),
) -> Outcome<TaskOverview> {
    let counts = counts(connection, owner)?;
    let of = |is_asked: fn(TaskStatus) -> bool| {
        let asked = counts.iter().filter(|entry| is_asked(entry.status));
        asked.fold(0_u64, |sum, entry| sum.saturating_add(entry.count))
    };
    let scope = Scope { connection, owner };
    let ended = if of(TaskStatus::is_final) == 0 {
        Vec::new()
    } else {
        scope.ended(of(TaskStatus::is_final), (since, sample))?
    };
    let pending = of(|status| status == TaskStatus::Pending);
    let oldest_pending = if pending == 0 {
        None
    } else {
        scope.oldest_ready(pending)?
    };
    Ok(TaskOverview {
        counts,
        ended: u64::try_from(ended.len()).unwrap_or(u64::MAX),
        wait: timing(ended.iter().filter_map(Ended::wait)),
        run: timing(ended.iter().filter_map(Ended::run)),
        oldest_pending,
    })
}

fn counts(connection: &Connection, owner: Option<UserId>) -> rusqlite::Result<Vec<TaskCount>> {
    let mut statement = connection.prepare_cached(
        "SELECT status, priority, (SELECT plugin FROM task_lane WHERE id = lane), sum(count) FROM task_count \
         WHERE ?1 IS NULL OR user_id = ?1 GROUP BY status, priority, lane HAVING sum(count) > 0",
    )?;
    statement
        .query_map([owner.map(|id| Id(id.as_uuid()))], |row| {
            Ok(TaskCount {
                status: row.get::<_, Status>(0)?.0,
                priority: row.get::<_, Urgency>(1)?.0,
                plugin: row.get::<_, Option<Text<_>>>(2)?.map(|plugin| plugin.0),
                count: to_count(row.get(3)?),
            })
        })?
        .collect()
}

struct Scope<'a> {
    connection: &'a Connection,
    owner: Option<UserId>,
}

impl Scope<'_> {
    /// The jobs that ended last, of `most` tasks that ended at all.
    fn ended(&self, most: u64, (since, sample): (Timestamp, u32)) -> rusqlite::Result<Vec<Ended>> {
        let source = if self.owner.is_some() && most <= FEW {
            "task INDEXED BY task_by_user WHERE user_id = ?1 AND stage IN (2, 3, 4)"
        } else {
            "task INDEXED BY task_by_end WHERE (?1 IS NULL OR user_id = ?1)"
        };
        let sql = format!(
            "SELECT ready_at, started_at, finished_at FROM {source} AND finished_at >= ?2 AND kind = 1 \
             ORDER BY finished_at DESC LIMIT ?3"
        );
        self.connection
            .prepare_cached(&sql)?
            .query_map(params![self.owner_id(), Moment(since), sample], |row| {
                Ok(Ended {
                    ready_at: row.get::<_, Option<Moment>>(0)?.map(|moment| moment.0),
                    started_at: row.get::<_, Option<Moment>>(1)?.map(|moment| moment.0),
                    finished_at: row.get::<_, Moment>(2)?.0,
                })
            })?
            .collect()
    }

    /// Since when the job that is ready longest is, of `most` tasks that are pending.
    fn oldest_ready(&self, most: u64) -> rusqlite::Result<Option<Timestamp>> {
        let sql = match (self.owner, most <= FEW) {
            (Some(_), true) => {
                "SELECT min(ready_at) FROM task INDEXED BY task_by_user \
                 WHERE user_id = ?1 AND stage = 1 AND queue = 1 AND ?2 > 0"
            }
            (Some(_), false) | (None, true) => {
                "SELECT min(ready_at) FROM task INDEXED BY task_ready \
                 WHERE queue = 1 AND (?1 IS NULL OR user_id = ?1) AND ?2 > 0"
            }
            (None, false) => {
                "SELECT min((SELECT min(h.ready_at) FROM (SELECT t.ready_at FROM task t INDEXED BY task_ready \
                 WHERE t.queue = 1 AND t.priority = p.column1 AND t.lane = l.id ORDER BY t.turn, t.seq LIMIT ?2) h)) \
                 FROM task_lane l CROSS JOIN (VALUES (0), (1), (2), (3)) p WHERE ?1 IS NULL"
            }
        };
        let oldest: Option<Moment> = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![self.owner_id(), LOOKED_AT], |row| row.get(0))?;
        Ok(oldest.map(|moment| moment.0))
    }

    fn owner_id(&self) -> Option<Id> {
        self.owner.map(|id| Id(id.as_uuid()))
    }
}

/// The times of a job that ended.
struct Ended {
    ready_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Timestamp,
}

impl Ended {
    /// When it became ready and was started last; `None` when it ended while it waited to be.
    fn last_start(&self) -> Option<(Timestamp, Timestamp)> {
        let times = self.ready_at.zip(self.started_at);
        times.filter(|(ready_at, started_at)| started_at >= ready_at)
    }

    fn wait(&self) -> Option<Duration> {
        let (ready_at, started_at) = self.last_start()?;
        Some(started_at.since(ready_at))
    }

    fn run(&self) -> Option<Duration> {
        let (_, started_at) = self.last_start()?;
        Some(self.finished_at.since(started_at))
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
