//! Taking tasks from workers that are gone.

use std::time::Duration;

use model::{
    CallTry, Error, ErrorCode, Execution, ExecutionId, ExecutionOutcome, Failure, Hold, Released, Result,
    Source, TaskEvent, TaskStatus, Timestamp, UserId,
};
use mongodb::bson::doc;
use uuid::{Builder, Uuid};

use crate::mongodb::{
    MongoStore,
    collection::TASKS,
    column::{moment, timestamp, uuid},
    execution::ExecutionRow,
    task::{change::Change, place::Place, row::TaskRow},
};

impl MongoStore {
    /// Takes up to `limit` tasks whose leases ended before a moment from their workers.
    pub(super) async fn release(
        &self,
        expired_before: Timestamp,
        now: Timestamp,
        limit: u16,
    ) -> Result<Vec<Released>> {
        let mut filter = doc! { "q": Place::Held.number() };
        if expired_before != Timestamp::MAX {
            filter.insert("lu", doc! { "$lt": moment(expired_before) });
        }
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        let find = tasks
            .find(filter)
            .sort(doc! { "lu": 1 })
            .limit(i64::from(limit))
            .projection(doc! { "d": 0, "r": 0 });
        let expired: Vec<TaskRow> = if limit == 0 {
            Vec::new()
        } else {
            self.connection.read_all(find).await?
        };
        let mut released = Vec::with_capacity(expired.len());
        for row in expired {
            // One that was changed meanwhile is renewed, ended, or another's to release.
            released.extend(self.give_up(&row, now).await?);
        }
        Ok(released)
    }

    async fn give_up(&self, row: &TaskRow, now: Timestamp) -> Result<Option<Released>> {
        let standing = row.standing()?.after(TaskEvent::Abandoned { due_at: now })?;
        let call = self.interrupted_call(row).await?;
        let hold = Hold {
            task: row.task_id(),
            attempt: standing.attempt,
        };
        let mut change = Change::to(row, standing, now)?;
        change.error = Some(Some(if standing.status == TaskStatus::Failed {
            Failure {
                code: ErrorCode::WorkerLost.as_str().to_owned(),
                message: format!(
                    "the task took its worker down with it {} times",
                    standing.stall_count
                ),
            }
        } else {
            interrupted()
        }));
        change.call = Some(Box::new(ExecutionRow::of(&call)?));
        if !self.change_task(row, change).await? {
            return Ok(None);
        }
        self.relay_call(hold, &call).await;
        let released = Released {
            hold,
            status: standing.status,
            plugin: call.plugin,
            action: call.action,
        };
        Ok(Some(released))
    }

    /// The call of an attempt whose worker is gone, as it is to stand in the history: that which is there, or one that
    /// only the worker knew of.
    async fn interrupted_call(&self, row: &TaskRow) -> Result<Execution> {
        let standing = row.standing()?;
        let attempt = CallTry {
            task_id: row.task_id(),
            attempt: standing.attempt,
        };
        let started_at = timestamp(row.started_at.unwrap_or(row.due_at));
        let known = self.find_execution_of_attempt(attempt).await?;
        let unknown = || unknown_call_id(uuid(row.id), standing.attempt, started_at);
        let name = |text: &Option<String>| text.clone().unwrap_or_default();
        // One that can't be read must not keep the others from being released.
        let payload = row
            .payload
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        Ok(Execution {
            id: known.map_or_else(|| ExecutionId::from_uuid(unknown()), |(id, _)| id),
            plugin: name(&row.plugin).parse().map_err(Error::bug)?,
            action: name(&row.action).parse().map_err(Error::bug)?,
            payload: payload.unwrap_or_default(),
            outcome: ExecutionOutcome::Failure(interrupted()),
            duration: Duration::ZERO,
            user_id: row.user_id.map(|owner| UserId::from_uuid(uuid(owner))),
            task: Some(attempt),
            source: Source::Task,
            ip_address: None,
            user_agent: None,
            created_at: started_at,
        })
    }
}

fn interrupted() -> Failure {
    Failure {
        code: ErrorCode::Interrupted.as_str().to_owned(),
        message: "the worker stopped before the end of this call was recorded".to_owned(),
    }
}

/// Names a call whose id went with its worker: a UUID of version 7 of the time when it began, with the attempt and
/// the random part of the task's id in it, so that each attempt has one of its own.
fn unknown_call_id(task: Uuid, attempt: u32, began_at: Timestamp) -> Uuid {
    let [_, _, _, _, _, _, _, _, random @ ..] = *task.as_bytes();
    let [_, _, high, low] = attempt.to_be_bytes();
    let mut bytes = [0; 10];
    for (to, from) in bytes.iter_mut().zip([high, low].into_iter().chain(random)) {
        *to = from;
    }
    let millis = u64::try_from(began_at.as_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}
