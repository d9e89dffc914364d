//! A worker that takes its steps by itself, from its start to its end.

use std::time::Duration;

use engine::WorkerState;
use model::{Clock as _, TaskId, TaskStatus};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Works, lease::lose, operator, tried};

const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the engine work beside what the test does.
fn begin(works: &Works, grace: Duration) -> (CancellationToken, JoinHandle<()>) {
    let (engine, stop) = (works.shop.engine.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let working = TaskTracker::new().spawn(async move { engine.work(stopped, grace).await });
    (stop, working)
}

async fn end(stop: CancellationToken, working: JoinHandle<()>) {
    stop.cancel();
    tokio::time::timeout(PATIENCE, working).await.unwrap().unwrap();
}

/// Waits until a task has a status.
async fn settled(works: &Works, id: TaskId, status: TaskStatus) {
    let waiting = async {
        while works.status(id).await != status {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_runs_does_what_is_submitted() {
    let works = Works::open();
    let (stop, working) = begin(&works, PATIENCE);
    for _ in 0..20 {
        let id = works.submit("echo", json!({})).await;
        settled(&works, id, TaskStatus::Completed).await;
    }
    end(stop, working).await;
}

#[tokio::test]
async fn a_worker_that_runs_survives_a_store_that_fails() {
    let works = Works::open();
    for method in ["release_expired", "claim_tasks", "finish_task"] {
        works.shop.store.fail(method);
    }
    let id = works.submit("wait", json!({})).await;
    let (stop, working) = begin(&works, PATIENCE);
    works.shop.lab.begun().await;
    works.shop.lab.finish();
    settled(&works, id, TaskStatus::Completed).await;
    end(stop, working).await;
}

#[tokio::test]
async fn g06_a_task_that_ends_within_the_grace_is_completed() {
    let works = Works::open();
    let (stop, working) = begin(&works, PATIENCE);
    let id = works.submit("wait", json!({})).await;
    works.shop.lab.begun().await;
    stop.cancel();
    works.shop.lab.finish();
    end(stop, working).await;
    assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
}

#[tokio::test]
async fn g06_a_task_that_does_not_end_within_the_grace_is_handed_back_and_done_after_the_next_start() {
    let works = Works::open();
    let (stop, working) = begin(&works, Duration::ZERO);
    let id = works.submit("waitAndWrite", json!({})).await;
    works.shop.lab.begun().await;
    end(stop, working).await;
    let standing = works.read(id).await.standing;
    assert_eq!(
        (works.shop.lab.dropped(), standing.status),
        (1, TaskStatus::Pending)
    );
    assert_eq!((standing.retry_count, standing.stall_count), (0, 0));

    let works = Works::of(works.shop.restarted().await);
    works.shop.lab.finish();
    assert_eq!(works.work().await, 1);
    assert_eq!(works.tries(id).await, tried(&[(1, "cancelled"), (2, "success")]));
}

#[tokio::test]
async fn g06_a_worker_that_was_told_to_stop_begins_nothing() {
    let works = Works::open();
    let (stop, working) = begin(&works, PATIENCE);
    end(stop, working).await;
    let id = works.submit("echo", json!({})).await;
    assert_eq!(
        (works.status(id).await, works.shop.lab.calls()),
        (TaskStatus::Pending, 0)
    );
}

#[tokio::test]
async fn a_process_that_does_no_tasks_frees_those_of_the_run_before() {
    let works = Works::open_for(0);
    let id = works.submit("echo", json!({})).await;
    lose(&works).await;
    let (stop, working) = begin(&works, PATIENCE);
    settled(&works, id, TaskStatus::Pending).await;
    end(stop, working).await;
    assert_eq!(works.shop.lab.calls(), 0);
}

#[tokio::test]
async fn health_tells_whether_the_worker_works_and_how_much_it_does() {
    let works = Works::open();
    assert_eq!(works.shop.engine.health().await.worker.state, WorkerState::Off);
    let works = Works::of(works.shop.restarted().await);
    let (stop, working) = begin(&works, PATIENCE);
    works.submit("wait", json!({})).await;
    works.shop.lab.begun().await;
    let worker = works.shop.engine.health().await.worker;
    assert_eq!(
        (worker.state, worker.concurrency, worker.busy),
        (WorkerState::Working, 8, 1)
    );
    works.shop.lab.finish();
    end(stop, working).await;
}

#[tokio::test]
async fn a_task_that_becomes_due_is_begun_by_the_clock() {
    let works = Works::open();
    let request = engine::TaskRequest {
        scheduled_at: Some(works.shop.clock.now().plus(Duration::from_millis(300))),
        ..super::job("lab", "wait", json!({}))
    };
    let id = works.submit_as(&operator(), request).await;
    let (stop, working) = begin(&works, PATIENCE);
    works.advance(Duration::from_millis(300));
    works.shop.lab.begun().await;
    works.shop.lab.finish();
    end(stop, working).await;
    assert_eq!(works.status(id).await, TaskStatus::Completed);
}
