//! Leases: who holds a task, and for how long.

use std::time::Duration;

use model::{ClaimRequest, Clock as _, Hold, TaskQueue as _, TaskStatus, Timestamp, WorkerId};
use rstest::rstest;
use serde_json::json;
use uuid::Uuid;

use super::{LEASE, Works, tried};

const MILLI: Duration = Duration::from_millis(1);

/// Claims a task for a worker that never does anything with it.
pub(super) async fn lose(works: &Works) -> Hold {
    let now = works.shop.clock.now();
    let request = ClaimRequest {
        worker: WorkerId::from_uuid(Uuid::from_u128(7)),
        now,
        lease_until: now.plus(LEASE),
        limit: 1,
        room: Vec::new(),
    };
    works.shop.store.claim_tasks(request).await.unwrap().tasks[0].hold()
}

/// Takes every task from whoever holds it, as another process may.
async fn release_all(works: &Works) {
    let (store, now) = (&works.shop.store, works.shop.clock.now());
    store.release_expired(Timestamp::MAX, now, 10).await.unwrap();
}

#[tokio::test]
async fn a_task_of_a_dead_worker_is_taken_over_when_its_lease_has_ended() {
    let works = Works::open();
    let id = works.submit("echo", json!({})).await;
    lose(&works).await;
    works.advance(LEASE);
    assert_eq!(works.worker.sweep().await.unwrap(), 0);
    works.advance(MILLI);
    assert_eq!(works.worker.sweep().await.unwrap(), 1);
    assert_eq!(works.work().await, 1);
    let standing = works.read(id).await.standing;
    assert_eq!(
        (standing.status, standing.stall_count),
        (TaskStatus::Completed, 1)
    );
    assert_eq!(
        works.tries(id).await,
        tried(&[(1, "interrupted"), (2, "success")])
    );
    assert_eq!(works.shop.seen.count("TaskReleased"), 1);
}

#[tokio::test]
async fn a_task_that_keeps_killing_its_worker_is_failed() {
    let works = Works::open();
    let id = works.submit("echo", json!({})).await;
    for _ in 0..4 {
        lose(&works).await;
        works.advance(LEASE + MILLI);
        assert_eq!(works.worker.sweep().await.unwrap(), 1);
    }
    let task = works.read(id).await;
    assert_eq!(task.standing.status, TaskStatus::Failed);
    assert_eq!(task.error.unwrap().code, "worker_lost");
    assert_eq!((works.work().await, works.shop.lab.calls()), (0, 0));
}

#[tokio::test]
async fn g07_at_the_start_on_a_store_of_its_own_a_worker_takes_over_at_once() {
    let works = Works::open();
    let id = works.submit("echo", json!({})).await;
    lose(&works).await;
    assert_eq!(works.work().await, 0);
    assert_eq!(works.worker.void_leases().await.unwrap(), 1);
    assert_eq!(works.work().await, 1);
    assert_eq!(works.status(id).await, TaskStatus::Completed);
}

#[tokio::test]
async fn a_lease_that_is_renewed_does_not_end() {
    let works = Works::open();
    let id = works.submit("wait", json!({})).await;
    works.claim().await;
    works.shop.lab.begun().await;
    for _ in 0..10 {
        works.advance(LEASE - MILLI);
        assert_eq!(works.worker.renew().await.unwrap(), 0);
        assert_eq!(works.worker.sweep().await.unwrap(), 0);
    }
    works.shop.lab.finish();
    works.worker.idle().await;
    assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
}

#[tokio::test]
async fn the_late_result_of_a_worker_that_was_taken_for_dead_is_refused() {
    let works = Works::open();
    let id = works.submit("echo", json!({ "by": "the first" })).await;
    let finishing = works.shop.store.hold("finish_task");
    works.claim().await;
    finishing.reached().await;
    release_all(&works).await;
    assert_eq!(works.claim().await, 1);
    finishing.reached().await;
    finishing.release();
    finishing.release();
    works.worker.idle().await;
    assert_eq!(works.status(id).await, TaskStatus::Completed);
    assert_eq!(
        works.tries(id).await,
        tried(&[(1, "interrupted"), (2, "success")])
    );
    assert_eq!(works.shop.seen.count("TaskAttemptEnded"), 1);
    assert_eq!(works.shop.seen.count("TaskLeaseLost"), 1);
}

#[tokio::test]
async fn what_a_worker_does_not_hold_any_more_it_stops() {
    let works = Works::open();
    let id = works.submit("wait", json!({})).await;
    works.claim().await;
    works.shop.lab.begun().await;
    release_all(&works).await;
    assert_eq!(works.worker.renew().await.unwrap(), 1);
    works.worker.idle().await;
    assert_eq!(works.shop.lab.dropped(), 1);
    works.claim().await;
    works.shop.lab.finish();
    works.worker.idle().await;
    assert_eq!(
        works.tries(id).await,
        tried(&[(1, "interrupted"), (2, "success")])
    );
}

#[rstest]
#[case(Duration::from_secs(3600))]
#[case(Duration::from_secs(16))]
#[tokio::test]
async fn g07_a_worker_takes_nothing_from_itself_when_the_clock_jumps(#[case] jump: Duration) {
    let works = Works::open();
    let id = works.submit("wait", json!({})).await;
    works.claim().await;
    works.shop.lab.begun().await;
    works.worker.renew().await.unwrap();
    for _ in 0..3 {
        works.advance(jump);
        assert_eq!(works.worker.sweep().await.unwrap(), 0);
    }
    works.shop.clock.set_back(jump);
    assert_eq!(works.worker.sweep().await.unwrap(), 0);
    works.shop.lab.finish();
    works.worker.idle().await;
    assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
    assert_eq!(works.read(id).await.standing.stall_count, 0);
}

#[tokio::test]
async fn g07_while_leases_cannot_be_renewed_nothing_is_taken_from_anyone() {
    let works = Works::open();
    let id = works.submit("wait", json!({})).await;
    works.claim().await;
    works.shop.lab.begun().await;
    works.advance(LEASE * 2);
    works.shop.store.fail("renew_leases");
    assert!(works.worker.sweep().await.is_err());
    assert_eq!(works.worker.sweep().await.unwrap(), 0);
    works.shop.lab.finish();
    works.worker.idle().await;
    assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
}

#[tokio::test]
async fn g07_what_is_about_to_be_begun_when_the_clock_jumps_is_not_taken_away_either() {
    let works = Works::open();
    let (first, second) = (
        works.submit("wait", json!({})).await,
        works.submit("wait", json!({})).await,
    );
    let finishing = works.shop.store.hold("claim_tasks");
    let claiming = works.claim();
    let sweeping = async {
        finishing.reached().await;
        works.advance(LEASE * 2);
        assert_eq!(works.worker.sweep().await.unwrap(), 0);
        finishing.release();
    };
    let (begun, ()) = tokio::join!(claiming, sweeping);
    assert_eq!(begun, 2);
    works.shop.lab.begun().await;
    works.shop.lab.begun().await;
    assert_eq!(works.worker.sweep().await.unwrap(), 0);
    works.shop.lab.finish();
    works.shop.lab.finish();
    works.worker.idle().await;
    for id in [first, second] {
        assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
    }
}
