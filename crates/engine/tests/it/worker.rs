//! What becomes of tasks in the hands of a worker, whose steps are taken by hand.

mod ask;
mod cancel;
mod fault;
mod lease;
mod retry;
mod run;

use std::time::Duration;

use engine::{TaskRequest, Worker};
use model::{
    ActionName, CallTry, Clock as _, Execution, ExecutionOutcome, ExecutionStatus, Failure, PluginName,
    Principal, Priority, Source, Tags, Task, TaskId, TaskQueue as _, TaskStatus, TaskTitle, UserChange,
};
use serde_json::{Value, json};

use crate::shop::{Shop, admin};

/// The length of a lease.
const LEASE: Duration = Duration::from_secs(15);

/// A worker at work in a shop.
struct Works {
    shop: Shop,
    worker: Worker,
}

impl Works {
    fn open() -> Self {
        Self::of(Shop::open())
    }

    /// As [`Self::open`], with so many tasks at once.
    fn open_for(concurrency: u16) -> Self {
        Self::of(Shop::open_with(|settings| {
            settings.worker_concurrency = concurrency;
        }))
    }

    fn of(shop: Shop) -> Self {
        let worker = shop.engine.worker();
        Self { shop, worker }
    }

    /// Submits a task of the operator that calls an action of `lab`.
    async fn submit(&self, action: &str, payload: Value) -> TaskId {
        self.submit_as(&operator(), job("lab", action, payload)).await
    }

    async fn submit_as(&self, principal: &Principal, request: TaskRequest) -> TaskId {
        let submitted = self.shop.engine.submit_task(principal, request, None).await;
        submitted.unwrap().task.id
    }

    /// Begins what is due; gives how many tasks that are.
    async fn claim(&self) -> usize {
        self.worker.claim().await.unwrap().begun
    }

    /// Does what is due, to its end; gives how many tasks that are.
    async fn work(&self) -> usize {
        let begun = self.claim().await;
        self.worker.idle().await;
        begun
    }

    async fn read(&self, id: TaskId) -> Task {
        self.shop.engine.read_task(&admin(), id).await.unwrap()
    }

    async fn status(&self, id: TaskId) -> TaskStatus {
        self.read(id).await.standing.status
    }

    /// The calls made for a task in the order of its tries: which one each was, and the code of its failure or "success".
    async fn tries(&self, id: TaskId) -> Vec<(u32, String)> {
        let calls = self.attempts(id).await;
        let outcome = |call: &Execution| match &call.outcome {
            ExecutionOutcome::Running => "running".to_owned(),
            ExecutionOutcome::Success(_) => "success".to_owned(),
            ExecutionOutcome::Failure(Failure { code, .. }) => code.clone(),
        };
        let mut tries: Vec<_> = calls
            .iter()
            .map(|call| (call.task.unwrap().attempt, outcome(call)))
            .collect();
        tries.sort();
        tries
    }

    async fn attempts(&self, id: TaskId) -> Vec<Execution> {
        self.shop.engine.task_attempts(&admin(), id).await.unwrap()
    }

    fn advance(&self, span: Duration) {
        self.shop.clock.advance(span);
    }
}

fn operator() -> Principal {
    Principal::command_line()
}

pub(crate) fn job(plugin: &str, action: &str, payload: Value) -> TaskRequest {
    TaskRequest {
        title: TaskTitle::parse(action).unwrap(),
        description: None,
        priority: Priority::default(),
        tags: Tags::default(),
        plugin: Some(PluginName::parse(plugin).unwrap()),
        action: Some(ActionName::parse(action).unwrap()),
        payload: Some(payload),
        scheduled_at: None,
        max_retries: None,
        max_stalls: None,
        timeout: None,
        unique_key: None,
        depends_on: Vec::new(),
        schedule: None,
    }
}

fn tried(tries: &[(u32, &str)]) -> Vec<(u32, String)> {
    let owned = tries
        .iter()
        .map(|(attempt, outcome)| (*attempt, (*outcome).to_owned()));
    owned.collect()
}

#[tokio::test]
async fn a_due_task_is_done_and_its_call_is_in_the_history() {
    let works = Works::open();
    let id = works.submit("echo", json!({ "a": [1] })).await;
    assert_eq!(works.work().await, 1);
    let task = works.read(id).await;
    assert_eq!(task.standing.status, TaskStatus::Completed);
    assert_eq!(task.result, Some(json!({ "a": [1] })));
    assert!(task.started_at.is_some() && task.finished_at.is_some());
    let call = works.shop.only_call().await;
    let call_try = CallTry {
        task_id: id,
        attempt: 1,
    };
    assert_eq!((call.source, call.task), (Source::Task, Some(call_try)));
    assert_eq!(call.payload, json!({ "a": [1] }));
    assert_eq!(call.outcome.status(), ExecutionStatus::Success);
    assert_eq!(works.shop.seen.count("TaskStarted"), 1);
    assert_eq!(works.shop.seen.count("TaskAttemptEnded { status: Completed"), 1);
}

#[tokio::test]
async fn a_task_is_begun_at_its_time_and_not_before() {
    let works = Works::open();
    let hour = Duration::from_secs(3600);
    let due = works.shop.clock.now().plus(hour);
    let request = TaskRequest {
        scheduled_at: Some(due),
        ..job("lab", "echo", json!({}))
    };
    works.submit_as(&operator(), request).await;
    let step = works.worker.claim().await.unwrap();
    assert_eq!((step.begun, step.next_due), (0, Some(due)));
    works.advance(hour - Duration::from_millis(1));
    assert_eq!(works.work().await, 0);
    works.advance(Duration::from_millis(1));
    assert_eq!(works.work().await, 1);
}

