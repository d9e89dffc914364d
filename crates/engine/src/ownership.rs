//! Whose a task is, and what more it takes to let it run.

use model::{Error, Permission, Principal, Result, Task, TaskId};

use crate::{parts::Engine, principal::visible_owner};

impl Engine {
    /// Looks a task up, as a caller sees it.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub(crate) async fn visible_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        let owner = visible_owner(principal)?;
        let found = self.parts.store.find_task(id, owner).await?;
        found.ok_or_else(no_such_task)
    }
}

/// Passes when the caller may have done what the task does: whoever lets it run, or changes what, when or how,
/// needs no less than whoever calls the plugin at once.
pub(crate) fn require_call_of(principal: &Principal, task: &Task) -> Result<()> {
    match &task.job {
        Some(job) => principal.require(&Permission::ExecutePlugin(job.plugin.clone())),
        None => Ok(()),
    }
}

/// Says that there is no such task, or that it is another's.
pub(crate) fn no_such_task() -> Error {
    Error::not_found("task")
}
