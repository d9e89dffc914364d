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

use crate::mongodb::MongoStore;

#[async_trait]
impl TaskQueue for MongoStore {
    async fn claim_tasks(&self, request: ClaimRequest) -> Result<Claimed> {
        self.claim(&request).await
    }

    async fn renew_leases(
        &self,
        worker: WorkerId,
        holds: &[Hold],
        lease_until: Timestamp,
    ) -> Result<Vec<Hold>> {
        self.renew(worker, holds, lease_until).await
    }

    async fn finish_task(&self, hold: Hold, ending: &TaskEnding) -> Result<TaskStatus> {
        self.finish(hold, ending).await
    }

    async fn release_expired(
        &self,
        expired_before: Timestamp,
        now: Timestamp,
        limit: u16,
    ) -> Result<Vec<Released>> {
        self.release(expired_before, now, limit).await
    }

    async fn report_progress(&self, hold: Hold, progress: Progress, now: Timestamp) -> Result<()> {
        self.keep_progress(hold, &progress, now).await
    }

    async fn settle_dependents(&self, now: Timestamp, limit: u16) -> Result<Settled> {
        self.settle(now, limit).await
    }

    async fn remove_finished_tasks(&self, finished_before: Timestamp, limit: u16) -> Result<u64> {
        self.remove_finished(finished_before, limit).await
    }

    async fn queue_depth(&self) -> Result<QueueDepth> {
        self.depth().await
    }
}
