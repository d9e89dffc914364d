//! What becomes of a task by its owner's hand.

use std::time::Duration;

use model::{
    Detail, Error, Job, Permission, Principal, Priority, Result, Tags, Task, TaskChange, TaskDescription,
    TaskId, TaskKind, TaskStatus, TaskTitle, Timestamp,
};
use serde_json::Value;

use super::submit::{require_bounds, require_near};
use crate::{
    ownership::{no_such_task, require_call_of},
    parts::Engine,
    principal::visible_owner,
    schedule::ScheduleUpdate,
};

/// A change of a task. What is `None` stays; the inner `None` removes.
#[derive(Clone, Debug, Default)]
pub struct TaskUpdate {
    /// Another title.
    pub title: Option<TaskTitle>,
    /// Another description.
    pub description: Option<Option<TaskDescription>>,
    /// Other tags.
    pub tags: Option<Tags>,
    /// Another priority.
    pub priority: Option<Priority>,
    /// Another payload.
    pub payload: Option<Value>,
    /// Another time to start, at most 100 years ahead.
    pub scheduled_at: Option<Option<Timestamp>>,
    /// Another number of retries, at most 100.
    pub max_retries: Option<u16>,
    /// Another number of lost workers, at most 100.
    pub max_stalls: Option<u16>,
    /// Another time limit, 1 ms to 24 h.
    pub timeout: Option<Option<Duration>>,
    /// How far a to-do is.
    pub status: Option<TaskStatus>,
    /// When jobs come of a recurring task. Changed alone: it is a step of its own.
    pub schedule: Option<ScheduleUpdate>,
}

impl Engine {
    /// Changes a task, and gives it as it is then. A new payload is checked as at first.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` with the path of what is wrong; `Forbidden` when what it does is to change, without
    /// the permission to call its plugin; `Conflict` when that can't change now: its work has begun or ended, or its
    /// status isn't for people to move.
    pub async fn update_task(&self, principal: &Principal, id: TaskId, update: TaskUpdate) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        let task = self.visible_task(principal, id).await?;
        let owner = visible_owner(principal)?;
        require_fitting(&update, &task)?;
        let (change, schedule) = update.split();
        let is_new_work = change.changes_definition() || schedule.is_some();
        if is_new_work {
            require_call_of(principal, &task)?;
        }
        if let Some(schedule) = schedule {
            let changed = self.change_schedule(id, owner, &schedule).await;
            return changed.map_err(|error| error.under("schedule"));
        }
        let now = self.parts.clock.now();
        self.require_acceptable(&change, &task, now)?;
        let write = self.parts.store.update_task(id, owner, change, now);
        let changed = if is_new_work {
            self.waking(write).await?
        } else {
            write.await?
        };
        let changed = changed.ok_or_else(no_such_task)?;
        self.tell_of_change(&changed);
        Ok(changed)
    }

    /// Removes a task; gives it as it was. What came of a recurring one stays, and so do its calls in the history.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while a worker is at it, or a pending task depends on it.
    pub async fn delete_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        let owner = visible_owner(principal)?;
        let removed = self.parts.store.delete_task(id, owner).await?;
        let removed = removed.ok_or_else(no_such_task)?;
        self.parts.queue.announce_end(id);
        Ok(removed)
    }

    /// Calls a task off for good: one that waits never starts, one that runs is stopped, and its call recorded as
    /// cancelled. What depends on it is cancelled too, a moment later.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    pub async fn cancel_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        let owner = visible_owner(principal)?;
        let now = self.parts.clock.now();
        let cancelled = self.parts.store.cancel_task(id, owner, now).await?;
        let cancelled = cancelled.ok_or_else(no_such_task)?;
        let attempt = cancelled.task.standing.attempt;
        // Also when none holds it: one that lost it may not have heard of that yet.
        if attempt > 0 {
            self.parts.queue.stop_attempt(id, attempt);
        }
        self.tell_of_change(&cancelled.task);
        Ok(cancelled.task)
    }

    /// Makes a failed or cancelled task pending again, with all its retries and due now, as if nothing had been asked
    /// yet. It waits for those of the tasks that it depends on that haven't ended.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` without the permission to call its plugin; `Conflict` when it is in another state, is
    /// recurring, its unique key is taken meanwhile, or a task that it depends on has failed or been cancelled: that
    /// one is to be retried first.
    pub async fn retry_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        let task = self.visible_task(principal, id).await?;
        require_call_of(principal, &task)?;
        let owner = visible_owner(principal)?;
        // Before it waits for them: they may end right then.
        self.parts.queue.note_dependencies(&task.depends_on);
        let retried = self.parts.store.retry_task(id, owner, self.parts.clock.now());
        let retried = self.waking(retried).await?.ok_or_else(no_such_task)?;
        self.tell_of_change(&retried);
        Ok(retried)
    }

    /// Wakes who watches a task, and who waits for one that has ended.
    fn tell_of_change(&self, task: &Task) {
        if task.standing.status.is_final() {
            self.parts.queue.announce_end(task.id);
        } else {
            self.parts.queue.announce_change(task.id);
        }
    }

    fn require_acceptable(&self, change: &TaskChange, task: &Task, now: Timestamp) -> Result<()> {
        require_bounds(change.max_retries, change.max_stalls, change.timeout.flatten())?;
        require_near(change.scheduled_at.flatten(), now)?;
        match (&change.payload, &task.job) {
            (Some(payload), Some(job)) => {
                let job = Job {
                    payload: payload.clone(),
                    ..job.clone()
                };
                self.require_workable(&job, &task.depends_on)
            }
            (Some(_), None) | (None, _) => Ok(()),
        }
    }
}

