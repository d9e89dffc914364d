//! The history of calls. What a call was given and gave is kept as text, which the database does not look into.

mod row;
mod listing;
mod statistics;
mod record;

use std::time::Duration;

use ::mongodb::bson::{Document, Uuid, doc};
use async_trait::async_trait;
use model::{
    CallStatistics, CallTry, Error, ErrorCode, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome,
    ExecutionStatus, ExecutionStore, Failure, Page, PageRequest, Result, TaskId, Timestamp, ToolName, UserId,
};
use serde::Deserialize;

pub(super) use self::row::ExecutionRow;
use self::row::end_of;
use super::{
    MongoStore,
    collection::TASKS,
    column::{id, moment, uuid},
    failure::Fault,
    index::{Indexes, index, partial_index},
};

/// The collection of executions.
pub(super) const COLLECTION: &str = "execution";

/// The indexes of executions.
pub(super) fn indexes() -> Vec<Indexes> {
    let running = ExecutionStatus::Running.as_str();
    let indexes = vec![
        index(doc! { "u": 1, "_id": 1 }),
        index(doc! { "p": 1, "a": 1, "_id": 1 }),
        index(doc! { "c": 1, "_id": 1 }),
        // Statistics are read from this one alone.
        index(doc! { "p": 1, "a": 1, "u": 1, "st": 1, "d": 1, "c": 1 }),
        partial_index(doc! { "t": 1, "_id": 1 }, doc! { "t": { "$exists": true } }),
        partial_index(doc! { "st": 1, "c": 1 }, doc! { "st": running }),
    ];
    vec![(COLLECTION, indexes)]
}

/// The call of an attempt.
#[derive(Deserialize)]
struct AttemptRow {
    #[serde(rename = "_id")]
    id: Uuid,
    st: String,
}

#[async_trait]
impl ExecutionStore for MongoStore {
    async fn record_execution(&self, execution: Execution) -> Result<()> {
        let row = ExecutionRow::of(&execution)?;
        match self.executions.insert(&row).await {
            Err(fault) if fault.is_duplicate() => {
                let message = "an execution with this id is recorded already";
                Err(Error::new(ErrorCode::Conflict, message))
            }
            inserted => Ok(inserted?),
        }
    }

    async fn complete_execution(
        &self,
        execution: ExecutionId,
        outcome: ExecutionOutcome,
        duration: Duration,
    ) -> Result<()> {
        if self.end_running(execution, end_of(&outcome, duration)?).await? {
            return Ok(());
        }
        let message = "the execution isn't running any more; its first recorded end stands";
        Err(Error::new(ErrorCode::Conflict, message))
    }

    async fn find_execution(
        &self,
        execution: ExecutionId,
        owner: Option<UserId>,
    ) -> Result<Option<Execution>> {
        let mut filter = doc! { "_id": id(execution.as_uuid()) };
        if let Some(owner) = owner {
            filter.insert("u", id(owner.as_uuid()));
        }
        let collection = self.connection.collection::<ExecutionRow>(COLLECTION);
        let reading = collection.find_one(filter);
        let row = self.connection.run(reading).await?;
        row.map(ExecutionRow::into_execution).transpose()
    }

    async fn list_executions(
        &self,
        filter: &ExecutionFilter,
        page: &PageRequest<()>,
    ) -> Result<Page<Execution>> {
        self.list_calls(filter, page).await
    }

    async fn close_interrupted_executions(&self, accepted_before: Timestamp, limit: u32) -> Result<u64> {
        let ids = self.find_interrupted(accepted_before, limit).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let failure = Failure {
            code: ErrorCode::Interrupted.as_str().to_owned(),
            message: "the server stopped before the end of this call was recorded".to_owned(),
        };
        let end = end_of(&ExecutionOutcome::Failure(failure), Duration::ZERO)?;
        let collection = self.connection.collection::<Document>(COLLECTION);
        let closing = collection.update_many(
            doc! { "_id": { "$in": ids }, "st": ExecutionStatus::Running.as_str() },
            doc! { "$set": end },
        );
        Ok(self.connection.run(closing).await?.modified_count)
    }

