//! What tasks that depend on others are told, and when that is looked at.
//!
//! A task that others depend on is marked before they are written, so that its end says in the same write that they are
//! to be told. One that waits for others is written as unchecked: were one of them to end between the look at it and
//! the write, nobody would tell; so it is looked at once more, here or by the next settling.

use std::collections::HashMap;

use model::{Error, ErrorCode, Failure, Result, TaskEvent, TaskId, TaskStatus, Timestamp, UserId};
use mongodb::bson::{Uuid, doc};
use serde::Deserialize;

use super::{
    change::Change,
    row::{TaskRow, status_number},
};
use crate::mongodb::{MongoStore, collection::TASKS, column::uuid};

/// A task that another one depends on, as far as that matters.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct OtherRow {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(rename = "u")]
    pub(super) user_id: Option<Uuid>,
    #[serde(rename = "k")]
    kind: i32,
    #[serde(rename = "s")]
    pub(super) status: i32,
    #[serde(rename = "hd", default)]
    has_dependents: bool,
}

impl OtherRow {
    /// A task that is about to be written together with the one that depends on it.
    pub(super) fn of(row: &TaskRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind,
            status: status_number(TaskStatus::Pending),
            has_dependents: true,
        }
    }
}

/// Tasks that others depend on, by id; what isn't there is in none.
pub(super) type Others = HashMap<Uuid, OtherRow>;

/// What became of a task, for those that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    Open,
    /// It is completed.
    Completed,
    /// It won't be.
    Lost(TaskStatus),
    /// It was removed.
    Gone,
}

/// What became of one of these.
pub(super) fn fate_of(others: &Others, id: Uuid) -> Fate {
    const COMPLETED: i32 = status_number(TaskStatus::Completed);
    const FAILED: i32 = status_number(TaskStatus::Failed);
    const CANCELLED: i32 = status_number(TaskStatus::Cancelled);
    match others.get(&id).map(|other| other.status) {
        None => Fate::Gone,
        Some(COMPLETED) => Fate::Completed,
        Some(FAILED) => Fate::Lost(TaskStatus::Failed),
        Some(CANCELLED) => Fate::Lost(TaskStatus::Cancelled),
        Some(_) => Fate::Open,
    }
}

/// What a task was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Something that it had been waiting for.
    Something,
    /// That it is cancelled, since something is lost.
    Cancellation,
    /// Nothing: it waits no more, or was told already.
    Nothing,
    /// Nothing: it was changed meanwhile.
    Missed,
}

impl TaskRow {
    /// Writes down which of the tasks that this one depends on it waits for.
    ///
    /// # Errors
    /// `Invalid` on `dependsOn.N` when it can't depend on one.
    pub(super) fn wait_for(&mut self, others: &Others) -> Result<()> {
        let recurring = 2;
        for (index, id) in self.depends_on.iter().enumerate() {
            let refuse =
                |message: &str| Err(Error::invalid(format!("dependsOn.{index}"), message.to_owned()));
            let other = others.get(id).filter(|other| other.status >= 0);
            match other.filter(|other| other.user_id == self.user_id) {
                None => return refuse("must name a task of the same owner"),
                Some(other) if other.kind == recurring => return refuse("must not name a recurring task"),
                Some(_) => {}
            }
            match fate_of(others, *id) {
                Fate::Lost(_) | Fate::Gone => {
                    return refuse("must not name a task that has failed or was cancelled");
                }
                Fate::Completed => {}
                Fate::Open => self.waits_for.push(*id),
            }
        }
        self.unmet = i64::try_from(self.waits_for.len()).unwrap_or(i64::MAX);
        self.is_unchecked = !self.waits_for.is_empty();
        Ok(())
    }
}

