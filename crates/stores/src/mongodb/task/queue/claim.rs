//! Claiming: giving ready jobs to a worker.
//!
//! Three round trips, however many jobs: one look at the heads of all lines, one conditional change of those that were
//! chosen, and one reading of those that were got. Jobs that have become due are among them when there is room for all;
//! else they take their turns first, up to 256 and more at once, which costs a few round trips for each owner.

use std::collections::{BTreeMap, HashMap};

use model::{ClaimRequest, Claimed, ClaimedTask, Priority, Result, Timestamp};
use mongodb::bson::{Bson, DateTime, Document, Uuid, doc, oid::ObjectId};
use serde::Deserialize;

use super::pick::{Candidate, Room, pick};
use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{id, moment, timestamp},
    contention::Contention,
    task::{
        branches::{Branches, IN_ONE_ANSWER},
        due::{DueRow, due_fields, due_jobs, due_order},
        place::Place,
        row::{TaskRow, priority_number, status_number},
        turn::{LANES, present_id},
    },
};

/// How many jobs whose time came are made ready at once, if not more are asked for.
const PROMOTED_AT_ONCE: u16 = 256;

/// How many plugins are looked at together: the database merges so many lists without sorting them.
const LANES_TOGETHER: usize = 100;

/// How often a claim is tried again at once when other processes were faster.
const MAX_ROUNDS: u32 = 3;

/// What a look at the queue gives: a ready job, one that waits for its time, or the name of a plugin.
#[derive(Deserialize)]
struct Seen {
    #[serde(rename = "_id")]
    id: Bson,
    #[serde(rename = "q", default)]
    queue: Option<i32>,
    #[serde(rename = "v", default)]
    version: i64,
    #[serde(rename = "u", default)]
    user_id: Option<Uuid>,
    #[serde(rename = "p", default)]
    priority: i32,
    #[serde(rename = "l", default)]
    plugin: String,
    #[serde(rename = "n", default)]
    turn: i64,
    #[serde(rename = "ra", default)]
    ready_at: Option<DateTime>,
    #[serde(rename = "due", default)]
    due_at: Option<DateTime>,
}

/// The queue as a look shows it.
#[derive(Default)]
struct View {
    ready: Vec<Candidate>,
    due: Vec<DueRow>,
    next_due: Option<Timestamp>,
    lanes: Vec<String>,
}

impl View {
    fn add(&mut self, seen: Seen, now: Timestamp) {
        let Bson::Binary(id) = seen.id else {
            if let Bson::String(name) = seen.id {
                self.lanes.push(name);
            }
            return;
        };
        let Ok(id) = id.to_uuid() else {
            return;
        };
        if seen.queue == Some(Place::Ready.number()) {
            self.ready.push(Candidate {
                id,
                owner: seen.user_id,
                priority: seen.priority,
                plugin: seen.plugin,
                turn: seen.turn,
                ready_at: seen.ready_at,
            });
        } else if let Some(due_at) = seen.due_at {
            if timestamp(due_at) > now {
                self.next_due = Some(timestamp(due_at));
            } else {
                self.due.push(DueRow {
                    id,
                    version: seen.version,
                    user_id: seen.user_id,
                    priority: seen.priority,
                    plugin: seen.plugin,
                    due_at,
                });
            }
        }
    }
}

impl View {
    /// Tells whether a request takes all of it: then nobody has to wait for another's turn.
    fn is_taken_by(&self, request: &ClaimRequest) -> bool {
        let ready = self.ready.iter().map(|job| job.plugin.as_str());
        let plugins = ready.chain(self.due.iter().map(|job| job.plugin.as_str()));
        self.ready.len().saturating_add(self.due.len()) <= usize::from(request.limit)
            && Room::of(request).is_for_all(plugins)
    }

