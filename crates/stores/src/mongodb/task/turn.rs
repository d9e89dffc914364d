//! Turns: how owners alternate, and what of that a process remembers.
//!
//! A ready job has a turn among those of its priority; the least goes first. An owner's turns are handed out by one
//! document for each owner and priority, so that processes agree; a turn that was handed out and not used is no harm.
//! How far the turns have come is written with each claim, and believed for a moment once it was read.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use model::{Hold, Priority, Result, Timestamp};
use mongodb::{
    bson::{Document, Uuid, doc},
    options::{ReturnDocument, WriteConcern},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    place::Place,
    row::{TaskRow, priority_number},
};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{id, timestamp},
    contention::Contention,
    failure::Fault,
};

/// The collection of the turns that were handed out.
pub(super) const TURNS: &str = "task_turns";

/// The collection of the plugins that ever had a task.
pub(super) const LANES: &str = "task_lanes";

/// How many tasks that were claimed are remembered.
const MOST_HELD: usize = 4096;

/// How long what was read of the queue is believed. Other processes claim and schedule too: that much later, at most,
/// it shows in the turns of who comes new.
const BELIEVED_FOR: Duration = Duration::from_millis(100);

/// What a process remembers of the queue.
#[derive(Debug, Default)]
pub(in crate::mongodb) struct Tasks {
    lines: [Mutex<Line>; 4],
    due: Mutex<Due>,
    lanes: Mutex<BTreeSet<String>>,
    looked_at: Mutex<Option<Instant>>,
    /// In which tasks something rode at the last look, by field; none before the first.
    riders: Mutex<HashMap<&'static str, HashSet<Uuid>>>,
    /// Tasks that were claimed here, as they were then, without their longest texts.
    held: Mutex<HashMap<Uuid, TaskRow>>,
    /// Lets one claim at a time through, which counts the tasks that were claimed: claims of one process don't help
    /// each other.
    pub(super) claiming: tokio::sync::Mutex<u8>,
}

/// The turns of one priority.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    present: i64,
    read_at: Option<Instant>,
}

/// When the first of those is due that wait for their time.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    first: Option<Timestamp>,
    read_at: Option<Instant>,
}

fn is_believed(read_at: Option<Instant>) -> bool {
    read_at.is_some_and(|read_at| read_at.elapsed() < BELIEVED_FOR)
}

impl Tasks {
    fn line(&self, priority: Priority) -> &Mutex<Line> {
        let [low, medium, high, critical] = &self.lines;
        match priority {
            Priority::Low => low,
            Priority::Medium => medium,
            Priority::High => high,
            Priority::Critical => critical,
        }
    }

    /// Notes that a turn came.
    pub(super) fn pass(&self, priority: Priority, turn: i64) {
        let mut line = self.line(priority).lock();
        line.present = line.present.max(turn);
    }

    /// Notes that a job waits until this moment.
    pub(super) fn note_due(&self, due_at: Timestamp) {
        let mut due = self.due.lock();
        due.first = Some(due.first.map_or(due_at, |first| first.min(due_at)));
    }

    /// Notes which is the first moment that a job waits for.
    pub(super) fn note_first_due(&self, first: Option<Timestamp>) {
        *self.due.lock() = Due {
            first,
            read_at: Some(Instant::now()),
        };
    }

    /// Remembers a task that was claimed, so that its end needn't look at it again.
    pub(super) fn hold(&self, row: &mut TaskRow) {
        let (payload, description) = (row.payload.take(), row.description.take());
        let without_texts = row.clone();
        (row.payload, row.description) = (payload, description);
        let mut held = self.held.lock();
        // Some were lost to others, and their ends never come.
        if held.len() >= MOST_HELD {
            held.clear();
        }
        held.insert(row.id, without_texts);
    }

    /// Gives a task as it was when this attempt began, once.
    pub(super) fn let_go(&self, hold: Hold) -> Option<TaskRow> {
        let row = self.held.lock().remove(&id(hold.task.as_uuid()))?;
        Some(row).filter(|row| row.attempt == i64::from(hold.attempt))
    }

