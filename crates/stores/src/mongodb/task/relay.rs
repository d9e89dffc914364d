//! Facts that rode in the document of a task with the change that made them: they are brought where they belong.
//!
//! Each step can be repeated, by whoever comes: right after the change, or later by any process when the one that made
//! the change died.

use std::time::{Duration, Instant};

use model::{Error, ExecutionStatus, Result, TaskId};
use mongodb::bson::{Bson, Document, deserialize_from_document, doc};

use super::{
    depend::Own,
    row::{RESULT, TaskRow, TickRow},
    submit::Added,
    turn::soon,
};
use crate::mongodb::{MongoStore, collection::TASKS, column, execution::ExecutionRow};

/// How often leftovers are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many leftovers are taken care of at once.
const AT_ONCE: u16 = 100;

impl MongoStore {
    /// Brings all that rides in a task where it belongs.
    pub(super) async fn relay(&self, row: &TaskRow) -> Result<()> {
        if !row.calls.is_empty() {
            self.relay_calls(row.task_id()).await?;
        }
        for tick in &row.ticks {
            self.relay_tick(row.task_id(), tick).await?;
        }
        Ok(())
    }

    async fn relay_calls(&self, id: TaskId) -> Result<()> {
        // As a whole: its result is that of a call.
        let Some(row) = self.find_task_row(Own { id, owner: None }).await? else {
            return Ok(());
        };
        for mut call in row.calls {
            let gave_result = call
                .get_str("st")
                .is_ok_and(|status| status == ExecutionStatus::Success.as_str());
            if let (true, Some(result)) = (gave_result && !call.contains_key(RESULT), &row.result) {
                call.insert(RESULT, result.as_str());
            }
            let call: ExecutionRow = deserialize_from_document(call).map_err(Error::bug)?;
            let call_id = call.id;
            self.settle_execution(&call.into_execution()?).await?;
            self.forget_rider(id, "out", ("$$this._id", call_id.into()))
                .await?;
        }
        Ok(())
    }

    /// Submits the job of a tick, and notes of which tick one came last.
    pub(super) async fn relay_tick(&self, task: TaskId, tick: &TickRow) -> Result<()> {
        let added = self.add_task(&tick.job).await;
        let has_job = match added {
            Ok(Added::New(_) | Added::Found(_, true)) => true,
            Ok(Added::Found(_, false)) => false,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, task = %task, "the job of a tick was refused");
                false
            }
        };
        if has_job {
            let tasks = self.connection.collection::<TaskRow>(TASKS);
            let filter = doc! { "_id": column::id(task.as_uuid()), "rec": { "$exists": true } };
            let update = doc! { "$max": { "rec.la": tick.at }, "$inc": { "v": 1_i64 } };
            self.connection.run(tasks.update_one(filter, update)).await?;
        }
        self.forget_rider(task, "fj", ("$$this.j._id", tick.job.id.into()))
            .await
    }

    /// Forgets what was brought where it belongs.
    pub(super) async fn forget_rider(
        &self,
        task: TaskId,
        field: &str,
        (path, value): (&str, Bson),
    ) -> Result<()> {
        let input = format!("${field}");
        let others = doc! { "$filter": {
            "input": { "$ifNull": [input, []] },
            "cond": { "$ne": [path, value] },
        } };
        let others = doc! { "$let": {
            "vars": { "others": others },
            "in": { "$cond": [{ "$eq": ["$$others", []] }, "$$REMOVE", "$$others"] },
        } };
        let mut fields = Document::new();
        fields.insert(field, others);
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let filter = doc! { "_id": column::id(task.as_uuid()) };
        let forgotten = tasks
            .update_one(filter, vec![doc! { "$set": fields }])
            .write_concern(soon());
        self.connection.run(forgotten).await?;
        Ok(())
    }

    /// Takes care of what others left, now and then: of all that was left when this process began, and then of what is
    /// there at two looks, since most is only on its way.
    pub(super) async fn relay_leftovers(&self) -> Result<()> {
        if !self.tasks.may_look_for_leftovers(Instant::now(), LOOK_EVERY) {
            return Ok(());
        }
        self.finish_batches(AT_ONCE).await?;
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        for field in ["out", "fj"] {
            let mut filter = Document::new();
            filter.insert(field, doc! { "$exists": true });
            let find = tasks
                .find(filter)
                .limit(i64::from(AT_ONCE))
                .projection(doc! { "pl": 0, "d": 0, "r": 0 });
            let rows: Vec<TaskRow> = self.connection.read_all(find).await?;
            let ids = rows.iter().map(|row| row.id).collect();
            let left = self.tasks.note_riders(field, ids);
            for row in rows.iter().filter(|row| left.contains(&row.id)) {
                self.relay(row).await?;
            }
        }
        Ok(())
    }
}
