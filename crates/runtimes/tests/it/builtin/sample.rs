//! `sample`.

use std::sync::{Arc, Mutex};

use model::{Call, ErrorCode, ProgressReporter, Result};
use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{builtin, call, refused_path, run};

#[rstest]
#[case("")]
#[case("Hello")]
#[case("\u{0}\u{202e}\u{1f980} e\u{301}\n")]
#[tokio::test]
async fn echo_gives_the_message_back_unchanged(#[case] message: &str) {
    let payload = json!({ "message": message });
    assert_eq!(run("sample.echo", payload.clone()).await.unwrap(), payload);
}

#[tokio::test]
async fn echo_counts_characters_not_bytes() {
    let longest = "ß".repeat(100_000);
    assert!(run("sample.echo", json!({ "message": longest })).await.is_ok());
    let longer = run("sample.echo", json!({ "message": longest + "x" })).await;
    assert_eq!(refused_path(longer), "message");
}

#[tokio::test]
async fn echo_gives_back_nothing_but_the_message() {
    let refused = run("sample.echo", json!({ "message": "x", "other": 1 })).await;
    assert_eq!(refused_path(refused), "");
}

#[rstest]
#[case(json!(2), json!(3), json!(5))]
#[case(json!(0.1), json!(0.2), json!(0.1 + 0.2))]
#[case(json!(-1.5), json!(1.5), json!(0))]
#[case(json!(9_007_199_254_740_993_i64), json!(0), json!(9_007_199_254_740_993_i64))]
#[case(json!(i64::MAX), json!(1), json!(9_223_372_036_854_775_808_u64))]
#[case(json!(u64::MAX), json!(-1), json!(u64::MAX - 1))]
#[case(json!(u64::MAX), json!(u64::MAX), json!(2.0 * 18_446_744_073_709_551_616.0))]
#[tokio::test]
async fn c05_add_is_exact_for_whole_numbers(#[case] a: Value, #[case] b: Value, #[case] sum: Value) {
    assert_eq!(
        run("sample.add", json!({ "a": a, "b": b })).await.unwrap(),
        json!({ "sum": sum })
    );
}

#[tokio::test]
async fn c05_a_sum_beyond_floating_point_is_refused() {
    assert_eq!(
        refused_path(run("sample.add", json!({ "a": 1.7e308, "b": 1.7e308 })).await),
        ""
    );
    assert_eq!(
        refused_path(run("sample.add", json!({ "a": "1", "b": 2 })).await),
        "a"
    );
}

#[rstest]
#[case(json!(0))]
#[case(json!(5))]
#[case(json!(5.0))]
#[tokio::test]
async fn sleep_says_how_long_it_waited(#[case] ms: Value) {
    let slept = run("sample.sleep", json!({ "ms": ms })).await.unwrap();
    assert_eq!(slept["sleptMs"].as_f64(), ms.as_f64());
}

#[tokio::test]
async fn sleep_tells_how_far_it_is() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let call = Call {
        progress: ProgressReporter::new(move |progress| hear.lock().unwrap().push(progress.fraction)),
        ..call("sample.sleep", json!({ "ms": 5 }))
    };
    builtin().call(call).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.len() > 1 && heard.is_sorted(), "{heard:?}");
    assert_eq!(heard.last(), Some(&1.0));
}

#[rstest]
#[case(json!(-1))]
#[case(json!(0.5))]
#[case(json!(60_001))]
#[case(json!(1e300))]
#[case(json!("5"))]
#[tokio::test]
async fn sleep_refuses_what_is_no_time_within_a_minute(#[case] ms: Value) {
    assert_eq!(refused_path(run("sample.sleep", json!({ "ms": ms })).await), "ms");
}

#[rstest]
#[case(json!({}), ErrorCode::PluginFailed, "failed as asked")]
#[case(json!({ "message": "no" }), ErrorCode::PluginFailed, "no")]
#[case(json!({ "message": "later", "retryable": true }), ErrorCode::PluginUnavailable, "later")]
#[tokio::test]
async fn fail_fails_as_asked(#[case] payload: Value, #[case] code: ErrorCode, #[case] message: &str) {
    let failed: Result<Value> = run("sample.fail", payload).await;
    let error = failed.unwrap_err();
    assert_eq!((error.code(), error.message()), (code, message));
}
