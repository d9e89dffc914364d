//! What people do to a task as it stands: they call it off, want it tried anew or now, or remove it.

use model::{
    Cancelled, Error, ErrorCode, Failure, Inquiry, Result, Task, TaskEvent, TaskId, TaskKind, TaskStatus,
    Timestamp, UserId,
};
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::{
    place::{Change, Placed, find_placed},
    row::{self, RawTask},
};
use crate::sqlite::{
    SqliteStore,
    column::{Id, Moment, Status},
    failure::Outcome,
    ledger::Ledger,
};

/// A task as one of its owner's; with no owner, anybody's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) id: TaskId,
    pub(super) owner: Option<UserId>,
}

impl Own {
    /// Looks up where it stands.
    pub(super) fn find_placed(self, connection: &Connection) -> rusqlite::Result<Option<Placed>> {
        let placed = find_placed(connection, self.id)?;
        Ok(placed.filter(|placed| self.owner.is_none() || placed.user_id == self.owner))
    }

    /// Looks it up as a whole. Another's task, however large, takes no more time than none.
    pub(super) fn find(self, connection: &Connection) -> Outcome<Option<Task>> {
        let is_own = match self.owner {
            None => true,
            Some(owner) => connection
                .prepare_cached("SELECT 1 FROM task WHERE id = ?1 AND user_id = ?2")?
                .exists([Id(self.id.as_uuid()), Id(owner.as_uuid())])?,
        };
        let task = if is_own {
            row::find(connection, self.id)?
        } else {
            None
        };
        Ok(task.map(RawTask::into_task).transpose()?)
    }
}

/// Reads a task that was just written.
pub(super) fn reread(connection: &Connection, id: TaskId) -> Outcome<RawTask> {
    let task = row::find(connection, id)?;
    task.ok_or_else(|| Error::bug("a task that was written is gone").into())
}

/// Calls a task off.
pub(super) async fn cancel(store: &SqliteStore, own: Own, now: Timestamp) -> Result<Option<Cancelled>> {
    let work = move |connection: &Connection, ledger: &mut Ledger| {
        let Some(before) = own.find_placed(connection)? else {
            return Ok(None);
        };
        let standing = before.standing.after(TaskEvent::Cancelled)?;
        let change = Change {
            error: Some(Some(Failure {
                code: ErrorCode::Cancelled.as_str().to_owned(),
                message: "the task was called off".to_owned(),
            })),
            ..before.to(standing, now)
        };
        before.change(connection, &mut ledger.tasks, change)?;
        if standing.kind == TaskKind::Recurring {
            connection
                .prepare_cached("UPDATE recurrence SET next_at = NULL WHERE task_id = ?1")?
                .execute([Id(own.id.as_uuid())])?;
        }
        let running = before.standing.lease.map(|_| before.standing.attempt);
        Ok(Some((reread(connection, own.id)?, running)))
    };
    let Some((task, running)) = store.writer.revise(work).await? else {
        return Ok(None);
    };
    let task = task.into_task()?;
    Ok(Some(Cancelled { task, running }))
}

/// Makes a failed or cancelled task pending again.
pub(super) async fn retry(store: &SqliteStore, own: Own, now: Timestamp) -> Result<Option<Task>> {
    let work = move |connection: &Connection, ledger: &mut Ledger| {
        let Some(before) = own.find_placed(connection)? else {
            return Ok(None);
        };
        // Refused for its own state before anything else.
        before.standing.after(TaskEvent::Retried { now, unmet: 0 })?;
        require_free_key(connection, &before)?;
        let unmet = tell_anew(connection, own.id)?;
        let standing = before.standing.after(TaskEvent::Retried { now, unmet })?;
        let change = Change {
            error: Some(None),
            ..before.to(standing, now)
        };
        before.change(connection, &mut ledger.tasks, change)?;
        Ok(Some(reread(connection, own.id)?))
    };
    let task = store.writer.revise(work).await?;
    task.map(RawTask::into_task).transpose()
}

