//! Statistics of numbers.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{refused_path, run};

async fn process(data: Value) -> Value {
    run("dataProcessor.process", json!({ "data": data }))
        .await
        .unwrap()
}

#[tokio::test]
async fn everything_is_computed_when_nothing_is_chosen() {
    let expected = json!({
        "count": 8,
        "sum": 40,
        "mean": 5,
        "median": 4.5,
        "min": 2,
        "max": 9,
        "standardDeviation": 2,
        "sampleStandardDeviation": (32.0_f64 / 7.0).sqrt(),
        "variance": 4,
        "percentiles": { "p25": 4, "p50": 4.5, "p75": 5.5, "p90": 7.6, "p95": 8.3, "p99": 8.86 },
    });
    let mut computed = process(json!([9, 2, 4, 7, 4, 5, 4, 5])).await;
    for (name, value) in computed["percentiles"].as_object_mut().unwrap() {
        let rounded = (value.as_f64().unwrap() * 1e9).round() / 1e9;
        assert_eq!(rounded, expected["percentiles"][name].as_f64().unwrap(), "{name}");
        *value = expected["percentiles"][name].clone();
    }
    assert_eq!(computed, expected);
}

#[tokio::test]
async fn only_what_is_chosen_is_computed() {
    let payload = json!({ "data": [1, 2], "operations": ["max", "mean"] });
    let computed = run("dataProcessor.process", payload).await.unwrap();
    assert_eq!(computed, json!({ "mean": 1.5, "max": 2 }));
}

#[tokio::test]
async fn a_single_number_has_no_deviation_as_a_sample() {
    let computed = process(json!([-3.5])).await;
    assert_eq!(computed["sampleStandardDeviation"], Value::Null);
    assert_eq!(
        (&computed["standardDeviation"], &computed["median"]),
        (&json!(0), &json!(-3.5))
    );
}

#[tokio::test]
async fn c05_a_result_beyond_floating_point_is_refused_with_its_name() {
    let payload = json!({ "data": [1.7e308, 1.7e308], "operations": ["sum"] });
    let error = run("dataProcessor.process", payload).await.unwrap_err();
    assert_eq!(error.details()[0].path, "data");
    assert!(
        error.message().contains("no sum within 64-bit floating point"),
        "{error}"
    );
    let payload = json!({ "data": [1.7e308, 1.7e308], "operations": ["mean", "max"] });
    assert!(run("dataProcessor.process", payload).await.is_ok());
}

#[rstest]
#[case(json!({ "data": [] }), "data")]
#[case(json!({ "data": [1, "2"] }), "data.1")]
#[case(json!({ "data": [1, null] }), "data.1")]
#[case(json!({ "data": "1,2" }), "data")]
#[case(json!({ "data": vec![0; 100_001] }), "data")]
#[case(json!({ "data": [1], "operations": ["mode"] }), "operations.0")]
#[case(json!({ "data": [1], "more": 1 }), "more")]
#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place(#[case] payload: Value, #[case] path: &str) {
    assert_eq!(refused_path(run("dataProcessor.process", payload).await), path);
}

#[tokio::test]
async fn a_hundred_thousand_numbers_are_computed_off_the_threads_that_serve() {
    let data: Vec<u32> = (1..=100_000).collect();
    let computed = process(json!(data)).await;
    assert_eq!(
        (&computed["sum"], &computed["median"]),
        (&json!(5_000_050_000_u64), &json!(50_000.5))
    );
}

proptest! {
    #[test]
    fn results_agree_with_their_definitions(data in prop::collection::vec(-1_000_000_i32..1_000_000, 1..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let computed = runtime.block_on(process(json!(data)));
        let mut sorted = data.clone();
        sorted.sort_unstable();
        let middle = |index: usize| f64::from(sorted[index]);
        let median = (middle((sorted.len() - 1) / 2) + middle(sorted.len() / 2)) / 2.0;
        let sum: i64 = data.iter().map(|value| i64::from(*value)).sum();
        prop_assert_eq!(computed["count"].as_u64(), u64::try_from(data.len()).ok());
        prop_assert_eq!(computed["sum"].as_i64(), Some(sum));
        prop_assert_eq!(computed["median"].as_f64(), Some(median));
        prop_assert_eq!(computed["min"].as_f64(), Some(middle(0)));
        prop_assert_eq!(computed["max"].as_f64(), Some(middle(sorted.len() - 1)));
    }
}
