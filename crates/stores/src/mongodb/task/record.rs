//! Tasks as they are carried from store to store, and what follows from all of them together.

use std::collections::HashMap;

use model::{Error, Priority, Result, TaskId, TaskStatus, UserId, WorkerId};
use mongodb::bson::{Document, Uuid, doc};
use serde::Deserialize;

use super::{
    place::Place,
    row::{
        RecurrenceRow, TaskRow, kind_number, priority_number, read_kind, read_priority, read_status,
        status_number,
    },
    turn::{TURNS, TurnRow, line_id, present_id},
};
use crate::{
    mongodb::{
        MongoStore,
        collection::TASKS,
        column::{id, moment, timestamp, uuid},
    },
    transfer::{DependencyRecord, QueuePlace, RecurrenceRecord, TaskRecord},
};

/// How many documents are read, or written, at once.
const AT_ONCE: u16 = 1_000;

/// Of what a task depends on, the ids of those that fit.
fn ids_of(task: &TaskRecord, fits: impl Fn(&DependencyRecord) -> bool) -> Vec<Uuid> {
    let others = task.dependencies.iter().filter(|other| fits(other));
    others.map(|other| id(other.id.as_uuid())).collect()
}

impl TaskRow {
    /// The document of a record. What it waits for is looked at once more when the queue is settled next.
    pub(in crate::mongodb) fn of_record(task: &TaskRecord) -> Self {
        let is_final = task.status.is_final();
        let waits_for = ids_of(task, |other| !other.is_told && !is_final);
        let recurrence = task.recurrence.as_ref().map(RecurrenceRow::of_record);
        let next_tick = recurrence.as_ref().and_then(RecurrenceRow::active_tick);
        let (worker, lease_until) = task.lease.unzip();
        let (error_code, error_message) = task.error.clone().unzip();
        Self {
            id: id(task.id.as_uuid()),
            version: 0,
            user_id: task.user_id.map(|owner| id(owner.as_uuid())),
            kind: kind_number(task.kind),
            status: status_number(task.status),
            priority: priority_number(task.priority),
            queue: task.place.map(QueuePlace::number),
            turn: task.place.and_then(QueuePlace::turn),
            due_at: moment(task.due_at),
            ready_at: task.ready_at.map(moment),
            attempt: i64::from(task.attempt),
            retry_count: i32::from(task.retry_count),
            max_retries: i32::from(task.max_retries),
            stall_count: i32::from(task.stall_count),
            max_stalls: i32::from(task.max_stalls),
            unmet: i64::from(task.unmet),
            worker: worker.map(|worker| id(worker.as_uuid())),
            lease_until: lease_until.map(moment),
            started_at: task.started_at.map(moment),
            finished_at: task.finished_at.map(moment),
            created_at: moment(task.created_at),
            updated_at: moment(task.updated_at),
            scheduled_at: task.scheduled_at.map(moment),
            timeout_ms: task.timeout_ms,
            schedule_id: task.schedule_id.map(|schedule| id(schedule.as_uuid())),
            unique_lock: task.unique_key.clone().filter(|_| !is_final),
            unique_key: task.unique_key.clone(),
            title: task.title.clone(),
            description: task.description.clone(),
            tags: task.tags.clone(),
            plugin: task.plugin.clone(),
            action: task.action.clone(),
            payload: task.payload.clone(),
            depends_on: ids_of(task, |_| true),
            is_unchecked: !waits_for.is_empty(),
            waits_for,
            has_dependents: false,
            is_to_tell: false,
            result: task.result.clone(),
            error_code,
            error_message,
            progress: task.progress.clone(),
            inquiry: task.inquiry.clone(),
            next_tick: next_tick.filter(|_| !is_final),
            recurrence,
            calls: Vec::new(),
            ticks: Vec::new(),
            batch: None,
            batch_queue: None,
        }
    }

    /// Makes a record of a task.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(in crate::mongodb) fn into_record(self) -> Result<TaskRecord> {
        let small = |number: i32| u16::try_from(number).map_err(Error::bug);
        let status = read_status(self.status)?;
        let worker = self.worker.map(|worker| WorkerId::from_uuid(uuid(worker)));
        let place = self.queue.map(|number| {
            let place = QueuePlace::of(i64::from(number), self.turn.unwrap_or(0));
            place.ok_or_else(|| Error::bug(format!("{number} is no place in the queue")))
        });
        let dependencies = self.depends_on.iter().map(|other| DependencyRecord {
            id: TaskId::from_uuid(uuid(*other)),
            is_told: status.is_final() || !self.waits_for.contains(other),
        });
        let message = self.error_message;
        Ok(TaskRecord {
            id: TaskId::from_uuid(uuid(self.id)),
            user_id: self.user_id.map(|owner| UserId::from_uuid(uuid(owner))),
            kind: read_kind(self.kind)?,
            status,
            priority: read_priority(self.priority)?,
            place: place.transpose()?,
            due_at: timestamp(self.due_at),
            ready_at: self.ready_at.map(timestamp),
            attempt: u32::try_from(self.attempt).map_err(Error::bug)?,
            retry_count: small(self.retry_count)?,
            max_retries: small(self.max_retries)?,
            stall_count: small(self.stall_count)?,
            max_stalls: small(self.max_stalls)?,
            unmet: u32::try_from(self.unmet).map_err(Error::bug)?,
            lease: worker.zip(self.lease_until.map(timestamp)),
            started_at: self.started_at.map(timestamp),
            finished_at: self.finished_at.map(timestamp),
            created_at: timestamp(self.created_at),
            updated_at: timestamp(self.updated_at),
            scheduled_at: self.scheduled_at.map(timestamp),
            timeout_ms: self.timeout_ms,
            schedule_id: self.schedule_id.map(|schedule| TaskId::from_uuid(uuid(schedule))),
            unique_key: self.unique_key,
            title: self.title,
            description: self.description,
            tags: self.tags,
            plugin: self.plugin,
            action: self.action,
            payload: self.payload,
            dependencies: dependencies.collect(),
            recurrence: self.recurrence.map(RecurrenceRow::into_record),
            result: self.result.filter(|_| status == TaskStatus::Completed),
            error: self.error_code.map(|code| (code, message.unwrap_or_default())),
            progress: self.progress,
            inquiry: self.inquiry,
        })
    }
}

