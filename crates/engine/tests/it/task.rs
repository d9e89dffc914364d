//! Tasks, as people handle them. What a worker does stands in for itself here: jobs are claimed and ended by hand.

mod submit;
mod once;
mod list;
mod change;
mod run;
mod watch;
mod dependency;
mod reference;
mod retention;

use std::time::Duration;

use engine::TaskRequest;
use model::{
    ActionName, AttemptEnd, CallTry, ClaimRequest, Clock as _, Error, Execution, ExecutionId,
    ExecutionOutcome, Failure, PluginName, Principal, Priority, Result, Source, Tags, Task, TaskEnding,
    TaskFilter, TaskId, TaskQueue as _, TaskSort, TaskTitle, WorkerId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    fixture::first_page,
    shop::{Shop, admin},
};

/// A task that only people move.
fn to_do(title: &str) -> TaskRequest {
    TaskRequest {
        title: TaskTitle::parse(title).unwrap(),
        description: None,
        priority: Priority::default(),
        tags: Tags::default(),
        plugin: None,
        action: None,
        payload: None,
        scheduled_at: None,
        max_retries: None,
        max_stalls: None,
        timeout: None,
        unique_key: None,
        depends_on: Vec::new(),
        schedule: None,
    }
}

/// A task that calls an action of `lab`.
fn job(title: &str, action: &str, payload: Value) -> TaskRequest {
    TaskRequest {
        plugin: Some(PluginName::parse("lab").unwrap()),
        action: Some(ActionName::parse(action).unwrap()),
        payload: Some(payload),
        ..to_do(title)
    }
}

/// A task that gives back what it gets.
fn echo(title: &str) -> TaskRequest {
    job(title, "echo", json!({ "title": title }))
}

/// A task that waits for others.
fn after(title: &str, others: &[TaskId]) -> TaskRequest {
    TaskRequest {
        depends_on: others.to_vec(),
        ..echo(title)
    }
}

async fn submit(shop: &Shop, principal: &Principal, request: TaskRequest) -> Result<Task> {
    let submitted = shop.engine.submit_task(principal, request, None).await?;
    Ok(submitted.task)
}

/// Reads a task as the operator does.
async fn read(shop: &Shop, id: TaskId) -> Task {
    shop.engine.read_task(&admin(), id).await.unwrap()
}

/// The titles of all tasks, oldest first.
async fn titles(shop: &Shop) -> Vec<String> {
    let page = first_page(TaskSort::CreatedAt);
    let listed = shop
        .engine
        .list_tasks(&admin(), TaskFilter::default(), page)
        .await;
    let tasks = listed.unwrap().items;
    tasks.into_iter().map(|task| task.title.to_string()).collect()
}

/// Claims all jobs that are ready.
async fn claim(shop: &Shop) -> Vec<Task> {
    let now = shop.clock.now();
    let request = ClaimRequest {
        worker: WorkerId::from_uuid(Uuid::from_u128(7)),
        now,
        lease_until: now.plus(Duration::from_secs(15)),
        limit: 100,
        room: Vec::new(),
    };
    let claimed = shop.store.claim_tasks(request).await.unwrap();
    claimed.tasks.into_iter().map(|claimed| claimed.task).collect()
}

/// Ends the attempt at a claimed task, for good.
async fn finish(shop: &Shop, task: &Task, outcome: Result<Value>) {
    let attempt = task.standing.attempt;
    let job = task.job.clone().unwrap();
    let end = if outcome.is_ok() {
        AttemptEnd::Succeeded
    } else {
        AttemptEnd::FailedForGood
    };
    let execution = Execution {
        id: ExecutionId::from_uuid(Uuid::from_u128(task.id.as_uuid().as_u128() + u128::from(attempt))),
        plugin: job.plugin,
        action: job.action,
        payload: job.payload,
        outcome: match outcome {
            Ok(result) => ExecutionOutcome::Success(result),
            Err(error) => ExecutionOutcome::Failure(Failure::from(&error)),
        },
        duration: Duration::from_millis(1),
        user_id: task.user_id,
        task: Some(CallTry {
            task_id: task.id,
            attempt,
        }),
        source: Source::Task,
        ip_address: None,
        user_agent: None,
        created_at: shop.clock.now(),
    };
    let hold = model::Hold {
        task: task.id,
        attempt,
    };
    let ending = TaskEnding {
        end,
        execution: Some(execution),
        failure: None,
        inquiry: None,
        is_recorded: false,
        now: shop.clock.now(),
    };
    shop.store.finish_task(hold, &ending).await.unwrap();
}

/// Does all jobs that are ready; gives their titles in the order in which they started.
async fn work(shop: &Shop, outcome: impl Fn(&Task) -> Result<Value>) -> Vec<String> {
    let tasks = claim(shop).await;
    for task in &tasks {
        finish(shop, task, outcome(task)).await;
    }
    tasks.into_iter().map(|task| task.title.to_string()).collect()
}

fn well(_: &Task) -> Result<Value> {
    Ok(json!({ "rows": [{ "name": "ada" }] }))
}

fn badly(_: &Task) -> Result<Value> {
    Err(Error::new(model::ErrorCode::PluginFailed, "it can't be done"))
}

/// Does one step of a duty.
async fn step(shop: &Shop, name: &str) {
    let duties = shop.engine.duties();
    let duty = duties.iter().find(|duty| duty.name() == name).unwrap();
    duty.step().await.unwrap();
}

/// Tells tasks what became of those that they depend on.
async fn settle(shop: &Shop) {
    step(shop, "tell tasks what became of those that they depend on").await;
}

/// The paths of what is wrong.
fn paths<T: std::fmt::Debug>(result: Result<T>) -> Vec<String> {
    let error = result.unwrap_err();
    error.details().iter().map(|detail| detail.path.clone()).collect()
}