/// Lets a task be told once more of each task that it depends on and that hasn't ended; gives how many these are. What
/// is completed, or gone, isn't waited for.
///
/// # Errors
/// `Conflict` when one of them has failed or been cancelled.
fn tell_anew(connection: &Connection, id: TaskId) -> Outcome<u32> {
    let dependencies: Vec<(i64, Id, Option<Status>)> = connection
        .prepare_cached(
            "SELECT d.position, d.depends_on, o.status FROM task_dependency d \
             LEFT JOIN task o ON o.id = d.depends_on WHERE d.task_id = ?1 ORDER BY d.position",
        )?
        .query_map([Id(id.as_uuid())], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut told = connection
        .prepare_cached("UPDATE task_dependency SET is_told = ?3 WHERE task_id = ?1 AND position = ?2")?;
    let mut unmet: u32 = 0;
    for (position, other, status) in dependencies {
        let is_open = match status.map(|status| status.0) {
            Some(TaskStatus::Pending | TaskStatus::InProgress) => true,
            Some(TaskStatus::Completed) | None => false,
            Some(TaskStatus::Failed | TaskStatus::Cancelled) => {
                let other = TaskId::from_uuid(other.0);
                let message = format!(
                    "the task {other}, on which this one depends, was not completed; retry that one first"
                );
                return Err(Error::new(ErrorCode::Conflict, message).into());
            }
        };
        told.execute(params![Id(id.as_uuid()), position, !is_open])?;
        unmet = unmet.saturating_add(u32::from(is_open));
    }
    Ok(unmet)
}

/// Keeps answers to what a task asks.
pub(super) async fn answer(
    store: &SqliteStore,
    own: Own,
    answers: Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Task>> {
    let work = move |connection: &Connection, ledger: &mut Ledger| {
        let Some(before) = own.find_placed(connection)? else {
            return Ok(None);
        };
        if before.standing.awaits_input {
            keep_answers(connection, ledger, &before, (&answers, now))?;
        }
        Ok(Some(reread(connection, own.id)?))
    };
    let task = store.writer.revise(work).await?;
    task.map(RawTask::into_task).transpose()
}

fn keep_answers(
    connection: &Connection,
    ledger: &mut Ledger,
    before: &Placed,
    (answers, now): (&Map<String, Value>, Timestamp),
) -> Outcome<()> {
    let text: Option<String> = connection
        .prepare_cached("SELECT inquiry FROM task WHERE seq = ?1")?
        .query_row([before.seq], |row| row.get(0))?;
    let Some(text) = text else {
        return Err(Error::bug("a task awaits answers and asks nothing").into());
    };
    let mut inquiry: Inquiry = row::read_json(&text)?;
    if !inquiry.take(answers) {
        return Ok(());
    }
    let text = serde_json::to_string(&inquiry).map_err(Error::bug)?;
    connection
        .prepare_cached("UPDATE task SET inquiry = ?2, updated_at = ?3 WHERE seq = ?1")?
        .execute(params![before.seq, text, Moment(now)])?;
    if inquiry.is_answered() {
        let standing = before.standing.after(TaskEvent::Answered)?;
        before.change(connection, &mut ledger.tasks, before.to(standing, now))?;
    }
    Ok(())
}

fn require_free_key(connection: &Connection, task: &Placed) -> Outcome<()> {
    let key: Option<String> = connection
        .prepare_cached("SELECT unique_key FROM task WHERE seq = ?1")?
        .query_row([task.seq], |row| row.get(0))?;
    let Some(key) = key else {
        return Ok(());
    };
    let is_taken = connection
        .prepare_cached(
            "SELECT 1 FROM task INDEXED BY task_unique_key WHERE coalesce(user_id, x'') = coalesce(?1, x'') \
             AND unique_key = ?2 AND stage = 1",
        )?
        .exists(params![task.user_id.map(|id| Id(id.as_uuid())), key])?;
    if is_taken {
        let message = "another task with the same unique key is pending or in progress";
        return Err(Error::new(ErrorCode::Conflict, message).into());
    }
    Ok(())
}

/// Makes a pending job due now.
pub(super) async fn hasten(store: &SqliteStore, own: Own, now: Timestamp) -> Result<Option<Task>> {
    let work = move |connection: &Connection, ledger: &mut Ledger| {
        let Some(before) = own.find_placed(connection)? else {
            return Ok(None);
        };
        let standing = before.standing.after(TaskEvent::Hastened { now })?;
        if standing != before.standing {
            before.change(connection, &mut ledger.tasks, before.to(standing, now))?;
        }
        Ok(Some(reread(connection, own.id)?))
    };
    let task = store.writer.revise(work).await?;
    task.map(RawTask::into_task).transpose()
}

/// Removes a task that nobody needs.
pub(super) async fn delete(store: &SqliteStore, own: Own) -> Result<Option<Task>> {
    let work = move |connection: &Connection, ledger: &mut Ledger| {
        let Some(before) = own.find_placed(connection)? else {
            return Ok(None);
        };
        if before.standing.lease.is_some() {
            let message = "a worker is at the task; cancel it first";
            return Err(Error::new(ErrorCode::Conflict, message).into());
        }
        if has_unfinished_dependents(connection, own.id)? {
            let message = "a task that hasn't ended depends on this one; cancel that one first";
            return Err(Error::new(ErrorCode::Conflict, message).into());
        }
        let task = reread(connection, own.id)?;
        before.remove(connection, &mut ledger.tasks)?;
        Ok(Some(task))
    };
    let task = store.writer.revise(work).await?;
    task.map(RawTask::into_task).transpose()
}

/// Tells whether a task that hasn't ended depends on this one: it may be told of its end, or ask for its result.
fn has_unfinished_dependents(connection: &Connection, id: TaskId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task_dependency d INDEXED BY task_dependency_by_other \
             CROSS JOIN task t ON t.id = d.task_id WHERE d.depends_on = ?1 AND t.status IN (0, 1)",
        )?
        .exists([Id(id.as_uuid())])
}
