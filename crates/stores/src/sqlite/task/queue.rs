//! The queue of tasks.

use async_trait::async_trait;
use model::{
    ClaimRequest, Claimed, Hold, Progress, QueueDepth, Released, Result, Settled, TaskEnding, TaskQueue,
    TaskStatus, Timestamp, WorkerId,
};

use super::unbuilt;
use crate::sqlite::SqliteStore;

#[async_trait]
impl TaskQueue for SqliteStore {
    async fn claim_tasks(&self, _request: ClaimRequest) -> Result<Claimed> {
        Err(unbuilt())
    }

    async fn renew_leases(
        &self,
        _worker: WorkerId,
        _holds: &[Hold],
        _lease_until: Timestamp,
    ) -> Result<Vec<Hold>> {
        Err(unbuilt())
    }

    async fn finish_task(&self, _hold: Hold, _ending: TaskEnding) -> Result<TaskStatus> {
        Err(unbuilt())
    }

    async fn release_expired(
        &self,
        _expired_before: Timestamp,
        _now: Timestamp,
        _limit: u16,
    ) -> Result<Vec<Released>> {
        Err(unbuilt())
    }

    async fn report_progress(&self, _hold: Hold, _progress: Progress, _now: Timestamp) -> Result<()> {
        Err(unbuilt())
    }

    async fn settle_dependents(&self, _now: Timestamp, _limit: u16) -> Result<Settled> {
        Err(unbuilt())
    }

    async fn remove_finished_tasks(&self, _finished_before: Timestamp, _limit: u16) -> Result<u64> {
        Err(unbuilt())
    }

    async fn queue_depth(&self) -> Result<QueueDepth> {
        Err(unbuilt())
    }
}
