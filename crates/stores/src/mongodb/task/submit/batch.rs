//! Submitting many tasks, all or none.
//!
//! A server that stands alone writes one document at once and no more. So the tasks are written first as ones that don't
//! count yet, all of them marked with a batch; then one write to the document of the batch makes all of them count; then
//! the marks are taken off. Who finds a batch that its writer left finishes it, or takes it back if that one write wasn't
//! made.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::TryStreamExt as _;
use model::{NewTask, Priority, Result, Submitted};
use mongodb::{
    bson::{Document, Uuid, doc, oid::ObjectId},
    error::{ErrorKind, InsertManyError},
};
use serde::Deserialize;

use super::{Added, taken_id, with_dependencies};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::timestamp,
    contention::Contention,
    failure::{Fault, is_duplicate},
    task::{
        depend::{OtherRow, Others},
        place::Place,
        row::{STAGED, TaskRow},
        turn::Reserved,
    },
};

/// The collection of batches that are being written.
const BATCHES: &str = "task_batches";

/// After how long a batch that doesn't count yet is taken back, by the clock of the database.
const ABANDONED_AFTER_MS: i64 = 30_000;

/// A batch that is being written.
const WRITING: i32 = 0;
/// A batch that counts.
const COUNTS: i32 = 1;
/// A batch that is being taken back.
const TAKEN_BACK: i32 = 2;

/// Adds tasks, all or none.
pub(in crate::mongodb::task) async fn submit_all(
    store: &MongoStore,
    tasks: &[NewTask],
) -> Result<Vec<Submitted>> {
    let rows = tasks.iter().enumerate();
    let rows: Result<Vec<TaskRow>> = rows
        .map(|(index, task)| TaskRow::of(task).map_err(|error| error.under(&index.to_string())))
        .collect();
    let rows = rows?;
    let mut contention = Contention::default();
    loop {
        let plan = store.plan(&rows).await?;
        if let Some(added) = store.carry_out(plan).await? {
            return added.into_iter().map(Added::into_submitted).collect();
        }
        contention.again().await?;
    }
}

/// The numbers of tasks that become ready, by priority and owner.
type Lines = BTreeMap<(i32, Option<[u8; 16]>), (Priority, Vec<usize>)>;

/// What becomes of the tasks of a submission.
#[derive(Default)]
struct Plan {
    /// Those to be added.
    new: Vec<TaskRow>,
    /// What is told of each: one to be added, or one that is there.
    outcomes: Vec<Outcome>,
    others: Others,
}

/// How far a batch is.
#[derive(Deserialize)]
struct BatchState {
    #[serde(rename = "s")]
    stage: i32,
    /// Whether its writer has left it, as it seems.
    #[serde(rename = "left")]
    is_left: bool,
}

enum Outcome {
    /// The new one of this number; whether it is told to be new.
    New(usize, bool),
    Found(Box<TaskRow>, bool),
}

