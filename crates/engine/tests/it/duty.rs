//! What is done again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use engine::{Duty, IdempotentRequest, Pace, WhenBegun};
use model::{Clock as _, Error, ExecutionOutcome, ExecutionStatus, IdempotencyStore as _, Result};
use rstest::rstest;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::shop::{Shop, user};

/// Does one step after the other, and fails as often as it is told.
struct Chore {
    steps: Semaphore,
    at_once: AtomicUsize,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    Well,
    Failing,
    Panicking,
}

#[async_trait]
impl Duty for Chore {
    fn name(&self) -> &'static str {
        "chore"
    }

    fn period(&self) -> Duration {
        Duration::ZERO
    }

    async fn step(&self) -> Result<()> {
        assert_eq!(self.at_once.fetch_add(1, Ordering::SeqCst), 0, "steps overlap");
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        self.steps.add_permits(1);
        match self.how {
            How::Well => Ok(()),
            How::Failing => Err(Error::unavailable("not now")),
            How::Panicking => panic!("on purpose"),
        }
    }
}

#[rstest]
#[case(How::Well)]
#[case(How::Failing)]
#[case(How::Panicking)]
#[tokio::test]
async fn a_duty_is_repeated_until_it_is_stopped_whatever_becomes_of_a_step(#[case] how: How) {
    let stop = CancellationToken::new();
    let pace = Pace { stop: stop.clone() };
    let chore = Arc::new(Chore {
        steps: Semaphore::new(0),
        at_once: AtomicUsize::new(0),
        how,
    });
    let driving = TaskTracker::new().spawn({
        let chore = Arc::clone(&chore);
        async move { pace.drive(chore).await }
    });
    let steps = tokio::time::timeout(Duration::from_secs(30), chore.steps.acquire_many(3));
    steps.await.unwrap().unwrap().forget();
    stop.cancel();
    driving.await.unwrap();
}

/// Is to be done once an hour, and whenever it is asked for.
struct Errand {
    steps: Semaphore,
    asked: Notify,
}

#[async_trait]
impl Duty for Errand {
    fn name(&self) -> &'static str {
        "errand"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(3600)
    }

    async fn woken(&self) {
        self.asked.notified().await;
    }

    async fn step(&self) -> Result<()> {
        self.steps.add_permits(1);
        Ok(())
    }
}

#[tokio::test]
async fn a_duty_that_is_woken_is_done_before_its_time() {
    let stop = CancellationToken::new();
    let pace = Pace { stop: stop.clone() };
    let errand = Arc::new(Errand {
        steps: Semaphore::new(0),
        asked: Notify::new(),
    });
    let driving = TaskTracker::new().spawn({
        let errand = Arc::clone(&errand);
        async move { pace.drive(errand).await }
    });
    for _ in 0..3 {
        let step = tokio::time::timeout(Duration::from_secs(30), errand.steps.acquire());
        step.await.unwrap().unwrap().forget();
        errand.asked.notify_one();
    }
    stop.cancel();
    driving.await.unwrap();
}

async fn step_all(shop: &Shop) {
    for duty in shop.engine.duties() {
        duty.step().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_the_process_before_left_running_is_closed_at_the_start() {
    let shop = Shop::open();
    shop.store.fail("complete_execution");
    shop.call(&user(1), "write", json!({})).await.unwrap_err();
    let shop = shop.restarted().await;
    assert_eq!(shop.only_call().await.outcome, ExecutionOutcome::Running);
    step_all(&shop).await;
    let ExecutionOutcome::Failure(failure) = shop.only_call().await.outcome else {
        panic!("not closed");
    };
    assert_eq!(failure.code, "interrupted");
}

#[tokio::test]
async fn a_call_that_is_running_is_not_closed_until_it_must_have_ended() {
    let shop = Shop::open();
    shop.store.fail("complete_execution");
    shop.call(&user(1), "write", json!({})).await.unwrap_err();
    // The slowest action waits and runs for 60 s each, and has 60 s to be recorded.
    shop.clock.advance(Duration::from_secs(179));
    step_all(&shop).await;
    assert_eq!(shop.only_call().await.outcome, ExecutionOutcome::Running);
    shop.clock.advance(Duration::from_secs(2));
    step_all(&shop).await;
    assert_eq!(shop.only_call().await.outcome.status(), ExecutionStatus::Failure);
}

#[tokio::test]
async fn a_call_that_was_taken_for_interrupted_keeps_that_end() {
    let shop = Shop::open();
    let running = shop.begin("lab", "waitAndWrite", json!({}));
    shop.lab.begun().await;
    shop.clock.advance(Duration::from_secs(3600));
    step_all(&shop).await;
    shop.lab.finish();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.code(), model::ErrorCode::Interrupted);
    assert_eq!(shop.only_call().await.outcome.status(), ExecutionStatus::Failure);
}

#[tokio::test]
async fn expired_idempotency_keys_are_removed() {
    let shop = Shop::open();
    for key in ["a", "b"] {
        let request = IdempotentRequest {
            principal: None,
            route: "/api/thing",
            key,
            body: b"",
            when_begun: WhenBegun::Refuse,
        };
        let _unsettled = shop.engine.claim_idempotent_request(request).await.unwrap();
        shop.clock.advance(Duration::from_secs(3600));
    }
    shop.clock.advance(Duration::from_secs(23 * 3600 - 1));
    step_all(&shop).await;
    let far = shop.clock.now().plus(Duration::from_secs(48 * 3600));
    let left = shop.store.remove_expired_claims(far, 10).await.unwrap();
    assert_eq!(left, 1, "the one that is still good");
}
