//! The one way in which it changes where tasks stand.

use model::{Error, Failure, Priority, Result, Standing, TaskStatus, Timestamp};
use mongodb::{
    bson::{Bson, DateTime, Document, Uuid, doc, serialize_to_document},
    options::ReturnDocument,
};

use super::{
    changes::ConditionalChange,
    place::Place,
    row::{RESULT, TaskRow, priority_number, status_number},
    turn::Reserved,
};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{id, moment},
    execution::ExecutionRow,
    failure::Fault,
};

/// What becomes of a document, field by field.
#[derive(Clone, Debug, Default)]
pub(super) struct Patch {
    set: Document,
    unset: Document,
    push: Document,
}

impl Patch {
    /// Sets a field, or removes it.
    pub(super) fn put(&mut self, name: &str, value: Option<impl Into<Bson>>) {
        match value {
            Some(value) => {
                self.unset.remove(name);
                self.set.insert(name, value);
            }
            None => {
                self.set.remove(name);
                self.unset.insert(name, "");
            }
        }
    }

    /// Sets a mark, or removes it.
    pub(super) fn mark(&mut self, name: &str, is_set: bool) {
        self.put(name, is_set.then_some(true));
    }

    fn into_update(self) -> Document {
        let mut update = doc! { "$inc": { "v": 1_i64 } };
        for (operator, fields) in [("$set", self.set), ("$unset", self.unset), ("$push", self.push)] {
            if !fields.is_empty() {
                update.insert(operator, fields);
            }
        }
        update
    }
}

/// What becomes of a task: begins as [`Change::to`].
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) standing: Standing,
    pub(super) priority: Priority,
    /// Another error; the inner `None` removes it.
    pub(super) error: Option<Option<Failure>>,
    /// What it asks, as text.
    pub(super) inquiry: Option<String>,
    /// What came of it, as text.
    pub(super) result: Option<String>,
    /// A call that ended with this, for the history.
    pub(super) call: Option<Box<ExecutionRow>>,
    /// The tasks that it waits for now.
    pub(super) waits_for: Option<Vec<Uuid>>,
    /// Other fields.
    pub(super) patch: Patch,
    pub(super) now: Timestamp,
}

impl Change {
    /// A change to this standing, and to nothing else yet.
    pub(super) fn to(row: &TaskRow, standing: Standing, now: Timestamp) -> Result<Self> {
        Ok(Self {
            standing,
            priority: row.urgency()?,
            error: None,
            inquiry: None,
            result: None,
            call: None,
            waits_for: None,
            patch: Patch::default(),
            now,
        })
    }
}

/// A change about to be written.
struct Prepared {
    filter: Document,
    update: Document,
    reserved: Option<Reserved>,
}

impl MongoStore {
    /// Writes what becomes of a task, if it is still as it was read, together with what becomes of others at this moment.
    /// Tells whether it was.
    pub(super) async fn change_task(&self, row: &TaskRow, change: Change) -> Result<bool> {
        let prepared = self.prepare(row, change).await?;
        let change = ConditionalChange::of(row.id, prepared.filter, prepared.update)?;
        let is_written = self.changes.have_done(change).await?;
        self.follow_up(row, prepared.reserved, is_written).await;
        Ok(is_written)
    }

    /// As [`Self::change_task`]; gives the task as it was written, and `None` when it wasn't.
    ///
    /// # Errors
    /// `Conflict` when its unique key is taken.
    pub(super) async fn change_and_read(&self, row: &TaskRow, change: Change) -> Result<Option<TaskRow>> {
        let prepared = self.prepare(row, change).await?;
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let update = tasks
            .find_one_and_update(prepared.filter, prepared.update)
            .return_document(ReturnDocument::After);
        let written = match self.connection.run(update).await {
            Ok(written) => written,
            Err(Fault::Duplicate(_)) => {
                self.follow_up(row, prepared.reserved, false).await;
                let message = "another task with the same unique key is pending or in progress";
                return Err(Error::new(model::ErrorCode::Conflict, message));
            }
            Err(fault) => return Err(fault.into()),
        };
        self.follow_up(row, prepared.reserved, written.is_some()).await;
        Ok(written)
    }

    async fn follow_up(&self, row: &TaskRow, reserved: Option<Reserved>, is_written: bool) {
        match reserved {
            Some(reserved) if !is_written => self.return_turns(&reserved, reserved.count).await,
            Some(_) => {}
            None if is_written && row.queue == Some(Place::Ready.number()) => self.leave_line(row).await,
            None => {}
        }
    }

