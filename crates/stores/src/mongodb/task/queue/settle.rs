//! What follows from the end of a task: for those that depend on it, and, in time, its removal.

use model::{Result, Settled, TaskId, TaskStatus, Timestamp};
use mongodb::bson::{Uuid, doc};

use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{moment, uuid},
    contention::Contention,
    task::{
        depend::{Fate, Own, Told},
        row::{TaskRow, status_number},
        steer::without_texts,
    },
};

impl MongoStore {
    /// Tells up to `limit` tasks what became of one that they depend on; and takes care of what others left.
    pub(super) async fn settle(&self, now: Timestamp, limit: u16) -> Result<Settled> {
        self.relay_leftovers().await?;
        let mut settled = Settled::default();
        // One that has nothing to be told, or nobody to tell, is work too.
        let mut left = self.settle_unchecked(now, limit, &mut settled).await?;
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        loop {
            let find = tasks
                .find_one(doc! { "tell": true })
                .sort(doc! { "_id": 1 })
                .projection(without_texts());
            let Some(ended) = self.connection.run(find).await? else {
                return Ok(settled);
            };
            if left == 0 {
                settled.has_more = true;
                return Ok(settled);
            }
            let told = self.tell_dependents(&ended, (now, left), &mut settled).await?;
            left = left.saturating_sub(told.max(1));
        }
    }

    /// Looks at unchecked tasks once more; gives how many tasks may be told still.
    async fn settle_unchecked(&self, now: Timestamp, limit: u16, settled: &mut Settled) -> Result<u16> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let find = tasks
            .find(doc! { "chk": true, "s": { "$gte": 0 } })
            .limit(i64::from(limit.max(1)))
            .projection(without_texts());
        let unchecked: Vec<TaskRow> = self.connection.read_all(find).await?;
        for row in &unchecked {
            let told = self.check_again(row, now).await?;
            note(settled, row.id, told);
        }
        let done = u16::try_from(unchecked.len()).unwrap_or(u16::MAX);
        settled.has_more = !unchecked.is_empty() && done >= limit;
        Ok(limit.saturating_sub(done))
    }

    /// Tells up to `limit` of those that depend on a task that it ended; gives how many there were.
    async fn tell_dependents(
        &self,
        ended: &TaskRow,
        (now, limit): (Timestamp, u16),
        settled: &mut Settled,
    ) -> Result<u16> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let find = tasks
            .find(doc! { "wt": ended.id, "s": { "$gte": 0 } })
            .limit(i64::from(limit))
            .projection(without_texts());
        let dependents: Vec<TaskRow> = self.connection.read_all(find).await?;
        let fate = if ended.status == status_number(TaskStatus::Completed) {
            Fate::Completed
        } else {
            Fate::Lost(ended.task_status()?)
        };
        let count = u16::try_from(dependents.len()).unwrap_or(u16::MAX);
        for row in dependents {
            let id = row.id;
            let told = self.tell_one(row, (ended.id, fate), now).await?;
            note(settled, id, told);
        }
        if count < limit {
            let filter = doc! { "_id": ended.id, "v": ended.version };
            let update = doc! { "$unset": { "tell": "" }, "$inc": { "v": 1_i64 } };
            self.connection.run(tasks.update_one(filter, update)).await?;
        }
        Ok(count)
    }

    async fn tell_one(&self, mut row: TaskRow, news: (Uuid, Fate), now: Timestamp) -> Result<Told> {
        let mut contention = Contention::default();
        loop {
            if !row.waits_for.contains(&news.0) {
                return Ok(Told::Nothing);
            }
            let told = self.tell_all(&row, &[news], now).await?;
            if told != Told::Missed {
                return Ok(told);
            }
            contention.again().await?;
            let own = Own {
                id: row.task_id(),
                owner: None,
            };
            match self.find_placed(own).await? {
                Some(again) => row = again,
                None => return Ok(Told::Nothing),
            }
        }
    }

    /// Removes up to `limit` tasks that ended before a moment, the first that ended first, but none that a task needs
    /// that hasn't ended.
    pub(super) async fn remove_finished(&self, finished_before: Timestamp, limit: u16) -> Result<u64> {
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let find = tasks
            .find(doc! { "fa": { "$lt": moment(finished_before) } })
            .sort(doc! { "fa": 1 })
            .projection(without_texts());
        let mut cursor = self.connection.run(find).await?;
        let mut removed: u64 = 0;
        while removed < u64::from(limit) && self.connection.run(cursor.advance()).await? {
            let row: TaskRow = cursor.deserialize_current().map_err(model::Error::bug)?;
            if row.has_dependents && self.has_unfinished_dependents(row.id).await? {
                continue;
            }
            self.relay(&row).await?;
            let filter = doc! {
                "_id": row.id,
                "v": row.version,
                "out": { "$exists": false },
                "fj": { "$exists": false },
            };
            removed =
                removed.saturating_add(self.connection.run(tasks.delete_one(filter)).await?.deleted_count);
        }
        Ok(removed)
    }
}

fn note(settled: &mut Settled, id: Uuid, told: Told) {
    if matches!(told, Told::Something | Told::Cancellation) {
        settled.told = settled.told.saturating_add(1);
    }
    if told == Told::Cancellation {
        settled.cancelled.push(TaskId::from_uuid(uuid(id)));
    }
}