    /// Tells whether it is time to look for what others left, and notes that this is done.
    pub(super) fn may_look_for_leftovers(&self, now: Instant, every: Duration) -> bool {
        let mut looked_at = self.looked_at.lock();
        let is_time = looked_at.is_none_or(|then| now.saturating_duration_since(then) >= every);
        if is_time {
            *looked_at = Some(now);
        }
        is_time
    }

    /// Notes in which tasks something rides, and gives those of them in which it is left: in which something rode at the
    /// last look too, and all at the first.
    pub(super) fn note_riders(&self, field: &'static str, seen: HashSet<Uuid>) -> HashSet<Uuid> {
        let before = self.riders.lock().insert(field, seen.clone());
        match before {
            Some(before) => seen.intersection(&before).copied().collect(),
            None => seen,
        }
    }

    /// Tells whether a plugin is known to have had a task.
    pub(super) fn knows_lane(&self, plugin: &str) -> bool {
        self.lanes.lock().contains(plugin)
    }

    /// Notes that a plugin had a task.
    pub(super) fn note_lane(&self, plugin: &str) {
        self.lanes.lock().insert(plugin.to_owned());
    }

    /// The plugins that are known to have had a task.
    pub(super) fn lanes(&self) -> Vec<String> {
        self.lanes.lock().iter().cloned().collect()
    }
}

/// Turns that were handed out to an owner, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    line: String,
    /// The first of them.
    pub(super) first: i64,
    /// How many they are.
    pub(super) count: i64,
}

/// The document of the turns of one owner and priority.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::mongodb) struct TurnRow {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "p")]
    priority: i32,
    /// The last turn that was handed out.
    #[serde(rename = "n")]
    last: i64,
}

impl TurnRow {
    /// The document of a line whose last turn this is.
    pub(super) const fn new(id: String, priority: i32, last: i64) -> Self {
        Self { id, priority, last }
    }
}

/// Of a task, its turn or when it is due.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "n", default)]
    turn: i64,
    #[serde(rename = "due", default)]
    due_at: Option<mongodb::bson::DateTime>,
}

/// The id of the document of the turns of an owner and priority.
pub(super) fn line_id(priority: Priority, owner: Option<Uuid>) -> String {
    let priority = priority_number(priority);
    owner.map_or_else(|| format!("{priority}:"), |owner| format!("{priority}:{owner}"))
}

/// The document that says how far the turns of a priority have come. It stands among the tasks, so that a claim writes it
/// in the same round trip.
pub(super) fn present_id(priority: i32) -> String {
    format!("turn:{priority}")
}

/// What writes that need not outlast the loss of a server ask for: what is lost is done again, or costs an owner a turn.
pub(super) fn soon() -> WriteConcern {
    WriteConcern::nodes(1)
}

