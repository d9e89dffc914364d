//! Tasks: what people do with them, and the worker that does them.

mod reference;
mod payload;
mod submit;
mod list;
mod change;
mod run;
mod settle;
mod backoff;
mod progress;
mod lease;
mod attempt;
mod agenda;
mod worker;

use model::{Error, Permission, Principal, Result, Task, TaskId};

use crate::{parts::Engine, principal::visible_owner, queue::once_sent};

pub use agenda::ClaimStep;
pub use change::TaskUpdate;
pub use run::TaskRun;
pub use submit::TaskRequest;
pub use worker::Worker;

impl Engine {
    /// Looks a task up, as a caller sees it.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    async fn visible_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        let owner = visible_owner(principal)?;
        let found = self.parts.store.find_task(id, owner).await?;
        found.ok_or_else(no_such_task)
    }

    /// Does a write after which there may be something to claim.
    ///
    /// The worker is woken once the write is on its way, so that its claim becomes durable together with it; and
    /// again when it is durable, in case that the claim came too early.
    async fn waking<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        let queue = &self.parts.queue;
        let done = once_sent(write, || queue.nudge()).await;
        queue.nudge();
        done
    }
}

/// Passes when the caller may have done what the task does: whoever lets it run, or changes what, when or how,
/// needs no less than whoever calls the plugin at once.
fn require_call_of(principal: &Principal, task: &Task) -> Result<()> {
    match &task.job {
        Some(job) => principal.require(&Permission::ExecutePlugin(job.plugin.clone())),
        None => Ok(()),
    }
}

fn no_such_task() -> Error {
    Error::not_found("task")
}