impl RecurrenceRow {
    fn of_record(record: &RecurrenceRecord) -> Self {
        Self {
            cron: record.cron.clone(),
            timezone: record.timezone.clone(),
            catch_up: record.catch_up.clone(),
            is_paused: record.is_paused,
            next_at: record.next_at.map(moment),
            last_at: record.last_at.map(moment),
        }
    }

    fn into_record(self) -> RecurrenceRecord {
        RecurrenceRecord {
            cron: self.cron,
            timezone: self.timezone,
            catch_up: self.catch_up,
            is_paused: self.is_paused,
            next_at: self.next_at.map(timestamp),
            last_at: self.last_at.map(timestamp),
        }
    }
}

/// What a task depends on.
#[derive(Deserialize)]
struct AwaitingRow {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(rename = "dp")]
    depends_on: Vec<Uuid>,
}

/// The first and the last turn of the ready jobs of one owner and priority.
#[derive(Deserialize)]
struct LineRow {
    #[serde(rename = "p")]
    priority: i32,
    #[serde(rename = "u")]
    owner: Option<Uuid>,
    first: i64,
    last: i64,
}

impl MongoStore {
    /// Brings all that rides in tasks where it belongs, and finishes batches, or takes back those that were left.
    pub(in crate::mongodb) async fn settle_tasks(&self) -> Result<()> {
        self.finish_batches(AT_ONCE).await?;
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        loop {
            let riding = doc! { "$or": [{ "out": { "$exists": true } }, { "fj": { "$exists": true } }] };
            let find = tasks
                .find(riding)
                .limit(100)
                .projection(doc! { "pl": 0, "d": 0, "r": 0 });
            let rows: Vec<TaskRow> = self.connection.read_all(find).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.relay(&row).await?;
            }
        }
    }

    /// Marks the tasks that others depend on.
    pub(in crate::mongodb) async fn mark_awaited_tasks(&self) -> Result<()> {
        let mut after = None;
        loop {
            let mut filter = doc! { "dp": { "$exists": true } };
            if let Some(after) = after {
                filter.insert("_id", doc! { "$gt": after });
            }
            let tasks = self.connection.collection::<AwaitingRow>(TASKS);
            let find = tasks
                .find(filter)
                .sort(doc! { "_id": 1 })
                .limit(i64::from(AT_ONCE))
                .projection(doc! { "dp": 1 });
            let rows: Vec<AwaitingRow> = self.connection.read_all(find).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = Some(last.id);
            let awaited: Vec<Uuid> = rows
                .iter()
                .flat_map(|row| row.depends_on.iter().copied())
                .collect();
            let tasks = self.connection.collection::<Document>(TASKS);
            let marking = tasks.update_many(
                doc! { "_id": { "$in": awaited } },
                doc! { "$set": { "hd": true } },
            );
            self.connection.run(marking).await?;
        }
    }

    /// Keeps the plugins of all tasks among those that ever had one.
    pub(in crate::mongodb) async fn keep_all_lanes(&self) -> Result<()> {
        let tasks = self.connection.collection::<Document>(TASKS);
        let plugins = self.connection.run(tasks.distinct("l", doc! {})).await?;
        for plugin in plugins.iter().filter_map(|plugin| plugin.as_str()) {
            self.keep_lane(plugin).await?;
        }
        Ok(())
    }

    /// Derives from the ready jobs how far turns have come, and which each owner got last.
    pub(in crate::mongodb) async fn derive_turns(&self) -> Result<()> {
        let tasks = self.connection.collection::<Document>(TASKS);
        let lines = tasks
            .aggregate([
                doc! { "$match": { "q": Place::Ready.number() } },
                doc! { "$group": {
                    "_id": { "p": "$p", "u": "$u" }, "first": { "$min": "$n" }, "last": { "$max": "$n" },
                } },
                doc! { "$project": { "_id": 0, "p": "$_id.p", "u": "$_id.u", "first": 1, "last": 1 } },
            ])
            .with_type::<LineRow>();
        let lines = self.connection.read_all(lines).await?;
        let turns = self.connection.collection::<TurnRow>(TURNS);
        self.connection.run(turns.delete_many(doc! {})).await?;
        let mut present: HashMap<i32, i64> = HashMap::new();
        let mut rows = Vec::with_capacity(lines.len());
        for line in &lines {
            let first = present.entry(line.priority).or_insert(line.first);
            *first = line.first.min(*first);
            let line_id = line_id(read_priority(line.priority)?, line.owner);
            rows.push(TurnRow::new(line_id, line.priority, line.last));
        }
        for rows in rows.chunks(usize::from(AT_ONCE)) {
            self.connection.run(turns.insert_many(rows)).await?;
        }
        for priority in Priority::ALL.map(priority_number) {
            let turn = present.get(&priority).copied().unwrap_or(0);
            let putting = tasks
                .update_one(
                    doc! { "_id": present_id(priority) },
                    doc! { "$set": { "n": turn } },
                )
                .upsert(true);
            self.connection.run(putting).await?;
        }
        Ok(())
    }
}
