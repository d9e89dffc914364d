//! Tasks as people see them.

use std::time::Duration;

use model::{
    Error, Execution, Permission, Principal, Result, Task, TaskFilter, TaskId, TaskOverview, TaskSort,
};

use crate::{
    cursor::{ListScope, Listing, PageQuery},
    parts::Engine,
    principal::visible_owner,
};

/// The most attempts at one task that are shown.
const MOST_ATTEMPTS: u16 = 100;

/// From how many of the jobs that ended last times are taken.
const SAMPLE: u32 = 10_000;

impl Engine {
    /// How far back the part of [`Self::task_overview`] looks that is about jobs that ended.
    pub const OVERVIEW_SPAN: Duration = Duration::from_secs(60 * 60);

    /// Lists tasks: one's own, or everyone's for an admin.
    ///
    /// # Errors
    /// `Invalid` for a `user_id` in the filter of anyone but an admin, and for a foreign cursor.
    pub async fn list_tasks(
        &self,
        principal: &Principal,
        filter: TaskFilter,
        page: PageQuery<TaskSort>,
    ) -> Result<Listing<Task>> {
        principal.require(&Permission::ReadTasks)?;
        let filter = narrow(principal, filter)?;
        let list = ListScope {
            name: "tasks",
            subject: principal.subject,
            filter: &filter,
        };
        let request = self.parts.cursors.request(&list, &page)?;
        let found = self.parts.store.list_tasks(&filter, &request).await?;
        self.parts.cursors.listing(&list, &page, found)
    }

    /// Reads a task: one's own, or any for an admin.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub async fn read_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        principal.require(&Permission::ReadTasks)?;
        self.visible_task(principal, id).await
    }

    /// Lists the last 100 calls that were made for a task, the latest first.
    ///
    /// # Errors
    /// As [`Self::read_task`].
    pub async fn task_attempts(&self, principal: &Principal, id: TaskId) -> Result<Vec<Execution>> {
        principal.require(&Permission::ReadTasks)?;
        let task = self.visible_task(principal, id).await?;
        self.parts.store.list_attempts(task.id, MOST_ATTEMPTS).await
    }

    /// Gives one's own tasks, or everyone's for an admin, in numbers. Times are those of the last 10,000 jobs at
    /// most that ended within [`Self::OVERVIEW_SPAN`].
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    pub async fn task_overview(&self, principal: &Principal) -> Result<TaskOverview> {
        principal.require(&Permission::ReadTasks)?;
        let owner = visible_owner(principal)?;
        let since = self.parts.clock.now().minus(Self::OVERVIEW_SPAN);
        self.parts.store.task_overview(owner, since, SAMPLE).await
    }
}

fn narrow(principal: &Principal, filter: TaskFilter) -> Result<TaskFilter> {
    match visible_owner(principal)? {
        None => Ok(filter),
        Some(_) if filter.user_id.is_some() => Err(Error::invalid("userId", "can be given by an admin only")),
        own => Ok(TaskFilter {
            user_id: own,
            ..filter
        }),
    }
}
