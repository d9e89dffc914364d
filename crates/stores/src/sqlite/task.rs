//! Tasks.

mod row;
mod place;
mod submit;
mod queue;
mod recurring;

use async_trait::async_trait;
use model::{
    Cancelled, Error, Execution, NewTask, Page, PageRequest, Result, Submitted, Task, TaskChange, TaskFilter,
    TaskId, TaskOverview, TaskSort, TaskStore, Timestamp, UserId,
};

use super::SqliteStore;

fn unbuilt() -> Error {
    Error::unavailable("not built yet")
}

#[async_trait]
impl TaskStore for SqliteStore {
    async fn submit_task(&self, task: NewTask) -> Result<Submitted> {
        submit::submit(self, task).await
    }

    async fn submit_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>> {
        submit::submit_all(self, tasks).await
    }

    async fn find_task(&self, _id: TaskId, _owner: Option<UserId>) -> Result<Option<Task>> {
        Err(unbuilt())
    }

    async fn list_tasks(&self, _filter: &TaskFilter, _page: &PageRequest<TaskSort>) -> Result<Page<Task>> {
        Err(unbuilt())
    }

    async fn list_attempts(&self, _id: TaskId, _limit: u16) -> Result<Vec<Execution>> {
        Err(unbuilt())
    }

    async fn update_task(
        &self,
        _id: TaskId,
        _owner: Option<UserId>,
        _change: TaskChange,
        _now: Timestamp,
    ) -> Result<Option<Task>> {
        Err(unbuilt())
    }

    async fn delete_task(&self, _id: TaskId, _owner: Option<UserId>) -> Result<Option<Task>> {
        Err(unbuilt())
    }

    async fn cancel_task(
        &self,
        _id: TaskId,
        _owner: Option<UserId>,
        _now: Timestamp,
    ) -> Result<Option<Cancelled>> {
        Err(unbuilt())
    }

    async fn retry_task(&self, _id: TaskId, _owner: Option<UserId>, _now: Timestamp) -> Result<Option<Task>> {
        Err(unbuilt())
    }

    async fn hasten_task(
        &self,
        _id: TaskId,
        _owner: Option<UserId>,
        _now: Timestamp,
    ) -> Result<Option<Task>> {
        Err(unbuilt())
    }

    async fn task_overview(
        &self,
        _owner: Option<UserId>,
        _since: Timestamp,
        _sample: u32,
    ) -> Result<TaskOverview> {
        Err(unbuilt())
    }
}
