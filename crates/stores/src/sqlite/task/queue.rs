//! The queue of tasks.

mod pick;
mod claim;
mod finish;
mod release;
mod settle;
mod depth;

use async_trait::async_trait;
use model::{
    ClaimRequest, Claimed, Hold, Progress, QueueDepth, Released, Result, Settled, TaskEnding, TaskQueue,
    TaskStatus, Timestamp, WorkerId,
};

use self::finish::Finish;
use crate::sqlite::{SqliteStore, failure::Fault};

#[async_trait]
impl TaskQueue for SqliteStore {
    async fn claim_tasks(&self, request: ClaimRequest) -> Result<Claimed> {
        let claimed = self
            .writer
            .count(move |connection, ledger| claim::claim(connection, &mut ledger.tasks, &request))
            .await?;
        Ok(claimed.into_claimed())
    }

    async fn renew_leases(
        &self,
        worker: WorkerId,
        holds: &[Hold],
        lease_until: Timestamp,
    ) -> Result<Vec<Hold>> {
        let holds = holds.to_vec();
        self.writer
            .count(move |connection, _| {
                finish::renew(connection, worker, &holds, lease_until).map_err(Fault::Torn)
            })
            .await
    }

    async fn finish_task(&self, hold: Hold, ending: &TaskEnding) -> Result<TaskStatus> {
        let finish = Finish::of(hold, ending)?;
        self.writer
            .count(move |connection, ledger| finish.write(connection, ledger))
            .await
    }

    async fn release_expired(
        &self,
        expired_before: Timestamp,
        now: Timestamp,
        limit: u16,
    ) -> Result<Vec<Released>> {
        self.writer
            .count(move |connection, ledger| {
                release::release(connection, ledger, (expired_before, now), limit)
            })
            .await
    }

    async fn report_progress(&self, hold: Hold, progress: Progress, now: Timestamp) -> Result<()> {
        let text = serde_json::to_string(&progress).map_err(model::Error::bug)?;
        self.writer
            .count(move |connection, _| finish::keep_progress(connection, hold, &text, now))
            .await
    }

    async fn settle_dependents(&self, now: Timestamp, limit: u16) -> Result<Settled> {
        self.writer
            .count(move |connection, ledger| settle::settle(connection, &mut ledger.tasks, now, limit))
            .await
    }

    async fn remove_finished_tasks(&self, finished_before: Timestamp, limit: u16) -> Result<u64> {
        self.writer
            .count(move |connection, ledger| {
                settle::remove_finished(connection, &mut ledger.tasks, finished_before, limit)
            })
            .await
    }

    async fn queue_depth(&self) -> Result<QueueDepth> {
        self.writer
            .count(|connection, ledger| Ok(depth::measure(connection, ledger.tasks.lanes(connection)?)?))
            .await
    }
}

#[cfg(test)]
mod tests;