    async fn prepare(&self, row: &TaskRow, mut change: Change) -> Result<Prepared> {
        let (before, after) = (row.place()?, Place::of(&change.standing, change.now));
        let old_priority = row.urgency()?;
        let moves = before != after || change.priority != old_priority;
        let mut patch = std::mem::take(&mut change.patch);
        let mut reserved = None;
        if moves {
            if after == Some(Place::Ready) {
                self.promote_due(change.priority, change.now, Some(row.id))
                    .await?;
                reserved = Some(self.reserve(change.priority, row.user_id, 1).await?);
            }
            patch.put("q", after.map(Place::number));
            patch.put("n", reserved.as_ref().map(|reserved| reserved.first));
            patch.put("ra", ready_at(row, (before, after), &change));
        }
        if after == Some(Place::Scheduled) {
            self.tasks.note_due(change.standing.due_at);
        }
        put_standing(&mut patch, &change);
        put_end(&mut patch, row, &change, old_priority)?;
        Ok(Prepared {
            filter: doc! { "_id": row.id, "v": row.version },
            update: patch.into_update(),
            reserved,
        })
    }
}

/// When a task that moves became ready last.
fn ready_at(row: &TaskRow, places: (Option<Place>, Option<Place>), change: &Change) -> Option<DateTime> {
    match places {
        (Some(Place::Scheduled), Some(Place::Ready)) => Some(moment(change.standing.due_at)),
        (Some(Place::Ready), Some(Place::Ready)) | (_, Some(Place::Held) | None) => row.ready_at,
        (_, Some(Place::Ready)) => Some(moment(change.now)),
        (_, Some(Place::Scheduled | Place::Blocked | Place::Asking)) => None,
    }
}

fn put_standing(patch: &mut Patch, change: &Change) {
    let standing = &change.standing;
    patch.put("p", Some(priority_number(change.priority)));
    patch.put("s", Some(status_number(standing.status)));
    patch.put("due", Some(moment(standing.due_at)));
    patch.put("a", Some(i64::from(standing.attempt)));
    patch.put("rc", Some(i32::from(standing.retry_count)));
    patch.put("mr", Some(i32::from(standing.max_retries)));
    patch.put("sc", Some(i32::from(standing.stall_count)));
    patch.put("ms", Some(i32::from(standing.max_stalls)));
    patch.put("um", Some(i64::from(standing.unmet)));
    patch.put("w", standing.lease.map(|lease| id(lease.worker.as_uuid())));
    patch.put("lu", standing.lease.map(|lease| moment(lease.until)));
}

/// Puts what belongs to the beginning or the end of something, and when that was.
fn put_end(patch: &mut Patch, row: &TaskRow, change: &Change, old_priority: Priority) -> Result<()> {
    let (before, standing) = (row.standing()?, &change.standing);
    let is_same = before.status == standing.status && before.lease == standing.lease;
    let has_end = change.error.is_some()
        || change.inquiry.is_some()
        || change.call.is_some()
        || change.result.is_some();
    let is_final = standing.status.is_final();
    if let Some(waits_for) = &change.waits_for {
        patch.put("wt", Some(waits_for.clone()).filter(|others| !others.is_empty()));
    }
    // That its time came is no change of a task.
    if before != *standing || change.priority != old_priority || has_end {
        patch.put("ua", Some(moment(change.now)));
    }
    if is_same && !has_end {
        return Ok(());
    }
    patch.put("pg", None::<String>);
    if standing.status == TaskStatus::InProgress {
        patch.put("sa", Some(moment(change.now)));
    }
    patch.put("fa", is_final.then_some(moment(change.now)));
    patch.put("ul", row.unique_key.clone().filter(|_| !is_final));
    patch.mark("tell", is_final && row.has_dependents);
    if is_final {
        patch.put("iq", None::<String>);
        patch.put("wt", None::<String>);
        patch.mark("chk", false);
    } else if let Some(inquiry) = &change.inquiry {
        patch.put("iq", Some(inquiry.clone()));
    }
    if let Some(error) = &change.error {
        patch.put("ec", error.as_ref().map(|error| error.code.clone()));
        patch.put("em", error.as_ref().map(|error| error.message.clone()));
    }
    if let Some(result) = &change.result {
        patch.put("r", Some(result.clone()));
    }
    if let Some(call) = &change.call {
        let mut call = serialize_to_document(call).map_err(Error::bug)?;
        if change.result.is_some() {
            // A document has room for one result that is as long as may be, and not for two.
            call.remove(RESULT);
        }
        patch.push.insert("out", call);
    }
    Ok(())
}
