//! Where tasks stand, and the one way in which that changes.

mod due;
mod write;

use model::{ExecutionId, Failure, Priority, Standing, TaskId, TaskKind, TaskStatus, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, Row, types::FromSqlError};

pub(super) use self::due::{find_due, next_due, promote, promote_due};
use self::write::keep_end;
use super::row::{RawTask, read_standing};
use crate::sqlite::{
    column::{Id, Moment, Urgency},
    lanes::{Lanes, Place, Sort, TaskLedger},
};

/// The columns of a task `t` that it is placed by, in the order in which they are read.
pub(super) const PLACED: &str = "t.kind, t.status, t.attempt, t.retry_count, t.max_retries, t.stall_count, \
    t.max_stalls, t.unmet, t.due_at, t.worker, t.lease_until, t.seq, t.id, t.user_id, t.priority, t.lane, t.queue, \
    t.turn, t.ready_at";

/// A task, as far as it decides what may become of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) seq: i64,
    pub(super) id: TaskId,
    pub(super) user_id: Option<UserId>,
    pub(super) priority: Priority,
    /// The number of its plugin; `None` for a to-do.
    pub(super) lane: Option<i64>,
    pub(super) standing: Standing,
    /// Where it stands in the queue; `None` for what isn't a job, or has ended.
    pub(super) place: Option<Place>,
    /// When it became ready last.
    pub(super) ready_at: Option<Timestamp>,
}

/// What becomes of a task: begins as [`Placed::to`].
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) standing: Standing,
    pub(super) priority: Priority,
    /// Another error; the inner `None` removes it.
    pub(super) error: Option<Option<Failure>>,
    /// What it asks, as text.
    pub(super) inquiry: Option<String>,
    /// The call that its result is to be read from.
    pub(super) call: Option<ExecutionId>,
    pub(super) now: Timestamp,
}

