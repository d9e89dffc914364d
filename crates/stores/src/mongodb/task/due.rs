//! Jobs whose time has come: they become ready when the queue is next looked at, or something else becomes ready.

use std::collections::BTreeMap;

use model::{Priority, Result, Timestamp};
use mongodb::bson::{DateTime, Document, Uuid, doc};
use serde::Deserialize;

use super::{branches::Branches, place::Place, row::priority_number, turn::Reserved};
use crate::mongodb::{
    MongoStore,
    column::{moment, timestamp},
};

/// How many jobs become ready at most before one that is ready already.
const PROMOTED_AT_ONCE: u16 = 256;

/// A job whose time has come.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DueRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    #[serde(rename = "v")]
    pub(super) version: i64,
    #[serde(rename = "u")]
    pub(super) user_id: Option<Uuid>,
    #[serde(rename = "p")]
    pub(super) priority: i32,
    #[serde(rename = "l", default)]
    pub(super) plugin: String,
    #[serde(rename = "due")]
    pub(super) due_at: DateTime,
}

impl DueRow {
    /// When it was due.
    pub(super) fn due(&self) -> Timestamp {
        timestamp(self.due_at)
    }
}

/// The fields of a [`DueRow`].
pub(super) fn due_fields() -> Document {
    doc! { "v": 1, "u": 1, "p": 1, "l": 1, "due": 1 }
}

/// The jobs of a priority whose time has come.
pub(super) fn due_jobs(priority: Priority, now: Timestamp) -> Document {
    doc! {
        "q": Place::Scheduled.number(),
        "p": priority_number(priority),
        "due": { "$lte": moment(now) },
    }
}

/// The order in which jobs become ready that are due.
pub(super) fn due_order() -> Document {
    doc! { "due": 1, "_id": 1 }
}

impl MongoStore {
    /// Makes jobs ready whose time has come, before another one takes its turn: those of its priority first, up to
    /// 256 in all. What was due earlier is older, and must not go behind it only because every worker was busy until
    /// now.
    pub(super) async fn promote_due(
        &self,
        priority: Priority,
        now: Timestamp,
        other: Option<Uuid>,
    ) -> Result<()> {
        if !self.may_be_due(now).await? {
            return Ok(());
        }
        let others = Priority::ALL.into_iter().rev().filter(|other| *other != priority);
        let priorities: Vec<Priority> = [priority].into_iter().chain(others).collect();
        let mut due = self.find_due(&priorities, now).await?;
        due.retain(|row| Some(row.id) != other);
        self.promote(due).await?;
        self.read_first_due().await?;
        Ok(())
    }

    async fn find_due(&self, priorities: &[Priority], now: Timestamp) -> Result<Vec<DueRow>> {
        let limit = PROMOTED_AT_ONCE;
        let mut branches = Branches::default();
        for priority in priorities {
            branches.add(
                due_jobs(*priority, now),
                due_order(),
                (limit.into(), due_fields()),
            );
        }
        let mut due: Vec<DueRow> = self.aggregate_tasks(branches.into_pipeline()).await?;
        due.truncate(usize::from(limit));
        Ok(due)
    }

    /// Makes jobs ready, in this order, as far as they still wait for their time.
    pub(super) async fn promote(&self, due: Vec<DueRow>) -> Result<()> {
        let mut lines: BTreeMap<(i32, Option<[u8; 16]>), Vec<DueRow>> = BTreeMap::new();
        for row in due {
            let owner = row.user_id.map(Uuid::bytes);
            lines.entry((row.priority, owner)).or_default().push(row);
        }
        for ((priority, owner), rows) in lines {
            let owner = owner.map(Uuid::from_bytes);
            let reserved = self.reserve(priority_of(priority), owner, rows.len()).await?;
            self.make_ready(&reserved, rows).await?;
        }
        Ok(())
    }

    async fn make_ready(&self, reserved: &Reserved, rows: Vec<DueRow>) -> Result<()> {
        let turns = reserved.first..;
        let updates: Vec<Document> = rows
            .iter()
            .zip(turns)
            .map(|(row, turn)| {
                doc! {
                    "q": { "_id": row.id, "v": row.version },
                    "u": {
                        "$set": { "q": Place::Ready.number(), "n": turn, "ra": row.due_at },
                        "$inc": { "v": 1_i64 },
                    },
                }
            })
            .collect();
        let moved = self.update_tasks(updates).await?;
        let lost = reserved.count.saturating_sub(moved);
        if lost > 0 {
            // Another process was faster with them, and handed out turns too.
            self.return_turns(reserved, lost).await;
        }
        Ok(())
    }
}

fn priority_of(number: i32) -> Priority {
    let mut all = Priority::ALL.into_iter();
    all.find(|priority| priority_number(*priority) == number)
        .unwrap_or_default()
}
