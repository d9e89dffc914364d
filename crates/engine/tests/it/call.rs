//! Calling plugins, and what the history says of it.

use std::time::Duration;

use engine::{Client, Executed};
use futures_util::future::join_all;
use model::{
    ErrorCode, ExecutionFilter, ExecutionOutcome, ExecutionStatus, Principal, Result, Role, Subject,
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::shop::{Shop, admin, key, newest_first, request, user};

fn failure_code(outcome: &ExecutionOutcome) -> &str {
    let ExecutionOutcome::Failure(failure) = outcome else {
        panic!("{outcome:?}");
    };
    &failure.code
}

#[tokio::test]
async fn a_call_gives_its_result_and_is_in_the_history() {
    let shop = Shop::open();
    let payload = json!({ "b": [1, 2.5, null], "a": { "$x.y": "é" } });
    let executed = shop.call(&user(1), "echo", payload.clone()).await.unwrap();
    assert_eq!(executed.result, payload);
    let recorded = shop.only_call().await;
    assert_eq!(recorded.id, executed.id);
    assert_eq!(recorded.outcome, ExecutionOutcome::Success(payload.clone()));
    assert_eq!(
        recorded.payload.to_string(),
        payload.to_string(),
        "in the order as sent"
    );
    assert_eq!(recorded.duration.as_micros(), executed.duration.as_micros());
    assert_eq!(recorded.user_id, user(1).user_id());
    assert_eq!(shop.counted("echo", ExecutionStatus::Success), 1);
}

#[tokio::test]
async fn a_payload_left_out_is_an_empty_object() {
    let shop = Shop::open();
    let left_out = request("lab", "echo", None);
    let executed = shop.engine.execute(&user(1), left_out, &Client::default()).await;
    assert_eq!(executed.unwrap().result, json!({}));
}

#[tokio::test]
async fn the_caller_s_address_and_program_are_kept_within_bounds() {
    let shop = Shop::open();
    let client = Client {
        ip_address: Some("2001:db8::1".parse().unwrap()),
        user_agent: Some("ü".repeat(10_000)),
    };
    let echo = request("lab", "echo", None);
    shop.engine.execute(&user(1), echo, &client).await.unwrap();
    let recorded = shop.only_call().await;
    assert_eq!(recorded.ip_address.as_deref(), Some("2001:db8::1"));
    assert_eq!(recorded.user_agent, Some("ü".repeat(256)));
}

#[tokio::test]
async fn an_action_that_changes_something_is_in_the_history_before_it_begins() {
    let shop = Shop::open();
    let running = shop.begin("lab", "waitAndWrite", json!({ "x": 1 }));
    shop.lab.begun().await;
    let recorded = shop.only_call().await;
    assert_eq!(recorded.outcome, ExecutionOutcome::Running);
    assert_eq!(recorded.payload, json!({ "x": 1 }));
    shop.lab.finish();
    let executed = running.await.unwrap().unwrap();
    let recorded = shop.only_call().await;
    assert_eq!(recorded.outcome, ExecutionOutcome::Success(executed.result));
    assert_eq!(recorded.payload, json!({ "x": 1 }));
}

#[tokio::test]
async fn a_call_whose_beginning_cannot_be_recorded_is_not_made() {
    let shop = Shop::open();
    shop.store.fail("record_execution");
    let error = shop.call(&user(1), "write", json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert_eq!(shop.lab.calls(), 0);
    assert!(shop.history().await.is_empty());
}

#[tokio::test]
async fn a_call_whose_end_cannot_be_recorded_says_so_and_stays_running() {
    let shop = Shop::open();
    shop.store.fail("complete_execution");
    let error = shop.call(&user(1), "write", json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Interrupted);
    assert!(error.message().starts_with("the call was made"), "{error}");
    assert_eq!(shop.only_call().await.outcome, ExecutionOutcome::Running);
}

#[tokio::test]
async fn a_read_only_call_that_cannot_be_recorded_gives_no_result() {
    let shop = Shop::open();
    shop.store.fail("record_execution");
    let error = shop.call(&user(1), "echo", json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_failing_store_never_hides_a_call_that_was_made() {
    for nth in 0.. {
        let shop = Shop::open();
        shop.store.fail_nth(nth);
        let outcome = shop.call(&user(1), "write", json!({})).await;
        let did_fail = shop.store.heal();
        let history = shop.history().await;
        assert_eq!(history.len(), shop.lab.calls(), "after failing call {nth}");
        assert_eq!(outcome.is_err(), did_fail, "after failing call {nth}");
        if !did_fail {
            return;
        }
    }
}

#[rstest]
#[case::plugin("nothing", "echo", json!({}), ErrorCode::NotFound, "")]
#[case::action("lab", "nothing", json!({}), ErrorCode::NotFound, "")]
#[case::field("lab", "strict", json!({}), ErrorCode::ValidationFailed, "payload.message")]
#[case::kind("lab", "strict", json!({"message": "hi", "list": [1, "2"]}), ErrorCode::ValidationFailed, "payload.list.1")]
#[case::no_object("lab", "echo", json!([]), ErrorCode::ValidationFailed, "payload")]
#[tokio::test]
async fn a_refused_call_is_in_the_history_with_its_reason(
    #[case] plugin: &str,
    #[case] action: &str,
    #[case] payload: Value,
    #[case] code: ErrorCode,
    #[case] path: &str,
) {
    let shop = Shop::open();
    let request = request(plugin, action, Some(payload.clone()));
    let error = shop.engine.execute(&user(1), request, &Client::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), code);
    assert_eq!(
        error.details().first().map_or("", |detail| detail.path.as_str()),
        path
    );
    let recorded = shop.only_call().await;
    assert_eq!(failure_code(&recorded.outcome), code.as_str());
    assert_eq!(recorded.payload, payload);
    assert_eq!(shop.lab.calls(), 0);
}

#[tokio::test]
async fn a_call_without_the_scope_is_refused_and_in_the_history() {
    let shop = Shop::open();
    let narrow = key(1, &["plugins:execute:single", "history:read"]);
    let error = shop.call(&narrow, "echo", json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InsufficientScope);
    assert_eq!(
        failure_code(&shop.only_call().await.outcome),
        "insufficient_scope"
    );
    assert_eq!(shop.lab.calls(), 0);
}

#[tokio::test]
async fn names_that_do_not_exist_are_counted_without_being_named() {
    let shop = Shop::open();
    shop.call(&user(1), "nothing", json!({})).await.unwrap_err();
    shop.call(&user(1), "strict", json!({})).await.unwrap_err();
    assert_eq!(shop.seen.count("UnknownCall"), 1);
    assert_eq!(shop.seen.count("CallEnded"), 1);
    assert_eq!(shop.counted("strict", ExecutionStatus::Failure), 1);
}

#[tokio::test]
async fn c08_a_payload_of_more_than_64_levels_is_refused_with_the_limit() {
    let shop = Shop::open();
    let nested = |levels| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
    shop.call(&user(1), "echo", nested(64)).await.unwrap();
    let error = shop.call(&user(1), "echo", nested(65)).await.unwrap_err();
    assert_eq!(error.message(), "payload must have at most 64 levels");
}

#[rstest]
#[case("panic")]
#[case("panicAndWrite")]
#[tokio::test]
async fn g10_a_panic_in_a_plugin_is_recorded_and_everything_else_goes_on(#[case] action: &str) {
    let shop = Shop::open();
    let error = shop.call(&user(1), action, json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
    assert!(!error.message().contains("on purpose"));
    assert_eq!(failure_code(&shop.only_call().await.outcome), "internal");
    shop.call(&user(1), "echo", json!({})).await.unwrap();
}

#[rstest]
#[case("wait")]
#[case("waitAndWrite")]
#[tokio::test]
async fn d07_a_caller_that_leaves_cancels_the_call_and_it_is_recorded(#[case] action: &'static str) {
    let shop = Shop::open();
    let running = shop.begin("lab", action, json!({ "x": 1 }));
    shop.lab.begun().await;
    running.abort();
    let recorded = shop.ended_call().await;
    assert_eq!(failure_code(&recorded.outcome), "cancelled");
    assert_eq!(recorded.payload, json!({ "x": 1 }));
    assert_eq!(shop.lab.dropped(), 1);
    assert_eq!(shop.counted(action, ExecutionStatus::Failure), 1);
}

#[tokio::test]
async fn d07_a_caller_that_leaves_while_the_beginning_is_recorded_causes_no_call() {
    let shop = Shop::open();
    let hold = shop.store.hold("record_execution");
    let running = shop.begin("lab", "write", json!({}));
    hold.reached().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    hold.release();
    assert_eq!(failure_code(&shop.ended_call().await.outcome), "cancelled");
    assert_eq!(shop.lab.calls(), 0);
}

#[rstest]
#[case("echo", "record_execution")]
#[case("write", "complete_execution")]
#[tokio::test]
async fn d07_a_caller_that_leaves_while_the_end_is_recorded_changes_nothing(
    #[case] action: &'static str,
    #[case] write: &'static str,
) {
    let shop = Shop::open();
    let hold = shop.store.hold(write);
    let running = shop.begin("lab", action, json!({}));
    hold.reached().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    hold.release();
    let recorded = shop.ended_call().await;
    assert_eq!(recorded.outcome.status(), ExecutionStatus::Success);
    assert_eq!(shop.counted(action, ExecutionStatus::Success), 1);
    assert_eq!(shop.seen.count("CallEnded"), 1);
}

#[rstest]
#[case("hang")]
#[case("hangAndWrite")]
#[tokio::test]
async fn e01_a_call_that_never_ends_is_stopped_at_its_limit_and_recorded(#[case] action: &str) {
    let shop = Shop::open();
    let error = shop.call(&user(1), action, json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PluginTimedOut);
    assert_eq!(failure_code(&shop.only_call().await.outcome), "plugin_timed_out");
    assert_eq!(shop.lab.dropped(), 1);
}

#[rstest]
#[case("huge", "the plugin's result is larger than 8 MiB")]
#[case("deep", "the plugin's result has more than 64 levels")]
#[case("misfit", "the plugin's result doesn't fit the plugin's own schema")]
#[tokio::test]
async fn e02_a_result_outside_its_bounds_or_schema_is_refused_and_recorded(
    #[case] action: &str,
    #[case] message: &str,
) {
    let shop = Shop::open();
    let error = shop.call(&user(1), action, json!({})).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::PluginFailed, message)
    );
    assert_eq!(failure_code(&shop.only_call().await.outcome), "plugin_failed");
}

#[rstest]
#[case("unauthenticated", ErrorCode::PluginFailed)]
#[case("forbidden", ErrorCode::PluginFailed)]
#[case("conflict", ErrorCode::PluginFailed)]
#[case("plugin_failed", ErrorCode::PluginFailed)]
#[case("rate_limited", ErrorCode::PluginUnavailable)]
#[case("unavailable", ErrorCode::PluginUnavailable)]
#[case("request_timed_out", ErrorCode::PluginTimedOut)]
#[tokio::test]
async fn a_plugin_fails_as_a_plugin_whatever_it_says(#[case] said: &str, #[case] code: ErrorCode) {
    let shop = Shop::open();
    let payload = json!({ "code": said, "message": "no" });
    let error = shop.call(&user(1), "fail", payload).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (code, "no"));
}

#[tokio::test]
async fn a_plugin_s_complaint_about_a_field_is_one_about_the_payload() {
    let shop = Shop::open();
    let payload = json!({ "code": "validation_failed", "path": "a.0", "message": "is odd" });
    let error = shop.call(&user(1), "fail", payload).await.unwrap_err();
    assert_eq!(error.message(), "payload.a.0 is odd");
}

#[tokio::test]
async fn e01_a_plugin_s_endless_error_message_is_cut() {
    let shop = Shop::open();
    let payload = json!({ "code": "plugin_failed", "message": "x".repeat(100_000) });
    let error = shop.call(&user(1), "fail", payload).await.unwrap_err();
    assert_eq!(error.message().len(), 1_000);
}

/// Lets `count` calls of the plugin that takes one at a time begin, and waits until the first runs.
async fn crowd(shop: &Shop, count: usize) -> Vec<JoinHandle<Result<Executed>>> {
    let calls = (0..count)
        .map(|_| shop.begin("single", "wait", json!({})))
        .collect();
    shop.lab.begun().await;
    calls
}

#[tokio::test]
async fn a_call_waits_until_the_plugin_can_take_it() {
    let shop = Shop::open();
    let calls = crowd(&shop, 2).await;
    assert_eq!(shop.lab.calls(), 1);
    shop.lab.finish();
    shop.lab.begun().await;
    shop.lab.finish();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_call_beyond_those_that_may_wait_is_refused_at_once_and_recorded() {
    let shop = Shop::open();
    let mut calls = crowd(&shop, 1 + 16 + 1).await;
    let (first, _, rest) = futures_util::future::select_all(calls.drain(..)).await;
    let error = first.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(error.wait().is_some());
    assert_eq!(failure_code(&shop.only_call().await.outcome), "overloaded");
    assert_eq!(rest.len(), 17, "one runs and sixteen wait");
    rest.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_find_all_their_calls_in_the_history() {
    let shop = Shop::open();
    let callers = (1..=64).map(|number| {
        let shop = &shop;
        async move {
            for turn in 0..5 {
                let payload = json!({ "n": number, "turn": turn });
                let action = if turn == 0 { "write" } else { "echo" };
                shop.call(&user(number), action, payload).await.unwrap();
            }
        }
    });
    join_all(callers).await;
    let (page, filter) = (newest_first(1), ExecutionFilter::default());
    let listed = shop.listed(&admin(), filter, page).await.unwrap();
    assert_eq!(listed.total, 64 * 5);
}

#[tokio::test]
async fn the_operator_s_calls_belong_to_nobody() {
    let shop = Shop::open();
    let operator = Principal::admin_key();
    assert_eq!(
        (operator.subject, operator.role),
        (Subject::BuiltinAdmin, Role::Admin)
    );
    shop.call(&operator, "echo", json!({})).await.unwrap();
    assert_eq!(shop.only_call().await.user_id, None);
}

#[tokio::test]
async fn closing_waits_for_a_call_that_is_being_recorded_and_then_refuses_calls() {
    let shop = Shop::open();
    let hold = shop.store.hold("record_execution");
    let running = shop.begin("lab", "echo", json!({}));
    hold.reached().await;
    let mut closing = Box::pin(shop.engine.close());
    assert!(futures_util::poll!(&mut closing).is_pending());
    let error = shop.call(&user(1), "echo", json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    hold.release();
    running.await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(30), closing)
        .await
        .unwrap()
        .unwrap();
}