impl TaskUpdate {
    fn split(self) -> (TaskChange, Option<ScheduleUpdate>) {
        let change = TaskChange {
            title: self.title,
            description: self.description,
            tags: self.tags,
            priority: self.priority,
            payload: self.payload,
            scheduled_at: self.scheduled_at,
            max_retries: self.max_retries,
            max_stalls: self.max_stalls,
            timeout: self.timeout,
            status: self.status,
        };
        (change, self.schedule)
    }

    /// Tells whether anything but the schedule is to change.
    fn changes_more(&self) -> bool {
        let Self {
            title,
            description,
            tags,
            status,
            ..
        } = self;
        let named = title.is_some() || description.is_some() || tags.is_some() || status.is_some();
        let (change, _) = self.clone().split();
        named || change.changes_definition()
    }
}

/// Refuses what has no meaning for this kind of task.
fn require_fitting(update: &TaskUpdate, task: &Task) -> Result<()> {
    let refused: Vec<(&str, bool)> = match task.standing.kind {
        TaskKind::ToDo => vec![
            ("payload", update.payload.is_some()),
            ("maxRetries", update.max_retries.is_some()),
            ("maxStalls", update.max_stalls.is_some()),
            ("timeoutMs", update.timeout.is_some()),
            ("schedule", update.schedule.is_some()),
        ],
        TaskKind::Job => vec![("schedule", update.schedule.is_some())],
        TaskKind::Recurring => vec![("scheduledAt", update.scheduled_at.is_some())],
    };
    let message = match task.standing.kind {
        TaskKind::ToDo => "can be given for a task with a plugin only",
        TaskKind::Job => "can be given for a recurring task only",
        TaskKind::Recurring => "can't be given for a recurring task; its schedule says when",
    };
    let details = refused
        .into_iter()
        .filter(|(_, is_given)| *is_given)
        .map(|(path, _)| Detail {
            path: path.to_owned(),
            message: message.to_owned(),
        });
    let details: Vec<_> = details.collect();
    if !details.is_empty() {
        return Err(Error::invalid_fields(details));
    }
    if update.schedule.is_some() && update.changes_more() {
        return Err(Error::invalid(
            "schedule",
            "must be changed in a request of its own",
        ));
    }
    Ok(())
}