/// Looks up where a task stands, whosever it is.
pub(super) fn find_placed(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<Placed>> {
    let sql = format!("SELECT {PLACED} FROM task t WHERE t.id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([Id(id.as_uuid())], Placed::read)
        .optional()
}

/// The place of a task with this standing; the turn of a ready one is yet to be given.
pub(super) fn place_of(standing: &Standing, now: Timestamp) -> Option<Place> {
    if standing.kind != TaskKind::Job {
        return None;
    }
    match standing.status {
        TaskStatus::InProgress => Some(Place::Held),
        TaskStatus::Pending if standing.awaits_input => Some(Place::Asking),
        TaskStatus::Pending if standing.unmet > 0 => Some(Place::Blocked),
        TaskStatus::Pending if standing.due_at > now => Some(Place::Scheduled),
        TaskStatus::Pending => Some(Place::Ready { turn: 0 }),
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => None,
    }
}

impl Placed {
    /// Reads a row of [`PLACED`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            standing: read_standing(row, 16)?,
            seq: row.get(11)?,
            id: TaskId::from_uuid(row.get::<_, Id>(12)?.0),
            user_id: row.get::<_, Option<Id>>(13)?.map(|id| UserId::from_uuid(id.0)),
            priority: row.get::<_, Urgency>(14)?.0,
            lane: row.get(15)?,
            place: match row.get::<_, Option<i64>>(16)? {
                None => None,
                Some(0) => Some(Place::Held),
                Some(1) => Some(Place::Ready { turn: row.get(17)? }),
                Some(2) => Some(Place::Scheduled),
                Some(3) => Some(Place::Blocked),
                Some(4) => Some(Place::Asking),
                Some(other) => return Err(FromSqlError::OutOfRange(other).into()),
            },
            ready_at: row.get::<_, Option<Moment>>(18)?.map(|moment| moment.0),
        })
    }

    /// A task that is ready with this turn.
    pub(super) fn ready(
        task: &RawTask,
        (seq, lane, turn): (i64, i64, i64),
        priority: Priority,
        ready_at: Option<Timestamp>,
    ) -> Self {
        Self {
            seq,
            id: task.id(),
            user_id: task.user_id(),
            priority,
            lane: Some(lane),
            standing: task.standing(),
            place: Some(Place::Ready { turn }),
            ready_at,
        }
    }

    /// A change to this standing, and to nothing else yet.
    pub(super) fn to(&self, standing: Standing, now: Timestamp) -> Change {
        Change {
            standing,
            priority: self.priority,
            error: None,
            inquiry: None,
            call: None,
            now,
        }
    }

    /// With what it is counted together.
    pub(super) fn sort(&self) -> Sort {
        Sort {
            owner: self.user_id,
            status: self.standing.status,
            priority: self.priority,
            lane: self.lane.unwrap_or(0),
        }
    }

    /// Writes what becomes of the task: its row, its place in the queue, the counts, and, when it comes into a final
    /// state, that those that depend on it are to be told. Gives where it stands then. When it becomes ready, whatever
    /// else is due becomes so before it.
    ///
    /// Outside an isolated step, a failure of it tears the transaction.
    pub(super) fn change(
        &self,
        connection: &Connection,
        tasks: &mut TaskLedger,
        change: Change,
    ) -> rusqlite::Result<Self> {
        let is_ready = |place: Option<Place>| matches!(place, Some(Place::Ready { .. }));
        let gets_turn = !is_ready(self.place) || change.priority != self.priority;
        if gets_turn && is_ready(place_of(&change.standing, change.now)) {
            promote_due(connection, tasks, (change.priority, change.now), Some(self.seq))?;
        }
        self.change_alone(connection, tasks, change)
    }

    /// As [`Self::change`], but a task that becomes ready takes its turn whatever else is due.
    fn change_alone(
        &self,
        connection: &Connection,
        tasks: &mut TaskLedger,
        change: Change,
    ) -> rusqlite::Result<Self> {
        let after = self.after(tasks.lanes(connection)?, &change);
        if self.sort() != after.sort() {
            tasks.remove(self.sort());
            tasks.add(after.sort());
        }
        self.write_change(connection, &after, change)?;
        if after.standing.status.is_final() && !self.standing.status.is_final() {
            keep_end(connection, tasks, self.id)?;
        }
        Ok(after)
    }

    /// Removes the task, with what belongs to it alone.
    ///
    /// Outside an isolated step, a failure of it tears the transaction.
    pub(super) fn remove(&self, connection: &Connection, tasks: &mut TaskLedger) -> rusqlite::Result<()> {
        if let Some(place) = self.place {
            let lane = self.lane.unwrap_or(0);
            tasks
                .lanes(connection)?
                .leave(place, self.priority, lane, self.user_id);
        }
        tasks.remove(self.sort());
        connection
            .prepare_cached("DELETE FROM task WHERE seq = ?1")?
            .execute([self.seq])?;
        let mut others = vec![
            "DELETE FROM task_dependency WHERE task_id = ?1",
            "DELETE FROM task_settlement WHERE task_id = ?1",
        ];
        if self.standing.kind == TaskKind::Recurring {
            others.push("DELETE FROM recurrence WHERE task_id = ?1");
        }
        for sql in others {
            connection.prepare_cached(sql)?.execute([Id(self.id.as_uuid())])?;
        }
        Ok(())
    }

    fn after(&self, lanes: &mut Lanes, change: &Change) -> Self {
        let mut after = Self {
            standing: change.standing,
            priority: change.priority,
            place: place_of(&change.standing, change.now),
            ..*self
        };
        if after.place == Some(Place::Scheduled) {
            lanes.note_due(after.standing.due_at);
        }
        let number = |place: Option<Place>| place.map(Place::number);
        if number(self.place) == number(after.place) && self.priority == after.priority {
            after.place = self.place;
            return after;
        }
        after.ready_at = match (self.place, after.place) {
            (Some(Place::Scheduled), Some(Place::Ready { .. })) => Some(change.standing.due_at),
            (Some(Place::Ready { .. }), Some(Place::Ready { .. })) | (_, Some(Place::Held) | None) => {
                self.ready_at
            }
            (_, Some(Place::Ready { .. })) => Some(change.now),
            (_, Some(Place::Scheduled | Place::Blocked | Place::Asking)) => None,
        };
        let lane = self.lane.unwrap_or(0);
        if let (Some(Place::Ready { turn }), Some(Place::Held)) = (self.place, after.place) {
            lanes.pass(self.priority, turn, self.user_id);
        }
        if let Some(place) = self.place {
            lanes.leave(place, self.priority, lane, self.user_id);
        }
        after.place = after
            .place
            .map(|place| lanes.enter(place, after.priority, lane, self.user_id));
        after
    }
}
