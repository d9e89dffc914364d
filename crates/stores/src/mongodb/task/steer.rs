//! What people do to a task as it stands: they call it off, want it tried anew or now, answer it, or remove it.

use model::{Cancelled, Error, ErrorCode, Failure, Inquiry, Result, Task, TaskEvent, TaskKind, Timestamp};
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use super::{
    change::Change,
    depend::{Fate, Own, fate_of},
    place::Place,
    row::{TaskRow, read_json},
};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{id, uuid},
    contention::Contention,
};

/// All of a task but its longest texts.
pub(super) fn without_texts() -> Document {
    doc! { "pl": 0, "d": 0, "r": 0 }
}

impl MongoStore {
    /// Looks a task up as a whole.
    pub(super) async fn find_task_row(&self, own: Own) -> Result<Option<TaskRow>> {
        let mut filter = doc! { "_id": id(own.id.as_uuid()), "s": { "$gte": 0 } };
        // Another's task, however large, takes no more time than none.
        if let Some(owner) = own.owner {
            filter.insert("u", id(owner.as_uuid()));
        }
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        Ok(self.connection.run(tasks.find_one(filter)).await?)
    }

    /// Looks up where a task stands.
    pub(super) async fn find_placed(&self, own: Own) -> Result<Option<TaskRow>> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let filter = doc! { "_id": id(own.id.as_uuid()), "s": { "$gte": 0 } };
        let found = self
            .connection
            .run(tasks.find_one(filter).projection(without_texts()))
            .await?;
        Ok(found.filter(|row| row.belongs_to(own.owner)))
    }

    /// Calls a task off.
    pub(super) async fn cancel(&self, own: Own, now: Timestamp) -> Result<Option<Cancelled>> {
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_placed(own).await? else {
                return Ok(None);
            };
            let before = row.standing()?;
            let standing = before.after(TaskEvent::Cancelled)?;
            let mut change = Change::to(&row, standing, now)?;
            change.error = Some(Some(Failure {
                code: ErrorCode::Cancelled.as_str().to_owned(),
                message: "the task was called off".to_owned(),
            }));
            if standing.kind == TaskKind::Recurring {
                change.patch.put("rn", None::<String>);
                change.patch.put("rec.nx", Some(mongodb::bson::Bson::Null));
            }
            if let Some(task) = self.change_and_read(&row, change).await? {
                let task = task.into_task()?;
                let running = before.lease.map(|_| before.attempt);
                return Ok(Some(Cancelled { task, running }));
            }
            contention.again().await?;
        }
    }

    /// Makes a failed or cancelled task pending again.
    pub(super) async fn retry_anew(&self, own: Own, now: Timestamp) -> Result<Option<Task>> {
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_placed(own).await? else {
                return Ok(None);
            };
            let before = row.standing()?;
            // Refused for its own state before anything else.
            before.after(TaskEvent::Retried { now, unmet: 0 })?;
            self.require_free_key(&row).await?;
            let mut waits_for = Vec::new();
            let others = self.read_others(&row.depends_on).await?;
            for other in &row.depends_on {
                match fate_of(&others, *other) {
                    Fate::Open => waits_for.push(*other),
                    Fate::Completed | Fate::Gone => {}
                    Fate::Lost(_) => {
                        let other = uuid(*other);
                        let message = format!(
                            "the task {other}, on which this one depends, was not completed; retry that one first"
                        );
                        return Err(Error::new(ErrorCode::Conflict, message));
                    }
                }
            }
            self.mark_others(&others, waits_for.iter()).await?;
            let unmet = u32::try_from(waits_for.len()).unwrap_or(u32::MAX);
            let standing = before.after(TaskEvent::Retried { now, unmet })?;
            let mut change = Change::to(&row, standing, now)?;
            change.error = Some(None);
            // One of them may have ended since: so that is looked at once more.
            change.patch.mark("chk", !waits_for.is_empty());
            change.waits_for = Some(waits_for);
            if let Some(task) = self.change_and_read(&row, change).await? {
                return Ok(Some(task.into_task()?));
            }
            contention.again().await?;
        }
    }

    /// Refuses when another task has the unique key: told before the tasks that it depends on are looked at.
    async fn require_free_key(&self, row: &TaskRow) -> Result<()> {
        let Some(key) = &row.unique_key else {
            return Ok(());
        };
        let tasks = self.connection.collection::<Document>(TASKS);
        let find = tasks
            .find_one(doc! { "u": row.user_id, "ul": key })
            .projection(doc! { "_id": 1 });
        if self.connection.run(find).await?.is_none() {
            return Ok(());
        }
        let message = "another task with the same unique key is pending or in progress";
        Err(Error::new(ErrorCode::Conflict, message))
    }

    /// Makes a pending job due now.
    pub(super) async fn hasten(&self, own: Own, now: Timestamp) -> Result<Option<Task>> {
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_task_row(own).await? else {
                return Ok(None);
            };
            let before = row.standing()?;
            let standing = before.after(TaskEvent::Hastened { now })?;
            if standing == before {
                return Ok(Some(row.into_task()?));
            }
            let change = Change::to(&row, standing, now)?;
            if let Some(task) = self.change_and_read(&row, change).await? {
                return Ok(Some(task.into_task()?));
            }
            contention.again().await?;
        }
    }

    /// Keeps answers to what a task asks.
    pub(super) async fn answer(
        &self,
        own: Own,
        answers: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_task_row(own).await? else {
                return Ok(None);
            };
            let before = row.standing()?;
            if !before.awaits_input {
                return Ok(Some(row.into_task()?));
            }
            let Some(text) = &row.inquiry else {
                return Err(Error::bug("a task awaits answers and asks nothing"));
            };
            let mut inquiry: Inquiry = read_json(text)?;
            if !inquiry.take(answers) {
                return Ok(Some(row.into_task()?));
            }
            let text = serde_json::to_string(&inquiry).map_err(Error::bug)?;
            let standing = if inquiry.is_answered() {
                before.after(TaskEvent::Answered)?
            } else {
                before
            };
            let mut change = Change::to(&row, standing, now)?;
            change.patch.put("iq", Some(text));
            change.patch.put("ua", Some(crate::mongodb::column::moment(now)));
            if let Some(task) = self.change_and_read(&row, change).await? {
                return Ok(Some(task.into_task()?));
            }
            contention.again().await?;
        }
    }

    /// Removes a task that nobody needs.
    pub(super) async fn delete(&self, own: Own) -> Result<Option<Task>> {
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_task_row(own).await? else {
                return Ok(None);
            };
            if row.standing()?.lease.is_some() {
                let message = "a worker is at the task; cancel it first";
                return Err(Error::new(ErrorCode::Conflict, message));
            }
            if row.has_dependents && self.has_unfinished_dependents(row.id).await? {
                let message = "a task that hasn't ended depends on this one; cancel that one first";
                return Err(Error::new(ErrorCode::Conflict, message));
            }
            // What rides in it must not go with it.
            self.relay(&row).await?;
            let tasks = self.connection.collection::<TaskRow>(TASKS);
            let filter = doc! { "_id": row.id, "v": row.version, "out": { "$exists": false }, "fj": { "$exists": false } };
            if self.connection.run(tasks.delete_one(filter)).await?.deleted_count > 0 {
                if row.queue == Some(Place::Ready.number()) {
                    self.leave_line(&row).await;
                }
                return Ok(Some(row.into_task()?));
            }
            contention.again().await?;
        }
    }
}
