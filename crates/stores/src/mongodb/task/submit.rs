//! Submitting tasks.

mod batch;

use model::{Error, ErrorCode, NewTask, Result, Submitted};
use mongodb::bson::doc;

use super::{depend::Others, place::Place, row::TaskRow};
use crate::mongodb::{
    MongoStore, collection::TASKS, column::timestamp, contention::Contention, failure::Fault,
};

pub(super) use self::batch::submit_all;

/// What became of a submission.
pub(super) enum Added {
    /// It is stored.
    New(TaskRow),
    /// This one is there: the task itself if it is told to be new, else one with its unique key.
    Found(TaskRow, bool),
}

impl Added {
    fn into_submitted(self) -> Result<Submitted> {
        let (row, is_new) = match self {
            Self::New(row) => (row, true),
            Self::Found(row, is_new) => (row, is_new),
        };
        Ok(Submitted {
            task: row.into_task()?,
            is_new,
        })
    }
}

/// Adds a task, unless its unique key is taken.
pub(super) async fn submit(store: &MongoStore, task: &NewTask) -> Result<Submitted> {
    store.add_task(&TaskRow::of(task)?).await?.into_submitted()
}

/// Says that an id is another owner's.
fn taken_id() -> Error {
    Error::new(ErrorCode::Conflict, "another task has this id")
}

impl MongoStore {
    /// Adds a task, unless it is there or its unique key is taken.
    pub(super) async fn add_task(&self, row: &TaskRow) -> Result<Added> {
        let mut contention = Contention::default();
        loop {
            if let Some(added) = self.try_add(row).await? {
                return Ok(added);
            }
            contention.again().await?;
        }
    }

    /// Gives none when what stood in the way is gone meanwhile, or isn't there as yet.
    async fn try_add(&self, row: &TaskRow) -> Result<Option<Added>> {
        let is_plain = row.unique_key.is_none() && row.depends_on.is_empty();
        // That of a plain one shows when it is added.
        if !is_plain && let Some(found) = self.find_same(row).await? {
            return Ok(Some(found));
        }
        let mut row = row.clone();
        if !row.depends_on.is_empty() {
            let others = self.read_others(&row.depends_on).await?;
            row.wait_for(&others)?;
            self.mark_others(&others, row.depends_on.iter()).await?;
        }
        let now = timestamp(row.created_at);
        let place = Place::of(&row.standing()?, now);
        if let Some(plugin) = &row.plugin {
            self.keep_lane(plugin).await?;
        }
        row.queue = place.map(Place::number);
        let mut reserved = None;
        if place == Some(Place::Ready) {
            self.promote_due(row.urgency()?, now, None).await?;
            let turn = self.reserve(row.urgency()?, row.user_id, 1).await?;
            (row.turn, row.ready_at) = (Some(turn.first), Some(row.created_at));
            reserved = Some(turn);
        }
        match self.task_inserts.insert(&row).await {
            Ok(()) => {}
            Err(Fault::Duplicate(_)) => {
                if let Some(reserved) = reserved {
                    self.return_turns(&reserved, reserved.count).await;
                }
                return self.find_same(&row).await;
            }
            Err(fault) => return Err(fault.into()),
        }
        if place == Some(Place::Scheduled) {
            self.tasks.note_due(row.due());
        }
        if row.is_unchecked {
            self.check_new(&[&row]).await?;
        }
        Ok(Some(Added::New(row)))
    }

    /// The task that a submission was made for before, or the one that has its unique key.
    async fn find_same(&self, row: &TaskRow) -> Result<Option<Added>> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        if let Some(found) = self
            .connection
            .run(tasks.find_one(doc! { "_id": row.id }))
            .await?
        {
            if let Some(batch) = found.batch {
                self.finish_batch(batch).await?;
                return Ok(None);
            }
            if found.user_id != row.user_id {
                return Err(taken_id());
            }
            return Ok(Some(Added::Found(found, true)));
        }
        let Some(key) = &row.unique_key else {
            return Ok(None);
        };
        let filter = doc! { "u": row.user_id, "ul": key };
        match self.connection.run(tasks.find_one(filter)).await? {
            Some(TaskRow {
                batch: Some(batch), ..
            }) => {
                self.finish_batch(batch).await?;
                Ok(None)
            }
            found => Ok(found.map(|found| Added::Found(found, false))),
        }
    }
}

/// What can be told of new tasks before any is written: see [`TaskRow::wait_for`].
fn with_dependencies(row: &TaskRow, others: &Others) -> Result<TaskRow> {
    let mut row = row.clone();
    row.wait_for(others)?;
    Ok(row)
}
