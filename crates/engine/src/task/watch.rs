//! Following a task on its way.

use std::time::Duration;

use model::{Permission, Principal, Result, Standing, Task, TaskId, UserId};

use crate::{parts::Engine, principal::visible_owner, queue::Waiter};

/// How often a task is looked at of which nobody told anything: it may have changed on another process.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows a task. Dropped, it leaves nothing behind.
pub struct TaskWatch {
    engine: Engine,
    owner: Option<UserId>,
    task: Task,
    waiter: Waiter,
}

impl Engine {
    /// Begins to follow a task. Whether the caller may see it is asked once, here.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub async fn watch_task(&self, principal: &Principal, id: TaskId) -> Result<TaskWatch> {
        principal.require(&Permission::ReadTasks)?;
        let owner = visible_owner(principal)?;
        let waiter = self.parts.queue.watch(id);
        Ok(TaskWatch {
            task: self.visible_task(principal, id).await?,
            engine: self.clone(),
            owner,
            waiter,
        })
    }
}

impl TaskWatch {
    /// The task as it was seen last: when the watch began, or as [`Self::changed`] gave it.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Waits until anything of the task is different from how it was seen last, and gives it as it is now; what came
    /// between is left out. `None` once it is removed. What happens on this process is seen at once, what happens on
    /// others within a second even when nothing is heard of it, and while the store can't be reached nothing is. An ended task is followed further,
    /// since a person may have it tried anew. May be dropped at any time without missing anything.
    pub async fn changed(&mut self) -> Option<Task> {
        let mut is_failing = false;
        loop {
            self.waiter.wait(LOOK_EVERY).await;
            let found = self.engine.parts.store.find_task(self.task.id, self.owner).await;
            match found {
                Ok(Some(task)) if is_as_seen(&task, &self.task) => is_failing = false,
                Ok(Some(task)) => {
                    self.task = task.clone();
                    return Some(task);
                }
                Ok(None) => return None,
                Err(error) => {
                    if !is_failing {
                        let cause = std::error::Error::source(&error);
                        tracing::debug!(task = %self.task.id, %error, cause, "a task that is watched can't be looked at");
                    }
                    is_failing = true;
                }
            }
        }
    }
}

/// Tells whether nothing of a task is different but until when its worker holds it.
fn is_as_seen(task: &Task, seen: &Task) -> bool {
    let unheld = |task: &Task| Standing {
        lease: None,
        ..task.standing
    };
    task.updated_at == seen.updated_at
        && unheld(task) == unheld(seen)
        && task.progress == seen.progress
        && task.inquiry == seen.inquiry
        && task.title == seen.title
        && task.description == seen.description
        && task.tags == seen.tags
        && task.recurrence == seen.recurrence
}