#[tokio::test]
async fn a_worker_does_as_many_tasks_at_once_as_it_may() {
    let works = Works::open_for(2);
    for _ in 0..3 {
        works.submit("wait", json!({})).await;
    }
    let step = works.worker.claim().await.unwrap();
    assert_eq!((step.begun, step.has_more), (2, true));
    assert_eq!(works.claim().await, 0);
    works.shop.lab.finish();
    works.shop.lab.finish();
    works.worker.idle().await;
    works.shop.lab.finish();
    assert_eq!(works.work().await, 1);
}

#[tokio::test]
async fn a_plugin_that_takes_no_more_calls_does_not_hold_up_others() {
    let works = Works::open();
    let first = works
        .submit_as(&operator(), job("single", "wait", json!({})))
        .await;
    let second = works
        .submit_as(&operator(), job("single", "wait", json!({})))
        .await;
    assert_eq!(works.claim().await, 1);
    works.shop.lab.begun().await;
    let echo = works.submit("echo", json!({})).await;
    assert_eq!(works.claim().await, 1);
    works.shop.lab.finish();
    works.worker.idle().await;
    assert_eq!(works.status(echo).await, TaskStatus::Completed);
    works.shop.lab.finish();
    assert_eq!(works.work().await, 1);
    for id in [first, second] {
        let task = works.read(id).await;
        assert_eq!(
            (task.standing.status, task.standing.retry_count),
            (TaskStatus::Completed, 0)
        );
        assert_eq!(works.attempts(id).await.len(), 1);
    }
}

#[tokio::test]
async fn a_task_is_done_with_the_rights_that_its_owner_has_now() {
    let works = Works::open();
    let ada = works.shop.person("ada").await;
    let user_id = ada.principal.user_id().unwrap();
    let first = works
        .submit_as(&ada.principal, job("lab", "echo", json!({})))
        .await;
    let second = works
        .submit_as(&ada.principal, job("lab", "echo", json!({})))
        .await;
    works.work().await;
    assert_eq!(works.status(first).await, TaskStatus::Completed);
    assert_eq!(works.status(second).await, TaskStatus::Completed);
    let third = works
        .submit_as(&ada.principal, job("lab", "echo", json!({})))
        .await;
    let change = UserChange {
        is_active: Some(false),
        ..UserChange::default()
    };
    works
        .shop
        .engine
        .update_user(&admin(), user_id, change)
        .await
        .unwrap();
    works.work().await;
    let task = works.read(third).await;
    assert_eq!(task.standing.status, TaskStatus::Failed);
    assert_eq!(task.error.unwrap().code, "forbidden");
    assert_eq!(works.shop.lab.calls(), 2);
    assert_eq!(works.tries(third).await, tried(&[(1, "forbidden")]));
}

#[tokio::test]
async fn whose_task_it_is_is_not_looked_up_for_each_task() {
    let works = Works::open();
    let ada = works.shop.person("ada").await;
    works
        .submit_as(&ada.principal, job("lab", "echo", json!({})))
        .await;
    works.work().await;
    works.shop.store.fail("find_user");
    let second = works
        .submit_as(&ada.principal, job("lab", "echo", json!({})))
        .await;
    works.work().await;
    assert_eq!(works.status(second).await, TaskStatus::Completed);
}

#[tokio::test]
async fn a_task_works_on_the_result_of_the_one_before() {
    let works = Works::open();
    let before = works.submit("echo", json!({ "rows": [7] })).await;
    let request = TaskRequest {
        depends_on: vec![before],
        ..job(
            "lab",
            "echo",
            json!({ "row": { "$fromTask": before, "pointer": "/rows/0" } }),
        )
    };
    let after = works.submit_as(&operator(), request).await;
    assert_eq!(works.work().await, 1);
    let now = works.shop.clock.now();
    works.shop.store.settle_dependents(now, 10).await.unwrap();
    assert_eq!(works.work().await, 1);
    assert_eq!(works.read(after).await.result, Some(json!({ "row": 7 })));
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_fails_the_task_for_good() {
    let works = Works::open();
    let before = works.submit("echo", json!({})).await;
    let request = TaskRequest {
        depends_on: vec![before],
        ..job(
            "lab",
            "echo",
            json!({ "row": { "$fromTask": before, "pointer": "/rows/0" } }),
        )
    };
    let after = works.submit_as(&operator(), request).await;
    works.work().await;
    let now = works.shop.clock.now();
    works.shop.store.settle_dependents(now, 10).await.unwrap();
    works.work().await;
    assert_eq!(works.status(after).await, TaskStatus::Failed);
    assert_eq!(works.tries(after).await, tried(&[(1, "validation_failed")]));
    assert_eq!(works.shop.lab.calls(), 1);
}

#[tokio::test]
async fn progress_is_kept_and_of_many_reports_the_last() {
    let works = Works::open();
    let fractions = json!({ "fractions": [0.1, 0.2, 0.9] });
    let id = works.submit("report", fractions).await;
    works.claim().await;
    for _ in 0..2 {
        works.shop.lab.begun().await;
        works.shop.lab.finish();
    }
    works.shop.lab.begun().await;
    let kept = async {
        loop {
            match works.read(id).await.progress {
                Some(progress) if progress.fraction > 0.8 => return progress,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let kept = tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
    assert_eq!((kept.fraction, kept.message.as_deref()), (0.9, Some("under way")));
    works.shop.lab.finish();
    works.worker.idle().await;
}
