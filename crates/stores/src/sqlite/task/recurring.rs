//! Recurring tasks.

use async_trait::async_trait;
use model::{
    Error, ErrorCode, NewTask, Recurrence, RecurrenceChange, Result, ScheduleStore, Task, TaskId, TaskKind,
    TaskStatus, Timestamp, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    row::{self, RawTask},
    steer::{Own, reread},
    submit::{Added, NewRow},
};
use crate::sqlite::{
    SqliteStore,
    column::{Id, Moment, from_count},
    failure::{Fault, Outcome},
    ledger::Ledger,
};

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn due_schedules(&self, now: Timestamp, limit: u16) -> Result<(Vec<Task>, Option<Timestamp>)> {
        self.readers
            .read(move |connection| list_due(connection, now, limit))
            .await
    }

    async fn fire_schedule(
        &self,
        id: TaskId,
        tick: Timestamp,
        next: Option<Timestamp>,
        job: Option<NewTask>,
    ) -> Result<bool> {
        let job = job.as_ref().map(NewRow::of).transpose()?;
        let tick = Tick { id, at: tick, next };
        self.writer
            .revise(move |connection, ledger| tick.fire(connection, ledger, job))
            .await
    }

    async fn change_recurrence(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        seen: &Recurrence,
        change: RecurrenceChange,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        let (own, seen) = (Own { id, owner }, seen.clone());
        let work = move |connection: &Connection, _: &mut Ledger| {
            change_recurrence(connection, own, &seen, &change, now)
        };
        let task = self.writer.revise(work).await?;
        task.map(RawTask::into_task).transpose()
    }
}

fn list_due(connection: &Connection, now: Timestamp, limit: u16) -> Outcome<(Vec<Task>, Option<Timestamp>)> {
    let ids: Vec<Id> = connection
        .prepare_cached(
            "SELECT task_id FROM recurrence INDEXED BY recurrence_by_next WHERE next_at <= ?1 \
             AND NOT is_paused ORDER BY next_at, task_id LIMIT ?2",
        )?
        .query_map(params![Moment(now), limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let given = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let next: Option<Moment> = connection
        .prepare_cached(
            "SELECT next_at FROM recurrence INDEXED BY recurrence_by_next WHERE next_at IS NOT NULL \
             AND NOT is_paused ORDER BY next_at, task_id LIMIT 1 OFFSET ?1",
        )?
        .query_row([from_count(given)], |row| row.get(0))
        .optional()?;
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        let task = row::find(connection, TaskId::from_uuid(id.0))?;
        tasks.extend(task.map(RawTask::into_task).transpose()?);
    }
    Ok((tasks, next.map(|moment| moment.0)))
}

/// A tick of a recurring task, with the one that follows.
struct Tick {
    id: TaskId,
    at: Timestamp,
    next: Option<Timestamp>,
}

impl Tick {
    fn fire(self, connection: &Connection, ledger: &mut Ledger, job: Option<NewRow>) -> Outcome<bool> {
        let id = Id(self.id.as_uuid());
        // A cancelled task has no next tick, a deleted one no row.
        let is_next = connection
            .prepare_cached("SELECT 1 FROM recurrence WHERE task_id = ?1 AND next_at = ?2 AND NOT is_paused")?
            .exists(params![id, Moment(self.at)])?;
        if !is_next {
            return Ok(false);
        }
        let added = job
            .map(|job| job.insert(connection, ledger))
            .transpose()
            .map_err(|fault| match fault {
                Fault::Refused(error) => Fault::Refused(error),
                // The step is isolated.
                Fault::Database(error) | Fault::Torn(error) => Fault::Database(error),
            })?;
        let has_job = matches!(added, Some(Added::New(_) | Added::Found(_, true)));
        connection
            .prepare_cached(
                "UPDATE recurrence SET next_at = ?2, last_at = coalesce(?3, last_at) WHERE task_id = ?1",
            )?
            .execute(params![
                id,
                self.next.map(Moment),
                has_job.then_some(Moment(self.at))
            ])?;
        Ok(true)
    }
}

fn change_recurrence(
    connection: &Connection,
    own: Own,
    seen: &Recurrence,
    change: &RecurrenceChange,
    now: Timestamp,
) -> Outcome<Option<RawTask>> {
    let Some(task) = own.find_placed(connection)? else {
        return Ok(None);
    };
    let conflict = |message: &'static str| Err(Error::new(ErrorCode::Conflict, message).into());
    if task.standing.kind != TaskKind::Recurring {
        return conflict("the task has no schedule");
    }
    if task.standing.status != TaskStatus::Pending {
        return conflict("the task was cancelled; make a new one");
    }
    let id = Id(own.id.as_uuid());
    let is_as_seen = connection
        .prepare_cached(
            "SELECT 1 FROM recurrence WHERE task_id = ?1 AND cron = ?2 AND timezone = ?3 AND is_paused = ?4 \
             AND next_at IS ?5",
        )?
        .exists(params![
            id,
            seen.cron,
            seen.timezone,
            seen.is_paused,
            seen.next_at.map(Moment)
        ])?;
    if !is_as_seen {
        return conflict("the schedule was changed meanwhile, or has just fired; read it again");
    }
    connection
        .prepare_cached(
            "UPDATE recurrence SET cron = coalesce(?2, cron), timezone = coalesce(?3, timezone), \
             catch_up = coalesce(?4, catch_up), is_paused = coalesce(?5, is_paused), next_at = ?6 \
             WHERE task_id = ?1",
        )?
        .execute(params![
            id,
            change.cron,
            change.timezone,
            change.catch_up.map(model::CatchUp::as_str),
            change.is_paused,
            change.next_at.map(Moment),
        ])?;
    connection
        .prepare_cached("UPDATE task SET updated_at = ?2 WHERE seq = ?1")?
        .execute(params![task.seq, Moment(now)])?;
    Ok(Some(reread(connection, own.id)?))
}
