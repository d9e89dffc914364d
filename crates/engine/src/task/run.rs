//! Running a task now, and waiting for its end.

use std::time::Duration;

use model::{Permission, Principal, Result, Task, TaskId, TaskStatus};
use tokio::time::Instant;

use crate::{
    ownership::{no_such_task, require_call_of},
    parts::Engine,
    principal::visible_owner,
};

/// The longest time that a caller can wait for the end of a task.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often a task is looked at whose end nobody told: it may have ended on another process.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A task that was to run now.
#[derive(Clone, Debug)]
pub struct TaskRun {
    /// The task, as it was when the waiting was over.
    pub task: Task,
    /// Whether it has come into a final state.
    pub has_ended: bool,
}

impl Engine {
    /// Makes a pending job due now, and waits for its end, retries included, for up to `wait` and 60 s at most. One
    /// that is running already is waited for. A caller that goes away leaves the task as it is. One that waits for
    /// answers is waited for no longer, and neither is, when this process stops, one that hasn't begun.
    ///
    /// # Errors
    /// `NotFound`, also when it is removed meanwhile; `Forbidden` without the permission to call its plugin;
    /// `Conflict` when it has ended, or isn't a job.
    pub async fn run_task(&self, principal: &Principal, id: TaskId, wait: Duration) -> Result<TaskRun> {
        principal.require(&Permission::WriteTasks)?;
        require_call_of(principal, &self.visible_task(principal, id).await?)?;
        let owner = visible_owner(principal)?;
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        let mut waiter = self.parts.queue.subscribe(id);
        let hastened = self.parts.store.hasten_task(id, owner, self.parts.clock.now());
        let mut task = self.waking(hastened).await?.ok_or_else(no_such_task)?;
        self.parts.queue.announce_change(id);
        loop {
            let status = task.standing.status;
            let has_ended = status.is_final();
            let left = deadline.saturating_duration_since(Instant::now());
            let is_held_up = task.standing.awaits_input || self.parts.queue.is_stopping();
            let is_in_vain = status == TaskStatus::Pending && is_held_up;
            if has_ended || left.is_zero() || is_in_vain {
                return Ok(TaskRun { task, has_ended });
            }
            waiter.wait(left.min(LOOK_EVERY)).await;
            task = self.visible_task(principal, id).await?;
        }
    }
}