impl MongoStore {
    /// Looks tasks up that others depend on, whosever they are.
    pub(super) async fn read_others(&self, ids: &[Uuid]) -> Result<Others> {
        if ids.is_empty() {
            return Ok(Others::new());
        }
        let tasks = self.connection.collection::<OtherRow>(TASKS);
        let find = tasks
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "u": 1, "k": 1, "s": 1, "hd": 1 });
        let rows: Vec<OtherRow> = self.connection.read_all(find).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// Marks tasks as ones that others may depend on, from now on.
    pub(super) async fn mark_others(
        &self,
        others: &Others,
        ids: impl Iterator<Item = &Uuid> + Send,
    ) -> Result<()> {
        let is_unmarked = |id: &&Uuid| others.get(id).is_some_and(|other| !other.has_dependents);
        let unmarked: Vec<Uuid> = ids.filter(is_unmarked).copied().collect();
        if unmarked.is_empty() {
            return Ok(());
        }
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let filter = doc! { "_id": { "$in": unmarked }, "hd": { "$ne": true } };
        let update = doc! { "$set": { "hd": true }, "$inc": { "v": 1_i64 } };
        self.connection.run(tasks.update_many(filter, update)).await?;
        Ok(())
    }

    /// Looks once more at what new tasks wait for, now that they are written.
    pub(super) async fn check_new(&self, rows: &[&TaskRow]) -> Result<()> {
        let awaited: Vec<Uuid> = rows
            .iter()
            .flat_map(|row| row.waits_for.iter().copied())
            .collect();
        let others = self.read_others(&awaited).await?;
        let is_fine = |row: &&&TaskRow| {
            let mut fates = row.waits_for.iter().map(|id| fate_of(&others, *id));
            row.is_unchecked && fates.all(|fate| fate == Fate::Open)
        };
        let fine: Vec<Uuid> = rows.iter().filter(is_fine).map(|row| row.id).collect();
        if fine.is_empty() {
            return Ok(());
        }
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        // One that was changed since may have been tried anew, and wait for others.
        let filter = doc! { "_id": { "$in": fine }, "v": 0_i64 };
        self.connection
            .run(tasks.update_many(filter, doc! { "$unset": { "chk": "" } }))
            .await?;
        Ok(())
    }

    /// Looks at what an unchecked task waits for, and tells it what has happened.
    pub(super) async fn check_again(&self, row: &TaskRow, now: Timestamp) -> Result<Told> {
        let others = self.read_others(&row.waits_for).await?;
        let fates = row.waits_for.iter().map(|id| (*id, fate_of(&others, *id)));
        let news: Vec<(Uuid, Fate)> = fates.filter(|(_, fate)| *fate != Fate::Open).collect();
        if news.is_empty() {
            let tasks = self.connection.collection::<TaskRow>(TASKS);
            let filter = doc! { "_id": row.id, "v": row.version };
            let update = tasks.update_one(filter, doc! { "$unset": { "chk": "" } });
            let is_done = self.connection.run(update).await?.matched_count > 0;
            return Ok(if is_done { Told::Nothing } else { Told::Missed });
        }
        self.tell_all(row, &news, now).await
    }

    /// Tells a task what became of others that it waits for.
    pub(super) async fn tell_all(
        &self,
        row: &TaskRow,
        news: &[(Uuid, Fate)],
        now: Timestamp,
    ) -> Result<Told> {
        let mut standing = row.standing()?;
        let mut waits_for = row.waits_for.clone();
        let mut told = Told::Nothing;
        let mut error = None;
        for (other, fate) in news {
            let event = match fate {
                Fate::Completed => TaskEvent::DependencyCompleted,
                Fate::Open | Fate::Lost(_) | Fate::Gone => TaskEvent::DependencyLost,
            };
            waits_for.retain(|id| id != other);
            // One that waits no more doesn't care.
            let Ok(after) = standing.after(event) else {
                continue;
            };
            standing = after;
            told = Told::Something;
            if standing.status.is_final() {
                told = Told::Cancellation;
                error = Some(Some(lost(TaskId::from_uuid(uuid(*other)), *fate)));
                break;
            }
        }
        let mut change = Change::to(row, standing, now)?;
        change.error = error;
        change.waits_for = Some(waits_for);
        change.patch.mark("chk", false);
        if self.change_task(row, change).await? {
            Ok(told)
        } else {
            Ok(Told::Missed)
        }
    }

    /// Tells whether a task that hasn't ended depends on this one: it may be told of its end, or ask for its result.
    pub(super) async fn has_unfinished_dependents(&self, id: Uuid) -> Result<bool> {
        let open = [TaskStatus::Pending, TaskStatus::InProgress].map(status_number);
        let tasks = self.connection.collection::<mongodb::bson::Document>(TASKS);
        let find = tasks
            .find_one(doc! { "dp": id, "s": { "$in": open.to_vec() } })
            .projection(doc! { "_id": 1 });
        Ok(self.connection.run(find).await?.is_some())
    }
}

fn lost(other: TaskId, fate: Fate) -> Failure {
    let fate = match fate {
        Fate::Lost(TaskStatus::Cancelled) => "was cancelled",
        Fate::Gone => "was deleted",
        Fate::Open | Fate::Completed | Fate::Lost(_) => "failed",
    };
    Failure {
        code: ErrorCode::DependencyFailed.as_str().to_owned(),
        message: format!("the task {other}, on which this one depends, {fate}"),
    }
}

/// A task as one of its owner's; with no owner, anybody's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) id: TaskId,
    pub(super) owner: Option<UserId>,
}
