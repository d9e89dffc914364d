//! Groups of rows.

use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{refused_path, run};

async fn aggregate(payload: Value) -> Value {
    let result = run("dataProcessor.aggregate", payload).await.unwrap();
    assert_eq!(result["count"], json!(result["groups"].as_array().unwrap().len()));
    result["groups"].clone()
}

#[tokio::test]
async fn groups_stand_in_the_order_of_their_first_rows() {
    let groups = aggregate(json!({
        "rows": [
            { "team": "red", "points": 3 },
            { "team": "blue", "points": 1 },
            { "team": "red", "points": 5 },
            { "points": 7 },
        ],
        "groupBy": ["team"],
        "aggregations": [{ "operation": "count" }, { "operation": "sum", "field": "points", "as": "total" }],
    }));
    let expected = json!([
        { "team": "red", "count": 2, "total": 8 },
        { "team": "blue", "count": 1, "total": 1 },
        { "team": null, "count": 1, "total": 7 },
    ]);
    assert_eq!(groups.await, expected);
}

#[tokio::test]
async fn every_operation_passes_null_over() {
    let operations = [
        "count",
        "countDistinct",
        "sum",
        "mean",
        "median",
        "min",
        "max",
        "standardDeviation",
        "variance",
    ];
    let aggregations: Vec<Value> = operations
        .iter()
        .map(|operation| json!({ "operation": operation, "field": "x", "as": operation }))
        .collect();
    let rows = json!([{ "x": 2 }, { "x": 4 }, { "x": null }, {}, { "x": 4.0 }, { "x": 6 }]);
    let groups = aggregate(json!({ "rows": rows, "aggregations": aggregations })).await;
    let expected = json!([{
        "count": 4, "countDistinct": 3, "sum": 16, "mean": 4, "median": 4, "min": 2, "max": 6,
        "standardDeviation": 2_f64.sqrt(), "variance": 2,
    }]);
    assert_eq!(groups, expected);
}

#[tokio::test]
async fn no_numbers_have_a_sum_and_nothing_else() {
    let aggregations = json!([{ "operation": "sum", "field": "x" }, { "operation": "mean", "field": "x" }, { "operation": "count" }]);
    let groups = aggregate(json!({ "rows": [], "aggregations": aggregations })).await;
    assert_eq!(groups, json!([{ "sum_x": 0, "mean_x": null, "count": 0 }]));
}

#[tokio::test]
async fn values_that_mean_the_same_are_one_group_and_no_others() {
    let values = [
        json!(1),
        json!(1.0),
        json!("1"),
        json!(true),
        json!("true"),
        json!(null),
        json!("null"),
    ];
    let rows: Vec<Value> = values.into_iter().map(|x| json!({ "x": x })).collect();
    let groups =
        aggregate(json!({ "rows": rows, "groupBy": ["x"], "aggregations": [{ "operation": "count" }] }))
            .await;
    let counts: Vec<&Value> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["count"])
        .collect();
    assert_eq!(counts, [2, 1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn texts_that_hold_separators_do_not_run_into_each_other() {
    let rows = json!([{ "a": "x;s1:y", "b": "z" }, { "a": "x", "b": "y;s1:z" }]);
    let payload = json!({ "rows": rows, "groupBy": ["a", "b"], "aggregations": [{ "operation": "count" }] });
    assert_eq!(aggregate(payload).await.as_array().unwrap().len(), 2);
}

#[rstest]
#[case(json!([{ "operation": "sum" }]), "aggregations.0.field")]
#[case(json!([{ "operation": "sum", "field": "t" }]), "rows.1.t")]
#[case(json!([{ "operation": "countDistinct", "field": "l" }]), "rows.1.l")]
#[case(json!([{ "operation": "count", "as": "n" }, { "operation": "sum", "field": "n", "as": "n" }]), "aggregations.0.as")]
#[case(json!([]), "aggregations")]
#[tokio::test]
async fn what_can_not_be_computed_is_refused_with_its_place(#[case] aggregations: Value, #[case] path: &str) {
    let rows = json!([{ "n": 1 }, { "n": 1, "t": "text", "l": [] }]);
    let payload = json!({ "rows": rows, "groupBy": ["n"], "aggregations": aggregations });
    assert_eq!(refused_path(run("dataProcessor.aggregate", payload).await), path);
}
