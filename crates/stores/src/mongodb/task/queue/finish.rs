//! What a worker says of an attempt that it holds.

use std::collections::HashMap;

use model::{
    AttemptEnd, Error, ErrorCode, Execution, ExecutionOutcome, Failure, Hold, Progress, Result, TaskEnding,
    TaskEvent, TaskStatus, Timestamp, WorkerId,
};
use mongodb::bson::{Document, Uuid, doc};
use serde::Deserialize;

use crate::{
    json::to_json_text,
    mongodb::{
        MongoStore,
        collection::TASKS,
        column::{id, moment},
        contention::Contention,
        execution::ExecutionRow,
        task::{change::Change, depend::Own, place::Place, riders::Rider, row::TaskRow},
    },
};

/// The end of an attempt about to be recorded.
struct Finish<'a> {
    call: Option<(&'a Execution, Box<ExecutionRow>)>,
    result: Option<String>,
    error: Option<Option<Failure>>,
    inquiry: Option<String>,
}

impl<'a> Finish<'a> {
    /// Takes an ending apart.
    ///
    /// # Errors
    /// `Invalid` when the result of the call can't be kept; `Bug` when it hasn't ended.
    fn of(ending: &'a TaskEnding) -> Result<Self> {
        let mut result = None;
        let failure = match ending.execution.as_ref().map(|execution| &execution.outcome) {
            Some(ExecutionOutcome::Failure(failure)) => Some(failure.clone()),
            Some(ExecutionOutcome::Running) => {
                return Err(Error::bug("an attempt ended with a running call"));
            }
            Some(ExecutionOutcome::Success(value)) => {
                result = Some(to_json_text(value).map_err(|error| error.under("result"))?);
                None
            }
            None => ending.failure.clone(),
        };
        let has_asked = matches!(ending.end, AttemptEnd::Asked);
        if has_asked != ending.inquiry.is_some() {
            return Err(Error::bug("an attempt asks something exactly when it ended so"));
        }
        let inquiry = ending.inquiry.as_ref().map(serde_json::to_string).transpose();
        let call = match &ending.execution {
            Some(execution) => Some((execution, Box::new(ExecutionRow::of(execution)?))),
            None => None,
        };
        Ok(Self {
            call,
            result: result.filter(|_| ending.end == AttemptEnd::Succeeded),
            error: match ending.end {
                AttemptEnd::Succeeded | AttemptEnd::Asked => Some(None),
                AttemptEnd::FailedForGood | AttemptEnd::Failed { .. } => failure.map(Some),
                AttemptEnd::HandedBack { .. } => None,
            },
            inquiry: inquiry.map_err(Error::bug)?,
        })
    }
}

/// Which attempt holds a task.
#[derive(Deserialize)]
struct HeldRow {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(rename = "a")]
    attempt: i64,
}

impl MongoStore {
    /// Records the end of an attempt.
    pub(super) async fn finish(&self, hold: Hold, ending: &TaskEnding) -> Result<TaskStatus> {
        let finish = Finish::of(ending)?;
        let own = Own {
            id: hold.task,
            owner: None,
        };
        let mut contention = Contention::default();
        let mut remembered = self.tasks.let_go(hold);
        loop {
            // As it was when the attempt began. Was it changed since, then that shows when its end is written.
            let known = remembered.take();
            let was_known = known.is_some();
            let found = match known {
                Some(row) => Some(row),
                None => self.find_placed(own).await?,
            };
            let Some(row) = found else {
                return Err(late());
            };
            let standing = row.standing()?.after(TaskEvent::Ended {
                attempt: hold.attempt,
                end: ending.end,
            })?;
            let mut change = Change::to(&row, standing, ending.now)?;
            change.error.clone_from(&finish.error);
            change.inquiry.clone_from(&finish.inquiry);
            change.result.clone_from(&finish.result);
            change.call = finish.call.as_ref().map(|(_, call)| call.clone());
            if self.change_task(&row, change).await? {
                if let Some((execution, _)) = finish.call {
                    self.relay_call(hold, execution).await;
                }
                return Ok(standing.status);
            }
            if !was_known {
                contention.again().await?;
            }
        }
    }

    /// Brings the call that rides in a task into the history. That the attempt ended is durable: what fails here is done
    /// later.
    pub(super) async fn relay_call(&self, hold: Hold, execution: &Execution) {
        match self.settle_execution(execution).await {
            Ok(()) => self.riders.leave(Rider {
                task: id(hold.task.as_uuid()),
                call: id(execution.id.as_uuid()),
            }),
            Err(error) => {
                tracing::warn!(%error, task = %hold.task, "a call comes into the history later");
            }
        }
    }

    /// Makes leases last; gives the attempts that don't hold their tasks any more. What the condition says is what
    /// [`TaskEvent::Renewed`] asks for.
    pub(super) async fn renew(
        &self,
        worker: WorkerId,
        holds: &[Hold],
        lease_until: Timestamp,
    ) -> Result<Vec<Hold>> {
        if holds.is_empty() {
            return Ok(Vec::new());
        }
        let held = |hold: &Hold| doc! { "_id": id(hold.task.as_uuid()), "a": i64::from(hold.attempt) };
        let any: Vec<Document> = holds.iter().map(held).collect();
        let filter = doc! { "$or": any, "q": Place::Held.number(), "w": id(worker.as_uuid()) };
        let update = doc! { "$set": { "lu": moment(lease_until) }, "$inc": { "v": 1_i64 } };
        let tasks = self.connection.collection::<HeldRow>(TASKS);
        let renewed = self
            .connection
            .run(tasks.update_many(filter.clone(), update))
            .await?;
        if usize::try_from(renewed.matched_count).is_ok_and(|count| count == holds.len()) {
            return Ok(Vec::new());
        }
        let find = tasks.find(filter).projection(doc! { "a": 1 });
        let held: Vec<HeldRow> = self.connection.read_all(find).await?;
        let held: HashMap<Uuid, i64> = held.into_iter().map(|row| (row.id, row.attempt)).collect();
        let is_lost = |hold: &&Hold| held.get(&id(hold.task.as_uuid())) != Some(&i64::from(hold.attempt));
        Ok(holds.iter().filter(is_lost).copied().collect())
    }

    /// Keeps how far an attempt has come.
    ///
    /// # Errors
    /// `Conflict` when it doesn't hold the task any more.
    pub(super) async fn keep_progress(&self, hold: Hold, progress: &Progress, now: Timestamp) -> Result<()> {
        let text = serde_json::to_string(progress).map_err(Error::bug)?;
        let filter = doc! {
            "_id": id(hold.task.as_uuid()),
            "q": Place::Held.number(),
            "a": i64::from(hold.attempt),
        };
        let update = doc! { "$set": { "pg": text, "ua": moment(now) }, "$inc": { "v": 1_i64 } };
        let tasks = self.connection.collection::<TaskRow>(TASKS);
        if self
            .connection
            .run(tasks.update_one(filter, update))
            .await?
            .matched_count
            == 0
        {
            return Err(late());
        }
        Ok(())
    }
}

fn late() -> Error {
    let message = "the task is held by nobody, or by another attempt; this one is too late";
    Error::new(ErrorCode::Conflict, message)
}