impl MongoStore {
    /// Hands out the next turns of an owner: the present one if it had none that is to come.
    pub(super) async fn reserve(
        &self,
        priority: Priority,
        owner: Option<Uuid>,
        count: usize,
    ) -> Result<Reserved> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let present = self.present(priority).await?;
        let line = line_id(priority, owner);
        let last = doc! { "$add": [{ "$ifNull": ["$n", -1_i64] }, 1_i64] };
        let last = doc! { "$add": [{ "$max": [last, present] }, count.saturating_sub(1)] };
        let update = vec![doc! { "$set": { "p": priority_number(priority), "n": last } }];
        let turns = self.connection.collection::<TurnRow>(TURNS);
        let mut contention = Contention::default();
        let reserved = loop {
            let handed_out = turns
                .find_one_and_update(doc! { "_id": &line }, update.clone())
                .upsert(true)
                .write_concern(soon())
                .return_document(ReturnDocument::After);
            match self.connection.run(handed_out).await {
                Ok(Some(row)) => break row,
                // Two processes made the document at once.
                Ok(None) | Err(Fault::Duplicate(_)) => contention.again().await?,
                Err(fault) => return Err(fault.into()),
            }
        };
        Ok(Reserved {
            first: reserved.last.saturating_sub(count).saturating_add(1),
            line,
            count,
        })
    }

    /// Takes back the last `count` turns that were handed out, if none was since. Whether that works doesn't matter.
    pub(super) async fn return_turns(&self, reserved: &Reserved, count: i64) {
        let last = reserved.first.saturating_add(reserved.count).saturating_sub(1);
        let filter = doc! { "_id": &reserved.line, "n": last };
        let update = doc! { "$inc": { "n": count.saturating_neg() } };
        let turns = self.connection.collection::<TurnRow>(TURNS);
        let returned = turns.update_one(filter, update).write_concern(soon());
        drop(self.connection.run(returned).await);
    }

    /// Takes back the turns that didn't come of an owner none of whose jobs waits any more. Whether that works doesn't
    /// matter.
    pub(super) async fn leave_line(&self, row: &TaskRow) {
        let Ok(priority) = row.urgency() else {
            return;
        };
        let waiting = doc! { "q": Place::Ready.number(), "p": row.priority, "u": row.user_id };
        let tasks = self.connection.collection::<Head>(TASKS);
        let find = tasks.find_one(waiting).projection(doc! { "n": 1 });
        if let Ok(None) = self.connection.run(find).await {
            let present = self.tasks.line(priority).lock().present;
            let line = line_id(priority, row.user_id);
            let turns = self.connection.collection::<TurnRow>(TURNS);
            let update = doc! { "$min": { "n": present } };
            let left = turns
                .update_one(doc! { "_id": line }, update)
                .write_concern(soon());
            drop(self.connection.run(left).await);
        }
    }

    /// How far the turns of a priority have come: to the greatest that was claimed.
    async fn present(&self, priority: Priority) -> Result<i64> {
        let line = *self.tasks.line(priority).lock();
        if is_believed(line.read_at) {
            return Ok(line.present);
        }
        let heads = self.connection.collection::<Head>(TASKS);
        let find = heads.find_one(doc! { "_id": present_id(priority_number(priority)) });
        let read = self.connection.run(find).await?.map_or(0, |row| row.turn);
        let mut line = self.tasks.line(priority).lock();
        line.present = line.present.max(read);
        line.read_at = Some(Instant::now());
        Ok(line.present)
    }

    async fn first_of(&self, filter: Document, sort: Document) -> Result<Option<Head>> {
        let tasks = self.connection.collection::<Head>(TASKS);
        let find = tasks
            .find_one(filter)
            .sort(sort)
            .projection(doc! { "n": 1, "due": 1 });
        Ok(self.connection.run(find).await?)
    }

    /// Tells whether a job that waits for its time may be due.
    pub(super) async fn may_be_due(&self, now: Timestamp) -> Result<bool> {
        let due = *self.tasks.due.lock();
        if due.first.is_some_and(|first| first <= now) {
            return Ok(true);
        }
        if is_believed(due.read_at) {
            return Ok(false);
        }
        let first = self.read_first_due().await?;
        Ok(first.is_some_and(|first| first <= now))
    }

    /// When the first of those is due that wait for their time.
    pub(super) async fn read_first_due(&self) -> Result<Option<Timestamp>> {
        let priorities: Vec<i32> = Priority::ALL.into_iter().map(priority_number).collect();
        let waiting = doc! { "q": Place::Scheduled.number(), "p": { "$in": priorities } };
        let first = self.first_of(waiting, doc! { "due": 1 }).await?;
        let first = first.and_then(|first| first.due_at).map(timestamp);
        self.tasks.note_first_due(first);
        Ok(first)
    }

    /// Sees to it that a plugin is among those that ever had a task, before it has one.
    pub(super) async fn keep_lane(&self, plugin: &str) -> Result<()> {
        if self.tasks.knows_lane(plugin) {
            return Ok(());
        }
        let names = self.connection.collection::<Document>(LANES);
        match self
            .connection
            .run(names.insert_one(doc! { "_id": plugin }))
            .await
        {
            Ok(_) | Err(Fault::Duplicate(_)) => {}
            Err(fault) => return Err(fault.into()),
        }
        self.tasks.note_lane(plugin);
        Ok(())
    }
}