    /// Lets what is due be claimed along with what is ready, as if it had taken its turns.
    fn join_due(&mut self) {
        let mut last: HashMap<(i32, Option<[u8; 16]>), i64> = HashMap::new();
        let mut present: HashMap<i32, i64> = HashMap::new();
        let line = |priority: i32, owner: Option<Uuid>| (priority, owner.map(Uuid::bytes));
        for job in &self.ready {
            let last = last.entry(line(job.priority, job.owner)).or_insert(job.turn);
            *last = job.turn.max(*last);
            let present = present.entry(job.priority).or_insert(job.turn);
            *present = job.turn.min(*present);
        }
        for job in self.due.drain(..) {
            let present = present.get(&job.priority).copied().unwrap_or_default();
            let last = last.entry(line(job.priority, job.user_id));
            let turn = *last
                .and_modify(|last| *last = last.saturating_add(1))
                .or_insert(present);
            self.ready.push(Candidate {
                id: job.id,
                owner: job.user_id,
                priority: job.priority,
                plugin: job.plugin,
                turn,
                ready_at: Some(job.due_at),
            });
        }
    }
}

impl MongoStore {
    /// Claims ready jobs, those included whose time has come.
    pub(super) async fn claim(&self, request: &ClaimRequest) -> Result<Claimed> {
        let mut claims = self.tasks.claiming.lock().await;
        let mut contention = Contention::default();
        loop {
            let (view, has_promoted_all) = self.look_and_promote(request).await?;
            let mut room = Room::of(request);
            let (picks, has_more) = pick(view.ready, request, (&mut room, &mut *claims));
            let wanted = picks.len();
            let tasks = self.take_ready(request, &picks).await?;
            let claimed = Claimed {
                has_more: has_more || !has_promoted_all || tasks.len() < wanted,
                next_due: view.next_due,
                tasks,
            };
            if wanted == 0 || !claimed.tasks.is_empty() || contention.losses() >= MAX_ROUNDS {
                return Ok(claimed);
            }
            contention.again().await?;
        }
    }

    /// Looks at the queue once all are ready that are due; tells whether they were few enough.
    async fn look_and_promote(&self, request: &ClaimRequest) -> Result<(View, bool)> {
        let limit = PROMOTED_AT_ONCE.max(request.limit.saturating_mul(2));
        let mut has_promoted_all = true;
        let mut has_promoted = false;
        loop {
            let mut view = self.look(request, limit).await?;
            let known = self.tasks.lanes();
            if view.lanes.iter().any(|lane| !known.contains(lane)) {
                view.lanes.iter().for_each(|lane| self.tasks.note_lane(lane));
                continue;
            }
            if view.is_taken_by(request) {
                view.join_due();
            }
            if view.due.is_empty() || has_promoted {
                let first_due = view.due.iter().map(DueRow::due).min();
                let next_due = first_due.into_iter().chain(view.next_due).min();
                self.tasks.note_first_due(next_due);
                let view = View { next_due, ..view };
                return Ok((view, has_promoted_all));
            }
            let mut due = view.due;
            has_promoted_all = due.len() < usize::from(limit);
            due.truncate(usize::from(limit));
            self.promote(due).await?;
            has_promoted = true;
        }
    }

    async fn look(&self, request: &ClaimRequest, promoted: u16) -> Result<View> {
        let pipeline = branches(request, &self.tasks.lanes(), promoted).into_pipeline();
        let mut view = View::default();
        for seen in self.aggregate_tasks::<Seen>(pipeline).await? {
            view.add(seen, request.now);
        }
        Ok(view)
    }

    /// Gives jobs to the worker that are still ready.
    async fn take_ready(&self, request: &ClaimRequest, picks: &[Candidate]) -> Result<Vec<ClaimedTask>> {
        if picks.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = picks.iter().map(|pick| pick.id).collect();
        let token = ObjectId::new();
        let due = doc! { "q": Place::Scheduled.number(), "due": { "$lte": moment(request.now) } };
        let filter = doc! { "_id": { "$in": &ids }, "$or": [{ "q": Place::Ready.number() }, due] };
        // It has been due once, by a clock that was ahead of this one.
        let now = doc! { "$max": [moment(request.now), "$due"] };
        let update = vec![
            doc! { "$set": {
                "s": status_number(model::TaskStatus::InProgress),
                "q": Place::Held.number(),
                "a": { "$add": ["$a", 1_i64] },
                "v": { "$add": ["$v", 1_i64] },
                "w": id(request.worker.as_uuid()),
                "lu": moment(request.lease_until),
                "sa": now.clone(),
                "ua": now,
                "ra": { "$ifNull": ["$ra", "$due"] },
                "ct": token,
            } },
            doc! { "$unset": ["n", "pg"] },
        ];
        let mut changes = vec![doc! { "q": filter, "u": update, "multi": true }];
        changes.extend(passing(picks));
        self.update_tasks(changes).await?;
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let got = tasks
            .find(doc! { "_id": { "$in": &ids }, "ct": token })
            .batch_size(IN_ONE_ANSWER);
        let got: Vec<TaskRow> = self.connection.read_all(got).await?;
        let mut got: HashMap<Uuid, TaskRow> = got.into_iter().map(|row| (row.id, row)).collect();
        let mut claimed = Vec::with_capacity(got.len());
        for pick in picks {
            let Some(mut row) = got.remove(&pick.id) else {
                continue;
            };
            self.tasks.pass(row.urgency()?, pick.turn);
            self.tasks.hold(&mut row);
            claimed.extend(read_claimed(row));
        }
        Ok(claimed)
    }
}

