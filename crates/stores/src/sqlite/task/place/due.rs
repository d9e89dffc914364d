//! Jobs whose time has come: they become ready when the queue is next looked at, or something else becomes ready.

use model::{Priority, Timestamp};
use rusqlite::{Connection, params};

use super::{PLACED, Placed};
use crate::sqlite::{
    column::{Moment, Urgency},
    lanes::{Lanes, TaskLedger},
};

/// How many jobs become ready at most before one that is ready already.
const PROMOTED_AT_ONCE: u16 = 256;

/// Makes jobs ready whose time has come, before another one takes its turn: those of its priority first, up to 256 in
/// all. What was due earlier is older, and must not go behind it only because every worker was busy until now.
pub(in crate::sqlite::task) fn promote_due(
    connection: &Connection,
    tasks: &mut TaskLedger,
    (priority, now): (Priority, Timestamp),
    other: Option<i64>,
) -> rusqlite::Result<()> {
    if !tasks.lanes(connection)?.may_be_due(now) {
        return Ok(());
    }
    let others = Priority::ALL.into_iter().rev().filter(|other| *other != priority);
    let priorities = [priority].into_iter().chain(others);
    let mut due = find_due(connection, priorities, now, PROMOTED_AT_ONCE)?;
    due.retain(|task| Some(task.seq) != other);
    promote(connection, tasks, &due, now)?;
    let lanes = tasks.lanes(connection)?;
    let first_due = next_due(connection, lanes)?;
    lanes.note_first_due(first_due);
    Ok(())
}

/// Makes jobs ready, in this order.
pub(in crate::sqlite::task) fn promote(
    connection: &Connection,
    tasks: &mut TaskLedger,
    due: &[Placed],
    now: Timestamp,
) -> rusqlite::Result<()> {
    for task in due {
        task.change_alone(connection, tasks, task.to(task.standing, now))?;
    }
    Ok(())
}

/// Up to `limit` jobs whose time has come, in the order of these priorities, and of each the earliest first.
pub(in crate::sqlite::task) fn find_due(
    connection: &Connection,
    priorities: impl IntoIterator<Item = Priority>,
    now: Timestamp,
    limit: u16,
) -> rusqlite::Result<Vec<Placed>> {
    let sql = format!(
        "SELECT {PLACED} FROM task t INDEXED BY task_due WHERE t.queue = 2 AND t.priority = ?1 AND t.due_at <= ?2 \
         ORDER BY t.due_at, t.seq LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut due = Vec::new();
    for priority in priorities {
        let left = usize::from(limit).saturating_sub(due.len());
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        for task in statement.query_map(params![Urgency(priority), Moment(now), left], Placed::read)? {
            due.push(task?);
        }
    }
    Ok(due)
}

/// When the next job becomes due that isn't ready.
pub(in crate::sqlite::task) fn next_due(
    connection: &Connection,
    lanes: &Lanes,
) -> rusqlite::Result<Option<Timestamp>> {
    if lanes.scheduled() == 0 {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT min(due_at) FROM task INDEXED BY task_due WHERE queue = 2 AND priority = ?1",
    )?;
    let mut next: Option<Timestamp> = None;
    for priority in Priority::ALL {
        let due: Option<Moment> = statement.query_row([Urgency(priority)], |row| row.get(0))?;
        next = next.into_iter().chain(due.map(|moment| moment.0)).min();
    }
    Ok(next)
}
