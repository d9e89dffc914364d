//! Claiming: which of the ready jobs go to a worker.

use std::{collections::VecDeque, time::Duration};

use model::{ClaimRequest, Claimed, ClaimedTask, Lease, Priority, TaskEvent, Timestamp};
use rusqlite::{Connection, params};

use crate::sqlite::{
    column::{Moment, Urgency},
    failure::{Fault, Outcome},
    lanes::{Lanes, TaskLedger},
    task::{
        place::{PLACED, Placed},
        row::{COLUMNS, RawTask},
    },
};

/// After how long a ready job may go before more urgent ones.
const LONG: Duration = Duration::from_secs(30);

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
    let saturated = request.saturated.iter();
    let passed_over: Vec<i64> = saturated.filter_map(|plugin| lanes.find_lane(plugin)).collect();
    let picks = pick(connection, lanes, request, &passed_over)?;
    let mut claimed = Vec::with_capacity(picks.len());
    for pick in picks {
        if let Some(task) = take(connection, tasks, request, pick)? {
            claimed.push(task);
        }
    }
    let lanes = tasks.lanes(connection)?;
    Ok(RawClaimed {
        tasks: claimed,
        has_more: !has_promoted_all || lanes.has_ready(&passed_over),
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

/// A ready job to be claimed.
#[derive(Clone, Copy)]
struct Pick {
    priority: Priority,
    lane: i64,
    turn: i64,
    seq: i64,
}

/// Chooses ready jobs, in the order in which they should start.
fn pick(
    connection: &Connection,
    lanes: &mut Lanes,
    request: &ClaimRequest,
    passed_over: &[i64],
) -> rusqlite::Result<Vec<Pick>> {
    let mut queues: Vec<PriorityQueue> = Vec::new();
    for priority in Priority::ALL.into_iter().rev() {
        let ready = lanes.ready_lanes(priority);
        let ready: Vec<i64> = ready.filter(|lane| !passed_over.contains(lane)).collect();
        if !ready.is_empty() {
            queues.push(PriorityQueue::new(priority, &ready));
        }
    }
    let limit = usize::from(request.limit);
    let mut picks = Vec::new();
    while picks.len() < limit && !queues.is_empty() {
        let left = limit.saturating_sub(picks.len());
        for queue in &mut queues {
            queue.look(connection, left)?;
        }
        queues.retain(|queue| queue.next.is_some());
        let mut chosen = 0;
        // One priority alone has nobody to go before.
        if lanes.is_fourth_claim() && queues.len() > 1 {
            chosen = longest_waiting(connection, &mut queues, request.now)?.unwrap_or(0);
        }
        if let Some(pick) = queues.get_mut(chosen).and_then(PriorityQueue::take) {
            picks.push(pick);
        }
    }
    Ok(picks)
}

/// Which of the queues has the next job that has been ready longest, if it has been for long.
fn longest_waiting(
    connection: &Connection,
    queues: &mut [PriorityQueue],
    now: Timestamp,
) -> rusqlite::Result<Option<usize>> {
    let long_ago = now.minus(LONG);
    let mut longest: Option<(Timestamp, usize)> = None;
    for (index, queue) in queues.iter_mut().enumerate() {
        let Some(ready_at) = queue.next_ready_at(connection)? else {
            continue;
        };
        if ready_at <= long_ago && longest.is_none_or(|(other, _)| ready_at < other) {
            longest = Some((ready_at, index));
        }
    }
    Ok(longest.map(|(_, index)| index))
}

/// The ready jobs of one priority, taken from its lanes by turn.
struct PriorityQueue {
    priority: Priority,
    lanes: Vec<LaneQueue>,
    /// The lane that has the next one.
    next: Option<usize>,
    /// When the next one became ready, once it was asked for.
    next_ready_at: Option<Timestamp>,
}

/// The ready jobs of one lane, read ahead.
struct LaneQueue {
    lane: i64,
    /// Turns and row numbers.
    ahead: VecDeque<(i64, i64)>,
    last: (i64, i64),
    is_at_end: bool,
}

impl PriorityQueue {
    fn new(priority: Priority, lanes: &[i64]) -> Self {
        let lane = |lane: &i64| LaneQueue {
            lane: *lane,
            ahead: VecDeque::new(),
            last: (i64::MIN, i64::MIN),
            is_at_end: false,
        };
        Self {
            priority,
            lanes: lanes.iter().map(lane).collect(),
            next: None,
            next_ready_at: None,
        }
    }

    /// Finds the next job, unless it is known; at most `wanted` more are going to be asked for.
    fn look(&mut self, connection: &Connection, wanted: usize) -> rusqlite::Result<()> {
        if self.next.is_some() {
            return Ok(());
        }
        let mut least: Option<((i64, i64), usize)> = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let next = lane.peek(connection, self.priority, wanted)?;
            if let Some(next) = next
                && least.is_none_or(|(other, _)| next < other)
            {
                least = Some((next, index));
            }
        }
        self.next = least.map(|(_, index)| index);
        Ok(())
    }

    /// Takes the next job, when it was found.
    fn take(&mut self) -> Option<Pick> {
        let lane = self.lanes.get_mut(self.next.take()?)?;
        self.next_ready_at = None;
        let (turn, seq) = lane.ahead.pop_front()?;
        Some(Pick {
            priority: self.priority,
            lane: lane.lane,
            turn,
            seq,
        })
    }

    /// When the next job became ready, when it was found.
    fn next_ready_at(&mut self, connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
        let lane = self.next.and_then(|index| self.lanes.get(index));
        let Some((_, seq)) = lane.and_then(|lane| lane.ahead.front()) else {
            return Ok(None);
        };
        if self.next_ready_at.is_none() {
            let ready_at: Option<Moment> = connection
                .prepare_cached("SELECT ready_at FROM task WHERE seq = ?1")?
                .query_row([seq], |row| row.get(0))?;
            self.next_ready_at = ready_at.map(|moment| moment.0);
        }
        Ok(self.next_ready_at)
    }
}

impl LaneQueue {
    /// How many are read ahead at most.
    const AHEAD: usize = 128;

    fn peek(
        &mut self,
        connection: &Connection,
        priority: Priority,
        wanted: usize,
    ) -> rusqlite::Result<Option<(i64, i64)>> {
        if self.ahead.is_empty() && !self.is_at_end {
            self.read_ahead(connection, priority, wanted.min(Self::AHEAD))?;
        }
        Ok(self.ahead.front().copied())
    }

    fn read_ahead(
        &mut self,
        connection: &Connection,
        priority: Priority,
        wanted: usize,
    ) -> rusqlite::Result<()> {
        let (turn, seq) = self.last;
        self.ahead = connection
            .prepare_cached(
                "SELECT turn, seq FROM task INDEXED BY task_ready WHERE queue = 1 AND priority = ?1 AND lane = ?2 \
                 AND turn >= ?3 AND (turn, seq) > (?3, ?4) ORDER BY turn, seq LIMIT ?5",
            )?
            .query_map(
                params![Urgency(priority), self.lane, turn, seq, i64::try_from(wanted).unwrap_or(i64::MAX)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .collect::<rusqlite::Result<_>>()?;
        self.is_at_end = self.ahead.len() < wanted;
        if let Some(last) = self.ahead.back() {
            self.last = *last;
        }
        Ok(())
    }
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
