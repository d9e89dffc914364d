//! A store that doesn't work for a while.

use std::time::Duration;

use model::TaskStatus;
use rstest::rstest;
use serde_json::json;

use super::{Works, tried};

#[rstest]
#[case("echo")]
#[case("write")]
#[tokio::test]
async fn an_end_that_cannot_be_recorded_at_once_is_recorded_later(#[case] action: &str) {
    let works = Works::open();
    let id = works.submit(action, json!({})).await;
    works.shop.store.fail("finish_task");
    works.work().await;
    assert_eq!(
        (works.status(id).await, works.shop.lab.calls()),
        (TaskStatus::Completed, 1)
    );
    assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
}

#[rstest]
#[case("echo")]
#[case("write")]
#[tokio::test]
async fn an_end_of_which_it_is_unknown_whether_it_was_recorded_counts_once(#[case] action: &str) {
    let works = Works::open();
    let id = works.submit(action, json!({})).await;
    works.shop.store.forget("finish_task");
    works.work().await;
    assert_eq!(
        (works.status(id).await, works.shop.lab.calls()),
        (TaskStatus::Completed, 1)
    );
    assert_eq!(works.tries(id).await, tried(&[(1, "success")]));
    assert_eq!(works.shop.seen.count("TaskLeaseLost"), 0);
}

#[tokio::test]
async fn a_call_that_cannot_be_recorded_before_its_effect_is_not_made_and_not_counted() {
    let works = Works::open();
    let id = works.submit("write", json!({})).await;
    works.shop.store.fail("record_execution");
    works.work().await;
    let standing = works.read(id).await.standing;
    assert_eq!((standing.status, standing.retry_count), (TaskStatus::Pending, 0));
    assert_eq!(works.shop.lab.calls(), 0);
    works.advance(Duration::from_secs(1));
    works.work().await;
    assert_eq!(works.tries(id).await, tried(&[(2, "success")]));
}

#[tokio::test]
async fn a_task_whose_owner_cannot_be_looked_up_is_handed_back() {
    let works = Works::open();
    let ada = works.shop.person("ada").await;
    let id = works
        .submit_as(&ada.principal, super::job("lab", "echo", json!({})))
        .await;
    works.shop.store.fail("find_user");
    works.work().await;
    assert_eq!(
        (works.status(id).await, works.shop.lab.calls()),
        (TaskStatus::Pending, 0)
    );
    works.advance(Duration::from_secs(1));
    works.work().await;
    assert_eq!(works.tries(id).await, tried(&[(2, "success")]));
}

#[tokio::test]
async fn a_claim_that_fails_keeps_no_slot() {
    let works = Works::open_for(1);
    let id = works.submit("echo", json!({})).await;
    works.shop.store.fail("claim_tasks");
    assert!(works.worker.claim().await.is_err());
    assert_eq!(works.work().await, 1);
    assert_eq!(works.status(id).await, TaskStatus::Completed);
}

#[tokio::test]
async fn progress_that_cannot_be_kept_stops_nothing() {
    let works = Works::open();
    works.shop.store.fail("report_progress");
    let id = works.submit("report", json!({ "fractions": [0.5] })).await;
    works.claim().await;
    works.shop.lab.begun().await;
    works.shop.lab.finish();
    works.worker.idle().await;
    assert_eq!(works.status(id).await, TaskStatus::Completed);
}

#[tokio::test]
async fn g02_whichever_call_of_the_store_fails_the_task_is_done_once_and_in_the_history() {
    for nth in 0.. {
        let works = Works::open();
        let ada = works.shop.person("ada").await;
        let id = works
            .submit_as(&ada.principal, super::job("lab", "write", json!({})))
            .await;
        works.shop.store.fail_nth(nth);
        for _ in 0..5 {
            // What fails is tried again by whoever drives the steps.
            let _claimed = works.worker.claim().await;
            works.worker.idle().await;
            works.advance(Duration::from_secs(2));
        }
        let has_failed = works.shop.store.heal();
        assert_eq!(works.status(id).await, TaskStatus::Completed, "call {nth}");
        assert_eq!(works.shop.lab.calls(), 1, "call {nth}");
        let tries = works.tries(id).await;
        assert_eq!(
            tries.iter().filter(|(_, outcome)| outcome == "success").count(),
            1,
            "call {nth}"
        );
        if !has_failed {
            return;
        }
    }
}
