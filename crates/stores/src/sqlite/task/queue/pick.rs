//! Choosing which of the ready jobs go next.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use model::{ClaimRequest, Priority, Timestamp};
use rusqlite::{Connection, params};

use crate::sqlite::{
    column::{Moment, Urgency},
    lanes::Lanes,
};

/// After how long a ready job may go before more urgent ones.
const LONG: Duration = Duration::from_secs(30);

/// A ready job to be claimed.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    pub(super) priority: Priority,
    pub(super) lane: i64,
    pub(super) turn: i64,
    pub(super) seq: i64,
}

/// Whether one more job of a lane can be chosen. A lane that `room` doesn't name has room for all.
pub(super) fn has_room(room: &HashMap<i64, u16>, lane: i64) -> bool {
    room.get(&lane).is_none_or(|left| *left > 0)
}

/// Chooses ready jobs, in the order in which they should start; counts down the room of their lanes.
pub(super) fn pick(
    connection: &Connection,
    lanes: &mut Lanes,
    request: &ClaimRequest,
    room: &mut HashMap<i64, u16>,
) -> rusqlite::Result<Vec<Pick>> {
    let mut queues: Vec<PriorityQueue> = Vec::new();
    for priority in Priority::ALL.into_iter().rev() {
        let ready = lanes.ready_lanes(priority);
        let ready: Vec<i64> = ready.filter(|lane| has_room(room, *lane)).collect();
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
            if let Some(left) = room.get_mut(&pick.lane) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    queues.iter_mut().for_each(|queue| queue.close(pick.lane));
                }
            }
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

    /// Leaves a lane out from now on.
    fn close(&mut self, closed: i64) {
        self.lanes.retain(|queue| queue.lane != closed);
        (self.next, self.next_ready_at) = (None, None);
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
