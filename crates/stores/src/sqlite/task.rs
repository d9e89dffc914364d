//! Tasks.

mod row;
mod place;
mod submit;
mod steer;
mod edit;
mod listing;
mod overview;
mod queue;
mod recurring;

use async_trait::async_trait;
use model::{
    Cancelled, Execution, NewTask, Page, PageRequest, Result, Submitted, Task, TaskChange, TaskFilter,
    TaskId, TaskOverview, TaskSort, TaskStore, Timestamp, UserId,
};

use serde_json::{Map, Value};

use self::steer::Own;
use super::{SqliteStore, execution::list_of_task};

#[async_trait]
impl TaskStore for SqliteStore {
    async fn submit_task(&self, task: NewTask) -> Result<Submitted> {
        submit::submit(self, task).await
    }

    async fn submit_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>> {
        submit::submit_all(self, tasks).await
    }

    async fn find_task(&self, id: TaskId, owner: Option<UserId>) -> Result<Option<Task>> {
        let own = Own { id, owner };
        self.readers.read(move |connection| own.find(connection)).await
    }

    async fn list_tasks(&self, filter: &TaskFilter, page: &PageRequest<TaskSort>) -> Result<Page<Task>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.readers
            .read(move |connection| listing::list(connection, &filter, &page))
            .await
    }

    async fn list_attempts(&self, id: TaskId, limit: u16) -> Result<Vec<Execution>> {
        self.readers
            .read(move |connection| Ok(list_of_task(connection, id, limit)?))
            .await
    }

    async fn update_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        change: TaskChange,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        edit::update(self, Own { id, owner }, change, now).await
    }

    async fn delete_task(&self, id: TaskId, owner: Option<UserId>) -> Result<Option<Task>> {
        steer::delete(self, Own { id, owner }).await
    }

    async fn cancel_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        now: Timestamp,
    ) -> Result<Option<Cancelled>> {
        steer::cancel(self, Own { id, owner }, now).await
    }

    async fn retry_task(&self, id: TaskId, owner: Option<UserId>, now: Timestamp) -> Result<Option<Task>> {
        steer::retry(self, Own { id, owner }, now).await
    }

    async fn hasten_task(&self, id: TaskId, owner: Option<UserId>, now: Timestamp) -> Result<Option<Task>> {
        steer::hasten(self, Own { id, owner }, now).await
    }

    async fn answer_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        answers: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        steer::answer(self, Own { id, owner }, answers.clone(), now).await
    }

    async fn task_overview(
        &self,
        owner: Option<UserId>,
        since: Timestamp,
        sample: u32,
    ) -> Result<TaskOverview> {
        self.readers
            .read(move |connection| overview::count(connection, owner, (since, sample)))
            .await
    }
}
