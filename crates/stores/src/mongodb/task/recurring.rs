//! Recurring tasks.

use async_trait::async_trait;
use model::{
    Error, ErrorCode, NewTask, Recurrence, RecurrenceChange, Result, ScheduleStore, Task, TaskId, TaskKind,
    TaskStatus, Timestamp, UserId,
};
use mongodb::bson::{Bson, Document, doc, serialize_to_bson};
use serde::Deserialize;

use super::{
    change::Change,
    depend::Own,
    row::{RecurrenceRow, TaskRow, TickRow, status_number},
};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{id, moment, timestamp},
    contention::Contention,
};

#[derive(Deserialize)]
struct NextRow {
    #[serde(rename = "rn")]
    next: mongodb::bson::DateTime,
}

#[async_trait]
impl ScheduleStore for MongoStore {
    async fn due_schedules(&self, now: Timestamp, limit: u16) -> Result<(Vec<Task>, Option<Timestamp>)> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let order = doc! { "rn": 1, "_id": 1 };
        let due = tasks
            .find(doc! { "rn": { "$lte": moment(now) }, "s": { "$gte": 0 } })
            .sort(order.clone())
            .limit(i64::from(limit));
        let due: Vec<TaskRow> = if limit == 0 {
            Vec::new()
        } else {
            self.connection.read_all(due).await?
        };
        let given = u64::try_from(due.len()).unwrap_or(u64::MAX);
        let ticks = self.connection.collection::<NextRow>(TASKS);
        let next = ticks
            .find_one(doc! { "rn": { "$exists": true }, "s": { "$gte": 0 } })
            .sort(order)
            .skip(given)
            .projection(doc! { "rn": 1 });
        let next = self.connection.run(next).await?.map(|row| timestamp(row.next));
        let due: Result<Vec<Task>> = due.into_iter().map(TaskRow::into_task).collect();
        Ok((due?, next))
    }

    async fn fire_schedule(
        &self,
        id: TaskId,
        tick: Timestamp,
        next: Option<Timestamp>,
        job: Option<NewTask>,
    ) -> Result<bool> {
        let job = job.as_ref().map(TaskRow::of).transpose()?;
        let tick = job.map_or(Tick::Alone(tick), |job| {
            let at = moment(tick);
            Tick::WithJob(Box::new(TickRow { at, job }))
        });
        self.fire(id, tick, next).await
    }

    async fn change_recurrence(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        seen: &Recurrence,
        change: RecurrenceChange,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_placed(Own { id, owner }).await? else {
                return Ok(None);
            };
            let recurrence = changed(&row, seen, &change)?;
            let mut write = Change::to(&row, row.standing()?, now)?;
            write.patch.put("rn", recurrence.active_tick());
            let recurrence = serialize_to_bson(&recurrence).map_err(Error::bug)?;
            write.patch.put("rec", Some(recurrence));
            write.patch.put("ua", Some(moment(now)));
            if let Some(task) = self.change_and_read(&row, write).await? {
                return Ok(Some(task.into_task()?));
            }
            contention.again().await?;
        }
    }
}

/// A tick of a recurring task.
enum Tick {
    Alone(Timestamp),
    WithJob(Box<TickRow>),
}

impl MongoStore {
    async fn fire(&self, task: TaskId, tick: Tick, next: Option<Timestamp>) -> Result<bool> {
        let at = match &tick {
            Tick::Alone(at) => moment(*at),
            Tick::WithJob(tick) => tick.at,
        };
        let next = next.map(moment);
        let mut set = doc! { "rec.nx": next.map_or(Bson::Null, Bson::from) };
        let mut update = Document::new();
        match next {
            Some(next) => drop(set.insert("rn", next)),
            None => drop(update.insert("$unset", doc! { "rn": "" })),
        }
        update.insert("$set", set);
        update.insert("$inc", doc! { "v": 1_i64 });
        if let Tick::WithJob(tick) = &tick {
            let rider = serialize_to_bson(tick).map_err(Error::bug)?;
            update.insert("$push", doc! { "fj": rider });
        }
        // A cancelled or paused task has no such field, and a deleted one is none.
        let pending = status_number(TaskStatus::Pending);
        let filter = doc! { "_id": id(task.as_uuid()), "s": pending, "rn": at };
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        if self
            .connection
            .run(tasks.update_one(filter, update))
            .await?
            .matched_count
            == 0
        {
            return Ok(false);
        }
        if let Tick::WithJob(tick) = &tick
            && let Err(error) = self.relay_tick(task, tick).await
        {
            // It rides in the document: somebody brings it where it belongs.
            tracing::warn!(%error, task = %task, "the job of a tick comes later");
        }
        Ok(true)
    }
}

/// What becomes of a recurrence that is as it was seen.
fn changed(row: &TaskRow, seen: &Recurrence, change: &RecurrenceChange) -> Result<RecurrenceRow> {
    let conflict = |message: &'static str| Err(Error::new(ErrorCode::Conflict, message));
    let standing = row.standing()?;
    let Some(recurrence) = row
        .recurrence
        .clone()
        .filter(|_| standing.kind == TaskKind::Recurring)
    else {
        return conflict("the task has no schedule");
    };
    if standing.status != TaskStatus::Pending {
        return conflict("the task was cancelled; make a new one");
    }
    let is_as_seen = recurrence.cron == seen.cron
        && recurrence.timezone == seen.timezone
        && recurrence.is_paused == seen.is_paused
        && recurrence.next_at == seen.next_at.map(moment);
    if !is_as_seen {
        return conflict("the schedule was changed meanwhile, or has just fired; read it again");
    }
    Ok(RecurrenceRow {
        cron: change.cron.clone().unwrap_or(recurrence.cron),
        timezone: change.timezone.clone().unwrap_or(recurrence.timezone),
        catch_up: change
            .catch_up
            .map_or(recurrence.catch_up, |catch_up| catch_up.as_str().to_owned()),
        is_paused: change.is_paused.unwrap_or(recurrence.is_paused),
        next_at: change.next_at.map(moment),
        last_at: recurrence.last_at,
    })
}
