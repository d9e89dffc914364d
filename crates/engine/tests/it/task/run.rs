//! Tasks that are run at once and waited for.

use std::time::Duration;

use engine::{TaskRequest, TaskRun};
use model::{Clock as _, ErrorCode, Result, TaskId, TaskStatus};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{claim, echo, finish, read, submit, to_do, well, work};
use crate::{
    fixture::code,
    shop::{Shop, user},
};

const LONG: Duration = Duration::from_secs(30);

fn begin_run(shop: &Shop, id: TaskId) -> JoinHandle<Result<TaskRun>> {
    let engine = shop.engine.clone();
    TaskTracker::new().spawn(async move { engine.run_task(&user(1), id, LONG).await })
}

fn scheduled(title: &str) -> TaskRequest {
    TaskRequest {
        scheduled_at: "2026-06-02T12:00:00Z".parse().ok(),
        ..echo(title)
    }
}

/// Waits until a task is due.
async fn due(shop: &Shop, id: TaskId) {
    let due = async {
        while read(shop, id).await.standing.due_at > shop.clock.now() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, due).await.unwrap();
}

/// Claims the only job, once it is ready.
async fn claim_only(shop: &Shop) -> model::Task {
    let claimed = async {
        loop {
            match claim(shop).await.pop() {
                Some(task) => return task,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(LONG, claimed).await.unwrap()
}

#[tokio::test]
async fn a_task_that_is_run_starts_before_its_time_and_its_end_is_waited_for() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), scheduled("report")).await.unwrap();
    let run = begin_run(&shop, task.id);
    let running = claim_only(&shop).await;
    finish(&shop, &running, well(&running)).await;
    let run = run.await.unwrap().unwrap();
    assert!(run.has_ended);
    assert_eq!(run.task.standing.status, TaskStatus::Completed);
    assert_eq!(run.task.result, well(&running).ok());
}

#[tokio::test]
async fn who_does_not_want_to_wait_is_told_how_it_stands() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), scheduled("report")).await.unwrap();
    let run = shop
        .engine
        .run_task(&user(1), task.id, Duration::ZERO)
        .await
        .unwrap();
    assert!(!run.has_ended);
    assert_eq!(run.task.standing.status, TaskStatus::Pending);
    assert_eq!(work(&shop, well).await, ["report"], "due now");
}

#[tokio::test]
async fn a_task_that_is_running_already_is_waited_for() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let running = claim_only(&shop).await;
    let run = begin_run(&shop, task.id);
    finish(&shop, &running, well(&running)).await;
    // It may have ended before the run began to wait.
    match run.await.unwrap() {
        Ok(run) => assert!(run.has_ended),
        Err(error) => assert_eq!(error.code(), ErrorCode::Conflict),
    }
}

#[tokio::test]
async fn a_task_that_is_called_off_is_not_waited_for_any_longer() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let run = begin_run(&shop, task.id);
    claim_only(&shop).await;
    shop.engine.cancel_task(&user(1), task.id).await.unwrap();
    // It may have been called off before the run began to wait.
    match run.await.unwrap() {
        Ok(run) => assert_eq!(
            (run.has_ended, run.task.standing.status),
            (true, TaskStatus::Cancelled)
        ),
        Err(error) => assert_eq!(error.code(), ErrorCode::Conflict),
    }
}

#[tokio::test]
async fn a_task_that_is_removed_is_not_waited_for_any_longer() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), scheduled("report")).await.unwrap();
    let run = begin_run(&shop, task.id);
    due(&shop, task.id).await;
    shop.engine.delete_task(&user(1), task.id).await.unwrap();
    assert_eq!(code(run.await.unwrap()), ErrorCode::NotFound);
}

#[tokio::test]
async fn g06_a_task_that_has_not_begun_is_not_waited_for_when_the_process_stops() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), scheduled("report")).await.unwrap();
    let run = begin_run(&shop, task.id);
    due(&shop, task.id).await;
    let stop = CancellationToken::new();
    stop.cancel();
    shop.engine.work(stop, Duration::ZERO).await;
    let run = run.await.unwrap().unwrap();
    assert!(!run.has_ended);
    assert_eq!(run.task.standing.status, TaskStatus::Pending);
}

#[tokio::test]
async fn what_has_ended_or_is_no_job_can_not_be_run() {
    let shop = Shop::open();
    let ended = submit(&shop, &user(1), echo("report")).await.unwrap();
    work(&shop, well).await;
    let to_do = submit(&shop, &user(1), to_do("call Ada")).await.unwrap();
    for id in [ended.id, to_do.id] {
        let refused = shop.engine.run_task(&user(1), id, LONG).await;
        assert_eq!(code(refused), ErrorCode::Conflict);
    }
}
