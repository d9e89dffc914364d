//! Claiming: giving ready jobs to a worker.

use std::collections::HashMap;

use model::{ClaimRequest, Claimed, ClaimedTask, Lease, Priority, TaskEvent, Timestamp};
use rusqlite::Connection;

use super::pick::{Pick, has_room, pick};
use crate::sqlite::{
    column::Moment,
    failure::{Fault, Outcome},
    lanes::{Lanes, TaskLedger},
    task::{
        place::{Placed, find_due, next_due, promote},
        row::{COLUMN_COUNT, COLUMNS, RawTask},
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
    let limit = PROMOTED_AT_ONCE.max(request.limit.saturating_mul(2));
    // Counted anew, if need be, and read while nothing is written: a failure until then is this claim's alone.
    let lanes = tasks.lanes(connection)?;
    let due = if lanes.may_be_due(request.now) {
        find_due(connection, Priority::ALL.into_iter().rev(), request.now, limit)?
    } else {
        Vec::new()
    };
    if due.is_empty() {
        let room = room_of(lanes, request);
        if !lanes.has_ready(|lane| has_room(&room, lane)) {
            let next_due = next_due(connection, lanes)?;
            lanes.note_first_due(next_due);
            return Ok(RawClaimed {
                tasks: Vec::new(),
                has_more: false,
                next_due,
            });
        }
    }
    let has_promoted_all = due.len() < usize::from(limit);
    promote(connection, tasks, &due, request.now).map_err(Fault::Torn)?;
    let is_untouched = due.is_empty();
    let lanes = tasks.lanes(connection).map_err(Fault::Torn)?;
    let mut room = room_of(lanes, request);
    let chosen = choose(connection, lanes, request, &mut room).map_err(|error| {
        if is_untouched {
            Fault::Database(error)
        } else {
            Fault::Torn(error)
        }
    })?;
    let claimed = take_all(connection, tasks, request, chosen).map_err(Fault::Torn)?;
    let lanes = tasks.lanes(connection).map_err(Fault::Torn)?;
    let next_due = next_due(connection, lanes).map_err(Fault::Torn)?;
    lanes.note_first_due(next_due);
    Ok(RawClaimed {
        tasks: claimed,
        has_more: !has_promoted_all || lanes.has_ready(|lane| has_room(&room, lane)),
        next_due,
    })
}

/// How many more jobs can be chosen of the lanes that the request names.
fn room_of(lanes: &Lanes, request: &ClaimRequest) -> HashMap<i64, u16> {
    let room = request.room.iter();
    room.filter_map(|(plugin, room)| Some((lanes.find_lane(plugin)?, *room)))
        .collect()
}

/// A ready job that was chosen, with when it became ready.
type Chosen = (Pick, RawTask, Option<Timestamp>);

/// Chooses ready jobs and reads them.
fn choose(
    connection: &Connection,
    lanes: &mut Lanes,
    request: &ClaimRequest,
    room: &mut HashMap<i64, u16>,
) -> rusqlite::Result<Vec<Chosen>> {
    let sql = format!("SELECT {COLUMNS}, t.ready_at FROM task t WHERE t.seq = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let picks = pick(connection, lanes, request, room)?;
    let read = |pick: Pick| {
        statement.query_row([pick.seq], |row| {
            let ready_at: Option<Moment> = row.get(COLUMN_COUNT)?;
            Ok((pick, RawTask::read(row)?, ready_at.map(|moment| moment.0)))
        })
    };
    picks.into_iter().map(read).collect()
}

/// Gives jobs to the worker.
fn take_all(
    connection: &Connection,
    tasks: &mut TaskLedger,
    request: &ClaimRequest,
    chosen: Vec<Chosen>,
) -> rusqlite::Result<Vec<(RawTask, Timestamp)>> {
    let mut taken = Vec::with_capacity(chosen.len());
    for (pick, raw, ready_at) in chosen {
        let placed = Placed::ready(&raw, (pick.seq, pick.lane, pick.turn), pick.priority, ready_at);
        let lease = Lease {
            worker: request.worker,
            until: request.lease_until,
        };
        // It has been due once, by a clock that was ahead of this one.
        let now = request.now.max(placed.standing.due_at);
        let Ok(standing) = placed.standing.after(TaskEvent::Claimed { lease, now }) else {
            placed.change(connection, tasks, placed.to(placed.standing, now))?;
            continue;
        };
        placed.change(connection, tasks, placed.to(standing, now))?;
        let ready_at = ready_at.unwrap_or(standing.due_at);
        taken.push((raw.claimed(standing, now), ready_at));
    }
    Ok(taken)
}