impl MongoStore {
    /// Decides what becomes of tasks that are submitted together, in their order.
    async fn plan(&self, rows: &[TaskRow]) -> Result<Plan> {
        let existing = self.find_existing(rows).await?;
        let awaited: HashSet<Uuid> = rows
            .iter()
            .flat_map(|row| row.depends_on.iter().copied())
            .collect();
        let awaited: Vec<Uuid> = awaited.into_iter().collect();
        let mut plan = Plan {
            others: self.read_others(&awaited).await?,
            ..Plan::default()
        };
        let mut by_id: HashMap<Uuid, usize> = HashMap::new();
        let mut by_key: HashMap<(Option<Uuid>, &str), usize> = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            let at = |error: model::Error| error.under(&index.to_string());
            let outcome = if let Some(number) = by_id.get(&row.id) {
                let is_own = plan
                    .new
                    .get(*number)
                    .is_some_and(|new| new.user_id == row.user_id);
                if !is_own {
                    return Err(at(taken_id()));
                }
                Outcome::New(*number, true)
            } else if let Some(found) = existing.get(&row.id) {
                if found.user_id != row.user_id {
                    return Err(at(taken_id()));
                }
                Outcome::Found(Box::new(found.clone()), true)
            } else if let Some(number) = row.key().and_then(|key| by_key.get(&key)) {
                Outcome::New(*number, false)
            } else if let Some(found) = existing.values().find(|found| row.has_lock_of(found)) {
                Outcome::Found(Box::new(found.clone()), false)
            } else {
                let number = plan.new.len();
                plan.new.push(with_dependencies(row, &plan.others).map_err(at)?);
                plan.others.insert(row.id, OtherRow::of(row));
                by_id.insert(row.id, number);
                by_key.extend(row.key().map(|key| (key, number)));
                Outcome::New(number, true)
            };
            plan.outcomes.push(outcome);
        }
        Ok(plan)
    }

    /// The tasks that are there with one of the ids, or one of the unique keys.
    async fn find_existing(&self, rows: &[TaskRow]) -> Result<HashMap<Uuid, TaskRow>> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut keys: BTreeMap<Option<[u8; 16]>, Vec<&str>> = BTreeMap::new();
        for (owner, key) in rows.iter().filter_map(TaskRow::key) {
            keys.entry(owner.map(Uuid::bytes)).or_default().push(key);
        }
        let mut any = vec![doc! { "_id": { "$in": ids } }];
        for (owner, keys) in keys {
            any.push(doc! { "u": owner.map(Uuid::from_bytes), "ul": { "$in": keys } });
        }
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let mut found = HashMap::new();
        for filter in any {
            let rows: Vec<TaskRow> = self.connection.read_all(tasks.find(filter)).await?;
            for row in rows {
                match row.batch {
                    Some(batch) => self.finish_batch(batch).await?,
                    None => drop(found.insert(row.id, row)),
                }
            }
        }
        Ok(found)
    }

    /// Adds the new tasks of a plan; gives none when others were faster.
    async fn carry_out(&self, mut plan: Plan) -> Result<Option<Vec<Added>>> {
        let is_written = match plan.new.as_mut_slice() {
            [] => true,
            new => {
                let awaited: HashSet<Uuid> = new
                    .iter()
                    .flat_map(|row| row.depends_on.iter().copied())
                    .collect();
                self.mark_others(&plan.others, awaited.iter()).await?;
                for row in new.iter_mut() {
                    // Those of the batch itself are marked as they are written.
                    row.has_dependents = awaited.contains(&row.id);
                }
                let reserved = self.take_places(new).await?;
                let is_written = self.write_batch(new).await?;
                if !is_written {
                    for reserved in &reserved {
                        self.return_turns(reserved, reserved.count).await;
                    }
                }
                is_written
            }
        };
        if !is_written {
            return Ok(None);
        }
        let unchecked: Vec<&TaskRow> = plan.new.iter().filter(|row| row.is_unchecked).collect();
        self.check_new(&unchecked).await?;
        let outcome = |outcome| match outcome {
            Outcome::Found(row, is_new) => Some(Added::Found(*row, is_new)),
            Outcome::New(number, is_new) => plan.new.get(number).cloned().map(|row| {
                if is_new {
                    Added::New(row)
                } else {
                    Added::Found(row, false)
                }
            }),
        };
        Ok(Some(plan.outcomes.into_iter().filter_map(outcome).collect()))
    }

    /// Gives new tasks their places in the queue, and those that are ready their turns.
    async fn take_places(&self, rows: &mut [TaskRow]) -> Result<Vec<Reserved>> {
        let mut lines = Lines::new();
        let mut first_due = None;
        for (index, row) in rows.iter_mut().enumerate() {
            let place = Place::of(&row.standing()?, timestamp(row.created_at));
            row.queue = place.map(Place::number);
            if let Some(plugin) = &row.plugin {
                self.keep_lane(plugin).await?;
            }
            match place {
                Some(Place::Ready) => {
                    let line = (row.priority, row.user_id.map(Uuid::bytes));
                    let line = lines.entry(line).or_insert((row.urgency()?, Vec::new()));
                    line.1.push(index);
                }
                Some(Place::Scheduled) => {
                    first_due = [first_due, Some(row.due())].into_iter().flatten().min();
                }
                Some(Place::Held | Place::Blocked | Place::Asking) | None => {}
            }
        }
        let mut reserved = Vec::with_capacity(lines.len());
        for ((_, owner), (priority, places)) in lines {
            if let Some(row) = places.first().and_then(|index| rows.get(*index)) {
                self.promote_due(priority, timestamp(row.created_at), None)
                    .await?;
            }
            let turns = self
                .reserve(priority, owner.map(Uuid::from_bytes), places.len())
                .await?;
            for (index, turn) in places.into_iter().zip(turns.first..) {
                if let Some(row) = rows.get_mut(index) {
                    (row.turn, row.ready_at) = (Some(turn), Some(row.created_at));
                }
            }
            reserved.push(turns);
        }
        if let Some(first_due) = first_due {
            self.tasks.note_due(first_due);
        }
        Ok(reserved)
    }

    /// Writes tasks so that all of them count from one moment on, or none ever does; gives false when another has one of
    /// their ids or unique keys.
    async fn write_batch(&self, rows: &[TaskRow]) -> Result<bool> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        if let [row] = rows {
            return match self.connection.run(tasks.insert_one(row)).await {
                Ok(_) => Ok(true),
                Err(Fault::Duplicate(_)) => Ok(false),
                Err(fault) => Err(fault.into()),
            };
        }
        let batch = ObjectId::new();
        let batches = self.connection.collection::<Document>(BATCHES);
        let begun = vec![doc! { "$set": { "s": WRITING, "at": "$$NOW" } }];
        self.connection
            .run(batches.update_one(doc! { "_id": batch }, begun).upsert(true))
            .await?;
        let staged = rows.iter().map(|row| TaskRow {
            status: STAGED,
            queue: None,
            batch: Some(batch),
            batch_queue: row.queue,
            ..row.clone()
        });
        if let Err(fault) = self.connection.run(tasks.insert_many(staged)).await {
            self.take_back(batch).await?;
            return if is_duplicate_insert(&fault) {
                Ok(false)
            } else {
                Err(fault.into())
            };
        }
        let counts = doc! { "$set": { "s": COUNTS } };
        let written = self
            .connection
            .run(batches.update_one(doc! { "_id": batch, "s": WRITING }, counts))
            .await?;
        if written.matched_count == 0 {
            // It took so long that somebody took it back.
            self.connection
                .run(tasks.delete_many(doc! { "b": batch }))
                .await?;
            return Ok(false);
        }
        self.publish(batch).await?;
        Ok(true)
    }

    /// Takes the marks off tasks that count.
    async fn publish(&self, batch: ObjectId) -> Result<()> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let update = vec![
            doc! { "$set": { "s": 0, "q": "$bq" } },
            doc! { "$unset": ["b", "bq"] },
        ];
        self.connection
            .run(tasks.update_many(doc! { "b": batch }, update))
            .await?;
        self.forget_batch(batch).await
    }

    /// Takes tasks back that don't count, if they still don't.
    async fn take_back(&self, batch: ObjectId) -> Result<()> {
        let batches = self.connection.collection::<Document>(BATCHES);
        let filter = doc! { "_id": batch, "s": { "$in": [WRITING, TAKEN_BACK] } };
        let update = doc! { "$set": { "s": TAKEN_BACK } };
        if self
            .connection
            .run(batches.update_one(filter, update))
            .await?
            .matched_count
            == 0
        {
            return Ok(());
        }
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        self.connection
            .run(tasks.delete_many(doc! { "b": batch }))
            .await?;
        self.forget_batch(batch).await
    }

    async fn forget_batch(&self, batch: ObjectId) -> Result<()> {
        let batches = self.connection.collection::<Document>(BATCHES);
        self.connection
            .run(batches.delete_one(doc! { "_id": batch }))
            .await?;
        Ok(())
    }

    /// Finishes a batch that counts, and takes back one that was left before it did.
    pub(in crate::mongodb::task) async fn finish_batch(&self, batch: ObjectId) -> Result<()> {
        let batches = self.connection.collection::<Document>(BATCHES);
        let left = doc! { "$lt": ["$at", { "$subtract": ["$$NOW", ABANDONED_AFTER_MS] }] };
        let state = batches
            .aggregate(vec![
                doc! { "$match": { "_id": batch } },
                doc! { "$project": { "s": 1, "left": left } },
            ])
            .with_type::<BatchState>();
        let cursor = self.connection.run(state).await?;
        let states: Vec<BatchState> = self.connection.run(cursor.try_collect()).await?;
        match states.first() {
            Some(state) if state.stage == COUNTS => self.publish(batch).await,
            Some(state) if state.is_left => self.take_back(batch).await,
            Some(_) => Ok(()),
            // Its document is there before its tasks are, and until they are published.
            None => {
                let tasks = self.connection.collection::<TaskRow>(TASKS);
                self.connection
                    .run(tasks.delete_many(doc! { "b": batch }))
                    .await?;
                Ok(())
            }
        }
    }

    /// Finishes, or takes back, up to `limit` batches that were left.
    pub(in crate::mongodb::task) async fn finish_batches(&self, limit: u16) -> Result<()> {
        let batches = self.connection.collection::<Document>(BATCHES);
        let find = batches.find(doc! {}).limit(i64::from(limit));
        let found: Vec<Document> = self.connection.read_all(find).await?;
        for batch in found {
            if let Ok(batch) = batch.get_object_id("_id") {
                self.finish_batch(batch).await?;
            }
        }
        Ok(())
    }
}

/// Tells whether documents were refused since ids or unique values are taken, and for nothing else.
fn is_duplicate_insert(fault: &Fault) -> bool {
    let Fault::Database(error) = fault else {
        return fault.is_duplicate();
    };
    let ErrorKind::InsertMany(InsertManyError {
        write_errors: Some(refused),
        write_concern_error: None,
        ..
    }) = error.kind.as_ref()
    else {
        return false;
    };
    refused.iter().all(|refusal| is_duplicate(refusal.code))
}

impl TaskRow {
    /// Its owner and unique key.
    fn key(&self) -> Option<(Option<Uuid>, &str)> {
        self.unique_key.as_deref().map(|key| (self.user_id, key))
    }

    /// Whether its unique key is taken by this one.
    fn has_lock_of(&self, other: &Self) -> bool {
        self.unique_key.is_some() && self.unique_key == other.unique_lock && self.user_id == other.user_id
    }
}
