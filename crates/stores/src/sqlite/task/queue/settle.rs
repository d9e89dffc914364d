//! What follows from the end of a task: for those that depend on it, and, in time, its removal.

use model::{ErrorCode, Failure, Settled, TaskEvent, TaskId, TaskStatus, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::sqlite::{
    column::{Id, Moment, Status},
    failure::{Fault, Outcome},
    lanes::TaskLedger,
    task::place::{PLACED, Placed, find_placed},
};

/// Tells up to `limit` tasks what became of one that they depend on.
pub(super) fn settle(
    connection: &Connection,
    tasks: &mut TaskLedger,
    now: Timestamp,
    limit: u16,
) -> Outcome<Settled> {
    // Counted anew, if need be, while nothing is written.
    tasks.lanes(connection)?;
    settle_counted(connection, tasks, now, limit).map_err(Fault::Torn)
}

fn settle_counted(
    connection: &Connection,
    tasks: &mut TaskLedger,
    now: Timestamp,
    limit: u16,
) -> rusqlite::Result<Settled> {
    let mut settled = Settled::default();
    // One that has nobody to tell is work too.
    let mut done: u64 = 0;
    while let Some((ended, status)) = next_ended(connection)? {
        let left = u64::from(limit).saturating_sub(done);
        if left == 0 {
            settled.has_more = true;
            break;
        }
        // One that was retried meanwhile, or removed, has nothing to tell.
        let status = status.filter(|status| status.is_final());
        let told = match status {
            Some(status) => {
                let cancelled = &mut settled.cancelled;
                tell_dependents(connection, tasks, (ended, status, now), left, cancelled)?
            }
            None => 0,
        };
        settled.told = settled.told.saturating_add(told);
        done = done.saturating_add(told.max(1));
        if told < left {
            connection
                .prepare_cached("DELETE FROM task_settlement WHERE task_id = ?1")?
                .execute([Id(ended.as_uuid())])?;
        }
    }
    Ok(settled)
}

/// A task of which others are to be told, and its status if it is still there.
fn next_ended(connection: &Connection) -> rusqlite::Result<Option<(TaskId, Option<TaskStatus>)>> {
    connection
        .prepare_cached(
            "SELECT s.task_id, t.status FROM task_settlement s LEFT JOIN task t ON t.id = s.task_id \
             ORDER BY s.task_id LIMIT 1",
        )?
        .query_row((), |row| {
            let id = TaskId::from_uuid(row.get::<_, Id>(0)?.0);
            Ok((id, row.get::<_, Option<Status>>(1)?.map(|status| status.0)))
        })
        .optional()
}

fn tell_dependents(
    connection: &Connection,
    tasks: &mut TaskLedger,
    (ended, status, now): (TaskId, TaskStatus, Timestamp),
    limit: u64,
    cancelled: &mut Vec<TaskId>,
) -> rusqlite::Result<u64> {
    let dependents: Vec<(TaskId, i64)> = connection
        .prepare_cached(
            "SELECT task_id, position FROM task_dependency INDEXED BY task_dependency_by_other \
             WHERE depends_on = ?1 AND is_told = 0 LIMIT ?2",
        )?
        .query_map(
            params![Id(ended.as_uuid()), i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| Ok((TaskId::from_uuid(row.get::<_, Id>(0)?.0), row.get(1)?)),
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut told: u64 = 0;
    for (dependent, position) in dependents {
        if let Some(task) = find_placed(connection, dependent)?
            && tell(connection, tasks, &task, (ended, status, now))?
        {
            cancelled.push(dependent);
        }
        connection
            .prepare_cached("UPDATE task_dependency SET is_told = 1 WHERE task_id = ?1 AND position = ?2")?
            .execute(params![Id(dependent.as_uuid()), position])?;
        told = told.saturating_add(1);
    }
    Ok(told)
}

/// Tells one task; gives whether that cancelled it.
fn tell(
    connection: &Connection,
    tasks: &mut TaskLedger,
    task: &Placed,
    (ended, status, now): (TaskId, TaskStatus, Timestamp),
) -> rusqlite::Result<bool> {
    let is_completed = status == TaskStatus::Completed;
    let event = if is_completed {
        TaskEvent::DependencyCompleted
    } else {
        TaskEvent::DependencyLost
    };
    // One that waits no more doesn't care.
    let Ok(standing) = task.standing.after(event) else {
        return Ok(false);
    };
    let is_cancelled = standing.status == TaskStatus::Cancelled;
    let mut change = task.to(standing, now);
    if !is_completed {
        let fate = match status {
            TaskStatus::Cancelled => "was cancelled",
            TaskStatus::Pending | TaskStatus::InProgress | TaskStatus::Completed | TaskStatus::Failed => {
                "failed"
            }
        };
        change.error = Some(Some(Failure {
            code: ErrorCode::DependencyFailed.as_str().to_owned(),
            message: format!("the task {ended}, on which this one depends, {fate}"),
        }));
    }
    task.change(connection, tasks, change)?;
    Ok(is_cancelled)
}

/// Removes up to `limit` tasks that ended before a moment, the first that ended first, but none that a task needs
/// that hasn't ended.
pub(super) fn remove_finished(
    connection: &Connection,
    tasks: &mut TaskLedger,
    finished_before: Timestamp,
    limit: u16,
) -> Outcome<u64> {
    let sql = format!(
        "SELECT {PLACED} FROM task t INDEXED BY task_by_end WHERE t.finished_at < ?1 AND NOT EXISTS \
         (SELECT 1 FROM task_dependency d INDEXED BY task_dependency_by_other CROSS JOIN task o ON o.id = d.task_id \
         WHERE d.depends_on = t.id AND o.status IN (0, 1)) ORDER BY t.finished_at LIMIT ?2"
    );
    let finished: Vec<Placed> = connection
        .prepare_cached(&sql)?
        .query_map(params![Moment(finished_before), limit], Placed::read)?
        .collect::<rusqlite::Result<_>>()?;
    let mut removed: u64 = 0;
    for task in finished {
        task.remove(connection, tasks).map_err(Fault::Torn)?;
        removed = removed.saturating_add(1);
    }
    Ok(removed)
}