/// The changes that say how far the turns have come.
fn passing(picks: &[Candidate]) -> impl Iterator<Item = Document> {
    let mut greatest: BTreeMap<i32, i64> = BTreeMap::new();
    for pick in picks {
        let turn = greatest.entry(pick.priority).or_insert(pick.turn);
        *turn = pick.turn.max(*turn);
    }
    greatest.into_iter().map(|(priority, turn)| {
        doc! { "q": { "_id": present_id(priority) }, "u": { "$max": { "n": turn } }, "upsert": true }
    })
}

/// Takes the texts of a claimed task apart. One that can't be read is left out: its lease ends, and it fails in the end.
fn read_claimed(row: TaskRow) -> Option<ClaimedTask> {
    let ready_at = timestamp(row.ready_at.unwrap_or(row.due_at));
    match row.into_task() {
        Ok(task) => Some(ClaimedTask { task, ready_at }),
        Err(error) => {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "a task can't be read");
            None
        }
    }
}

/// The looks that a claim takes: at the heads of all lines that have room, at what is due, at when the next one is, and at
/// the plugins that there are.
fn branches(request: &ClaimRequest, lanes: &[String], promoted: u16) -> Branches {
    let fields = || doc! { "q": 1, "v": 1, "u": 1, "p": 1, "l": 1, "n": 1, "ra": 1, "due": 1 };
    let room = Room::of(request);
    // One more than asked for tells whether there is more.
    let most = i64::from(request.limit).saturating_add(1);
    let left = |lane: &String| room.left(lane).map(i64::from).filter(|left| *left < most);
    let (narrow, wide): (Vec<&String>, Vec<&String>) = lanes.iter().partition(|lane| left(lane).is_some());
    let mut branches = Branches::default();
    for priority in Priority::ALL.into_iter().rev() {
        let ready = |lanes: Document| {
            doc! { "q": Place::Ready.number(), "p": priority_number(priority), "l": lanes }
        };
        for lanes in wide.chunks(LANES_TOGETHER) {
            let lanes: Vec<&str> = lanes.iter().map(|lane| lane.as_str()).collect();
            branches.add(ready(doc! { "$in": lanes }), turn_order(), (most, fields()));
        }
        for lane in &narrow {
            match left(lane) {
                Some(left) if left > 0 => {
                    let lane = doc! { "$eq": lane.as_str() };
                    branches.add(ready(lane), turn_order(), (left, fields()));
                }
                Some(_) | None => {}
            }
        }
    }
    for priority in Priority::ALL.into_iter().rev() {
        let mut fields = due_fields();
        fields.insert("q", 1);
        branches.add(
            due_jobs(priority, request.now),
            due_order(),
            (promoted.into(), fields),
        );
    }
    let priorities: Vec<i32> = Priority::ALL.into_iter().map(priority_number).collect();
    let later = doc! {
        "q": Place::Scheduled.number(),
        "p": { "$in": priorities },
        "due": { "$gt": moment(request.now) },
    };
    branches.add(later, doc! { "due": 1 }, (1, fields()));
    branches.add_all_of(LANES);
    branches
}

fn turn_order() -> Document {
    doc! { "n": 1, "_id": 1 }
}
