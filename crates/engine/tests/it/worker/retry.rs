//! Failures, and what becomes of tasks by them.

use std::time::Duration;

use engine::TaskRequest;
use model::{Clock as _, TaskStatus};
use rstest::rstest;
use serde_json::json;

use super::{Works, job, operator, tried};

/// Longer than any wait before a retry.
const LONG: Duration = Duration::from_secs(5 * 60);

#[rstest]
#[case("plugin_unavailable")]
#[case("rate_limited")]
#[case("internal")]
#[case("unavailable")]
#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_as_often_as_allowed(#[case] code: &str) {
    let works = Works::open();
    let request = TaskRequest {
        max_retries: Some(2),
        ..job("lab", "fail", json!({ "code": code, "message": "not now" }))
    };
    let id = works.submit_as(&operator(), request).await;
    for attempt in 1..=2 {
        assert_eq!(works.work().await, 1);
        let standing = works.read(id).await.standing;
        assert_eq!(
            (standing.status, standing.retry_count),
            (TaskStatus::Pending, attempt)
        );
        works.advance(LONG);
    }
    works.work().await;
    assert_eq!(works.status(id).await, TaskStatus::Failed);
    assert_eq!(works.attempts(id).await.len(), 3);
    assert_eq!(works.shop.seen.count("TaskRetried"), 2);
    works.advance(LONG);
    assert_eq!(works.work().await, 0);
}

#[tokio::test]
async fn the_wait_before_a_retry_has_a_limit_that_doubles() {
    let works = Works::open();
    let request = TaskRequest {
        max_retries: Some(100),
        ..job(
            "lab",
            "fail",
            json!({ "code": "plugin_unavailable", "message": "not now" }),
        )
    };
    let id = works.submit_as(&operator(), request).await;
    for limit in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(works.work().await, 1);
        let due = works.read(id).await.standing.due_at;
        let wait = due.since(works.shop.clock.now());
        assert!(
            wait <= Duration::from_secs(limit),
            "{wait:?} after a limit of {limit} s"
        );
        works.advance(wait);
    }
}

#[rstest]
#[case(json!({ "code": "plugin_failed", "message": "never" }), "plugin_failed")]
#[case(json!({ "code": "validation_failed", "path": "a", "message": "is odd" }), "validation_failed")]
#[case(json!({ "code": "not_found", "message": "gone" }), "not_found")]
#[tokio::test]
async fn a_failure_that_stays_is_not_tried_again(#[case] payload: serde_json::Value, #[case] code: &str) {
    let works = Works::open();
    let id = works.submit("fail", payload).await;
    works.work().await;
    let task = works.read(id).await;
    assert_eq!(task.standing.status, TaskStatus::Failed);
    assert_eq!(task.error.unwrap().code, code);
    assert_eq!(works.tries(id).await, tried(&[(1, code)]));
}

#[rstest]
#[case("hang", "plugin_timed_out")]
#[case("hangAndWrite", "plugin_timed_out")]
#[case("panic", "internal")]
#[case("panicAndWrite", "internal")]
#[tokio::test]
async fn g10_a_call_that_hangs_or_panics_is_tried_again(#[case] action: &str, #[case] code: &str) {
    let works = Works::open();
    let id = works.submit(action, json!({})).await;
    works.work().await;
    works.advance(LONG);
    works.work().await;
    assert_eq!(works.status(id).await, TaskStatus::Pending);
    assert_eq!(works.tries(id).await, tried(&[(1, code), (2, code)]));
}

#[tokio::test]
async fn a_task_has_the_time_that_it_was_given_and_not_that_of_its_action() {
    let works = Works::open();
    let request = TaskRequest {
        timeout: Some(Duration::from_millis(20)),
        max_retries: Some(0),
        ..job("lab", "wait", json!({}))
    };
    let id = works.submit_as(&operator(), request).await;
    works.work().await;
    assert_eq!(works.tries(id).await, tried(&[(1, "plugin_timed_out")]));
    assert_eq!(
        (works.status(id).await, works.shop.lab.dropped()),
        (TaskStatus::Failed, 1)
    );
}

#[tokio::test]
async fn a_failed_task_can_be_asked_for_anew() {
    let works = Works::open();
    let id = works
        .submit("fail", json!({ "code": "plugin_failed", "message": "never" }))
        .await;
    works.work().await;
    works.shop.engine.retry_task(&operator(), id).await.unwrap();
    assert_eq!(works.work().await, 1);
    let expected = tried(&[(1, "plugin_failed"), (2, "plugin_failed")]);
    assert_eq!(works.tries(id).await, expected);
}
