//! Claiming: giving ready jobs to a worker.

use std::collections::HashMap;

use model::{ClaimRequest, Claimed, ClaimedTask, Lease, TaskEvent, Timestamp};
use rusqlite::{Connection, params};

use super::pick::{Pick, has_room, pick};
use crate::sqlite::{
    column::Moment,
    failure::{Fault, Outcome},
    lanes::{Lanes, TaskLedger},
    task::{
        place::{PLACED, Placed},
        row::{COLUMNS, RawTask},
    },
};

/// How many jobs whose time came are made ready at once, if not more are asked for.
const PROMOTED_AT_ONCE: u16 = 256;

/// What a worker got, as it stands in columns.
pub(super) struct RawClaimed {
    tasks: Vec<(RawTask, Timestamp)>,
    next_due: Option<Timestamp>,
    has_more: bool,
}

impl RawClaimed {
    /// Takes the texts apart. A task that can't be read is left out: its lease ends, and it fails in the end.
    pub(super) fn into_claimed(self) -> Claimed {
        let read = |(raw, ready_at): (RawTask, Timestamp)| match raw.into_task() {
            Ok(task) => Some(ClaimedTask { task, ready_at }),
            Err(error) => {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "a task can't be read");
                None
            }
        };
        Claimed {
            tasks: self.tasks.into_iter().filter_map(read).collect(),
            next_due: self.next_due,
            has_more: self.has_more,
        }
    }
}

/// Claims ready jobs, those included whose time has come.
pub(super) fn claim(
    connection: &Connection,
    tasks: &mut TaskLedger,
    request: &ClaimRequest,
) -> Outcome<RawClaimed> {
    // Counted anew, if need be, while nothing is written.
    tasks.lanes(connection)?;
    claim_counted(connection, tasks, request).map_err(Fault::Torn)
}

fn claim_counted(
    connection: &Connection,
    tasks: &mut TaskLedger,
    request: &ClaimRequest,
) -> rusqlite::Result<RawClaimed> {
    let limit = PROMOTED_AT_ONCE.max(request.limit.saturating_mul(2));
    let has_promoted_all = promote(connection, tasks, request.now, limit)?;
    let lanes = tasks.lanes(connection)?;
    let room = request.room.iter();
    let mut room: HashMap<i64, u16> = room
        .filter_map(|(plugin, room)| Some((lanes.find_lane(plugin)?, *room)))
        .collect();
    let picks = pick(connection, lanes, request, &mut room)?;
    let mut claimed = Vec::with_capacity(picks.len());
    for pick in picks {
        if let Some(task) = take(connection, tasks, request, pick)? {
            claimed.push(task);
        }
    }
    let lanes = tasks.lanes(connection)?;
    Ok(RawClaimed {
        tasks: claimed,
        has_more: !has_promoted_all || lanes.has_ready(|lane| has_room(&room, lane)),
        next_due: next_due(connection, lanes)?,
    })
}

/// When the next job becomes due that isn't ready.
fn next_due(connection: &Connection, lanes: &Lanes) -> rusqlite::Result<Option<Timestamp>> {
    if lanes.scheduled() == 0 {
        return Ok(None);
    }
    let due: Option<Moment> = connection
        .prepare_cached("SELECT min(due_at) FROM task INDEXED BY task_due WHERE queue = 2")?
        .query_row((), |row| row.get(0))?;
    Ok(due.map(|moment| moment.0))
}

/// Makes up to `limit` jobs ready whose time has come, the earliest first; tells whether these were all.
fn promote(
    connection: &Connection,
    tasks: &mut TaskLedger,
    now: Timestamp,
    limit: u16,
) -> rusqlite::Result<bool> {
    if tasks.lanes(connection)?.scheduled() == 0 {
        return Ok(true);
    }
    let sql = format!(
        "SELECT {PLACED} FROM task t INDEXED BY task_due WHERE t.queue = 2 AND t.due_at <= ?1 \
         ORDER BY t.due_at, t.seq LIMIT ?2"
    );
    let due: Vec<Placed> = connection
        .prepare_cached(&sql)?
        .query_map(params![Moment(now), limit], Placed::read)?
        .collect::<rusqlite::Result<_>>()?;
    for task in &due {
        task.change(connection, tasks, task.to(task.standing, now))?;
    }
    Ok(due.len() < usize::from(limit))
}

/// Gives a job to the worker; `None` when it can't be started after all, since the clock was set back.
fn take(
    connection: &Connection,
    tasks: &mut TaskLedger,
    request: &ClaimRequest,
    pick: Pick,
) -> rusqlite::Result<Option<(RawTask, Timestamp)>> {
    let sql = format!("SELECT {COLUMNS}, t.ready_at FROM task t WHERE t.seq = ?1");
    let (raw, ready_at): (RawTask, Option<Moment>) = connection
        .prepare_cached(&sql)?
        .query_row([pick.seq], |row| Ok((RawTask::read(row)?, row.get(34)?)))?;
    let ready_at = ready_at.map(|moment| moment.0);
    let placed = Placed::ready(&raw, (pick.seq, pick.lane, pick.turn), pick.priority, ready_at);
    let lease = Lease {
        worker: request.worker,
        until: request.lease_until,
    };
    let now = request.now;
    let Ok(standing) = placed.standing.after(TaskEvent::Claimed { lease, now }) else {
        placed.change(connection, tasks, placed.to(placed.standing, now))?;
        return Ok(None);
    };
    placed.change(connection, tasks, placed.to(standing, now))?;
    let ready_at = ready_at.unwrap_or(standing.due_at);
    Ok(Some((raw.claimed(standing, now), ready_at)))
}
