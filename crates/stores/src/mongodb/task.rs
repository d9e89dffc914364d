//! Tasks.
//!
//! All that decides what may become of a task is in its document, with a version: a step reads it, asks
//! [`model::Standing::after`], and writes under the condition that the version is still the same. What belongs elsewhere
//! rides in the document until it was brought there.

mod place;
mod row;
mod branches;
mod turn;
mod due;
mod changes;
mod riders;
mod change;
mod depend;
mod submit;
mod relay;
mod steer;
mod edit;
mod listing;
mod overview;
mod queue;
mod recurring;
mod record;

use ::mongodb::{
    IndexModel,
    bson::{Document, doc},
    options::IndexOptions,
};
use async_trait::async_trait;
use model::{
    Cancelled, Execution, NewTask, Page, PageRequest, Result, Submitted, Task, TaskChange, TaskFilter,
    TaskId, TaskOverview, TaskSort, TaskStore, Timestamp, UserId,
};
use serde_json::{Map, Value};

pub(super) use self::row::TaskRow;
pub(super) use self::{changes::GroupedChanges, riders::GroupedRiders, turn::Tasks};
use self::{depend::Own, turn::TURNS};
use super::{MongoStore, collection::TASKS};

/// The indexes of the collections of tasks.
pub(super) fn indexes() -> Vec<(&'static str, Vec<IndexModel>)> {
    let exists = |field: &str| {
        let mut filter = Document::new();
        filter.insert(field, doc! { "$exists": true });
        filter
    };
    let plain = |keys: Document| IndexModel::builder().keys(keys).build();
    let partial = |keys: Document, filter: Document| {
        let options = IndexOptions::builder().partial_filter_expression(filter).build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    let unique = {
        let options = IndexOptions::builder()
            .unique(true)
            .partial_filter_expression(exists("ul"))
            .build();
        let keys = doc! { "u": 1, "ul": 1 };
        IndexModel::builder().keys(keys).options(options).build()
    };
    let tasks = vec![
        unique,
        // Lists.
        plain(doc! { "u": 1, "s": 1, "_id": 1 }),
        plain(doc! { "s": 1, "_id": 1 }),
        partial(doc! { "sch": 1, "_id": 1 }, exists("sch")),
        partial(doc! { "at": 1 }, exists("at")),
        // Numbers.
        plain(doc! { "s": 1, "p": 1, "l": 1 }),
        partial(doc! { "fa": -1 }, exists("fa")),
        partial(doc! { "q": 1, "p": 1 }, exists("q")),
        partial(doc! { "ra": 1 }, doc! { "q": 1 }),
        // The queue.
        partial(doc! { "q": 1, "p": 1, "l": 1, "n": 1, "_id": 1 }, doc! { "q": 1 }),
        partial(doc! { "q": 1, "p": 1, "u": 1 }, doc! { "q": 1 }),
        partial(doc! { "q": 1, "p": 1, "due": 1, "_id": 1 }, doc! { "q": 2 }),
        partial(doc! { "q": 1, "lu": 1 }, doc! { "q": 0 }),
        partial(doc! { "rn": 1, "_id": 1 }, exists("rn")),
        // What is to be done later.
        partial(doc! { "tell": 1, "_id": 1 }, exists("tell")),
        partial(doc! { "chk": 1 }, exists("chk")),
        partial(doc! { "b": 1 }, exists("b")),
        partial(doc! { "out._id": 1 }, exists("out")),
        partial(doc! { "fj.at": 1 }, exists("fj")),
        // Dependencies.
        partial(doc! { "dp": 1, "s": 1 }, exists("dp")),
        partial(doc! { "wt": 1 }, exists("wt")),
    ];
    vec![(TASKS, tasks), (TURNS, vec![plain(doc! { "p": 1, "n": -1 })])]
}

#[async_trait]
impl TaskStore for MongoStore {
    async fn submit_task(&self, task: NewTask) -> Result<Submitted> {
        submit::submit(self, &task).await
    }

    async fn submit_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<Submitted>> {
        submit::submit_all(self, &tasks).await
    }

    async fn find_task(&self, id: TaskId, owner: Option<UserId>) -> Result<Option<Task>> {
        let row = self.find_task_row(Own { id, owner }).await?;
        row.map(TaskRow::into_task).transpose()
    }

    async fn list_tasks(&self, filter: &TaskFilter, page: &PageRequest<TaskSort>) -> Result<Page<Task>> {
        self.list(filter, page).await
    }

    async fn list_attempts(&self, id: TaskId, limit: u16) -> Result<Vec<Execution>> {
        self.executions_of_task(id, limit).await
    }

    async fn update_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        change: TaskChange,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        self.edit(Own { id, owner }, &change, now).await
    }

    async fn delete_task(&self, id: TaskId, owner: Option<UserId>) -> Result<Option<Task>> {
        self.delete(Own { id, owner }).await
    }

    async fn cancel_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        now: Timestamp,
    ) -> Result<Option<Cancelled>> {
        self.cancel(Own { id, owner }, now).await
    }

    async fn retry_task(&self, id: TaskId, owner: Option<UserId>, now: Timestamp) -> Result<Option<Task>> {
        self.retry_anew(Own { id, owner }, now).await
    }

    async fn hasten_task(&self, id: TaskId, owner: Option<UserId>, now: Timestamp) -> Result<Option<Task>> {
        self.hasten(Own { id, owner }, now).await
    }

    async fn answer_task(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        answers: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Option<Task>> {
        self.answer(Own { id, owner }, answers, now).await
    }

    async fn task_overview(
        &self,
        owner: Option<UserId>,
        since: Timestamp,
        sample: u32,
    ) -> Result<TaskOverview> {
        self.overview(owner, (since, sample)).await
    }
}