    async fn call_statistics(
        &self,
        tools: &[ToolName],
        caller: Option<UserId>,
    ) -> Result<Vec<CallStatistics>> {
        self.count_calls(tools, caller).await
    }
}

/// What tasks ask of the history.
impl MongoStore {
    /// Adds an ended execution, or ends it when it is recorded as running; one that has ended stays as it is. So this
    /// can be repeated.
    pub(super) async fn settle_execution(&self, execution: &Execution) -> Result<()> {
        let row = ExecutionRow::of(execution)?;
        match self.executions.insert(&row).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.is_duplicate() => {
                if execution.outcome != ExecutionOutcome::Running {
                    let end = end_of(&execution.outcome, execution.duration)?;
                    self.end_running(execution.id, end).await?;
                }
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// The last up to `limit` calls that were made for a task, the latest first, as many as fit on a page.
    pub(super) async fn executions_of_task(&self, task: TaskId, limit: u16) -> Result<Vec<Execution>> {
        let collection = self.connection.collection::<ExecutionRow>(COLLECTION);
        let listing = collection
            .find(doc! { "t": id(task.as_uuid()) })
            .sort(doc! { "_id": -1 })
            .limit(i64::from(limit.max(1)))
            .max_time(self.connection.limit());
        let fitting = self.connection.run(listing::read_fitting(listing)).await?;
        let executions = fitting.into_entries().into_iter();
        executions.map(ExecutionRow::into_execution).collect()
    }

    /// The call that was recorded of an attempt, and whether it is recorded as running.
    pub(super) async fn find_execution_of_attempt(
        &self,
        attempt: CallTry,
    ) -> Result<Option<(ExecutionId, bool)>> {
        let collection = self.connection.collection::<AttemptRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "t": id(attempt.task_id.as_uuid()), "n": i64::from(attempt.attempt) })
            .projection(doc! { "st": 1 });
        let found = self.connection.run(reading).await?;
        Ok(found.map(|row| {
            let is_running = row.st == ExecutionStatus::Running.as_str();
            (ExecutionId::from_uuid(uuid(row.id)), is_running)
        }))
    }

    async fn end_running(&self, execution: ExecutionId, end: Document) -> Result<bool, Fault> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let ending = collection.update_one(
            doc! { "_id": id(execution.as_uuid()), "st": ExecutionStatus::Running.as_str() },
            doc! { "$set": end },
        );
        Ok(self.connection.run(ending).await?.matched_count > 0)
    }

    /// Finds executions that still run though they should have ended, and of which no attempt that holds its task, or
    /// whose end waits in the task's document, will tell the end.
    async fn find_interrupted(&self, accepted_before: Timestamp, limit: u32) -> Result<Vec<Uuid>, Fault> {
        let holds = doc! { "$and": [{ "$eq": ["$q", 0] }, { "$eq": ["$a", "$$attempt"] }] };
        let will_tell = doc! { "$or": [holds, { "$gt": [{ "$size": { "$ifNull": ["$out", []] } }, 0] }] };
        let held = doc! { "$lookup": {
            "from": TASKS,
            "localField": "t",
            "foreignField": "_id",
            "let": { "attempt": "$n" },
            "pipeline": [{ "$match": { "$expr": will_tell } }, { "$project": { "_id": 1 } }],
            "as": "held",
        } };
        let collection = self.connection.collection::<Document>(COLLECTION);
        let finding = collection
            .aggregate([
                doc! { "$match": {
                    "st": ExecutionStatus::Running.as_str(),
                    "c": { "$lt": moment(accepted_before) },
                } },
                doc! { "$project": { "t": { "$ifNull": ["$t", "none"] }, "n": 1, "st": 1 } },
                held,
                doc! { "$match": { "held": { "$size": 0 } } },
                doc! { "$limit": i64::from(limit.max(1)) },
                doc! { "$project": { "st": 1 } },
            ])
            .max_time(self.connection.limit())
            .with_type::<AttemptRow>();
        let rows = self.connection.read_all(finding).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }
}
