//! Steps over rows.

use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{refused_path, run};

async fn transform(rows: Value, operations: Value) -> Value {
    let payload = json!({ "rows": rows, "operations": operations });
    let result = run("dataProcessor.transform", payload).await.unwrap();
    assert_eq!(result["count"], json!(result["rows"].as_array().unwrap().len()));
    result["rows"].clone()
}

#[tokio::test]
async fn steps_are_done_one_after_the_other() {
    let rows = json!([
        { "item": "pen", "price": 2, "count": 10 },
        { "item": "ink", "price": 8.5, "count": 2 },
        { "item": "pad", "price": 3, "count": 0 },
    ]);
    let operations = json!([
        { "operation": "filter", "field": "count", "comparison": "greaterThan", "value": 0 },
        { "operation": "derive", "field": "total", "left": "price", "operator": "multiply", "right": "count" },
        { "operation": "sort", "field": "total" },
        { "operation": "rename", "from": "item", "to": "name" },
        { "operation": "select", "fields": ["total", "name", "absent"] },
    ]);
    let expected = json!([{ "total": 17, "name": "ink" }, { "total": 20, "name": "pen" }]);
    assert_eq!(transform(rows, operations).await, expected);
}

#[rstest]
#[case("equals", json!(1), &[0, 1])]
#[case("equals", json!(null), &[5])]
#[case("notEquals", json!(1), &[2, 3, 4, 5])]
#[case("lessThan", json!(2), &[0, 1])]
#[case("atMost", json!(2), &[0, 1, 2])]
#[case("greaterThan", json!(1), &[2])]
#[case("atLeast", json!("b"), &[3])]
#[case("in", json!([2, "bc"]), &[2, 3])]
#[case("contains", json!("c"), &[3])]
#[case("contains", json!(7), &[4])]
#[case("exists", json!(true), &[0, 1, 2, 3, 4])]
#[case("exists", json!(false), &[5])]
#[tokio::test]
async fn filter_keeps_the_rows_that_hold(
    #[case] comparison: &str,
    #[case] value: Value,
    #[case] kept: &[u32],
) {
    let rows = json!([
        { "n": 0, "x": 1 }, { "n": 1, "x": 1.0 }, { "n": 2, "x": 2 }, { "n": 3, "x": "bc" }, { "n": 4, "x": [7.0] }, { "n": 5 },
    ]);
    let operations = json!([
        { "operation": "filter", "field": "x", "comparison": comparison, "value": value },
    ]);
    let left = transform(rows, operations).await;
    let left: Vec<&Value> = left.as_array().unwrap().iter().map(|row| &row["n"]).collect();
    assert_eq!(left, kept);
}

#[rstest]
#[case("ascending", json!([1, 2, 10, "a", "b", true, null]))]
#[case("descending", json!([true, "b", "a", 10, 2, 1, null]))]
#[tokio::test]
async fn sort_puts_numbers_before_texts_and_null_last(#[case] direction: &str, #[case] sorted: Value) {
    let rows: Vec<Value> = [
        json!("b"),
        json!(10),
        json!(null),
        json!(2),
        json!("a"),
        json!(true),
        json!(1),
    ]
    .into_iter()
    .map(|x| json!({ "x": x }))
    .collect();
    let operations = json!([{ "operation": "sort", "field": "x", "direction": direction }]);
    let rows = transform(json!(rows), operations).await;
    let values: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["x"]).collect();
    assert_eq!(json!(values), sorted);
}

#[tokio::test]
async fn sort_keeps_the_order_of_equal_rows() {
    let rows = json!([{ "k": 1, "n": 0 }, { "k": 0, "n": 1 }, { "k": 1, "n": 2 }, { "k": 0, "n": 3 }]);
    let sorted = transform(
        rows,
        json!([{ "operation": "sort", "field": "k", "direction": "descending" }]),
    )
    .await;
    let order: Vec<&Value> = sorted.as_array().unwrap().iter().map(|row| &row["n"]).collect();
    assert_eq!(order, [0, 2, 1, 3]);
}

#[tokio::test]
async fn limit_takes_so_many_after_those_passed_over() {
    let rows = json!([{ "n": 0 }, { "n": 1 }, { "n": 2 }]);
    let some = transform(
        rows.clone(),
        json!([{ "operation": "limit", "count": 1, "offset": 1 }]),
    )
    .await;
    assert_eq!(some, json!([{ "n": 1 }]));
    let none = transform(rows, json!([{ "operation": "limit", "count": 5, "offset": 9 }])).await;
    assert_eq!(none, json!([]));
}

#[tokio::test]
async fn rename_keeps_the_place_and_replaces_a_field_of_that_name() {
    let rows = json!([{ "a": 1, "b": 2, "c": 3 }, { "b": 4 }]);
    let renamed = transform(rows, json!([{ "operation": "rename", "from": "a", "to": "c" }])).await;
    assert_eq!(renamed.to_string(), r#"[{"c":1,"b":2},{"b":4}]"#);
}

#[tokio::test]
async fn derive_gives_null_where_there_is_nothing_to_compute() {
    let rows = json!([{ "a": 6, "b": 4 }, { "a": 1, "b": 0 }, { "a": "6", "b": 1 }, {}]);
    let operations =
        json!([{ "operation": "derive", "field": "q", "left": "a", "operator": "divide", "right": "b" }]);
    let derived = transform(rows, operations).await;
    let quotients: Vec<&Value> = derived.as_array().unwrap().iter().map(|row| &row["q"]).collect();
    assert_eq!(json!(quotients), json!([1.5, null, null, null]));
}

#[rstest]
#[case(json!({ "operation": "filter", "field": "x", "comparison": "in", "value": 1 }), "operations.0.value")]
#[case(json!({ "operation": "filter", "field": "x", "comparison": "lessThan" }), "operations.0.value")]
#[case(json!({ "operation": "filter", "field": "x", "comparison": "exists", "value": 1 }), "operations.0.value")]
#[case(json!({ "operation": "derive", "field": "y", "left": 1e308, "operator": "multiply", "right": 10 }), "operations.0")]
#[tokio::test]
async fn a_step_that_can_not_be_done_is_refused_with_its_place(#[case] operation: Value, #[case] path: &str) {
    let payload = json!({ "rows": [{ "x": 1 }], "operations": [operation] });
    assert_eq!(refused_path(run("dataProcessor.transform", payload).await), path);
}

#[tokio::test]
async fn more_rows_or_steps_than_the_limit_are_refused() {
    let step = json!({ "operation": "limit", "count": 1 });
    let payload = json!({ "rows": vec![json!({}); 10_001], "operations": [step] });
    assert_eq!(
        refused_path(run("dataProcessor.transform", payload).await),
        "rows"
    );
    let payload = json!({ "rows": [], "operations": vec![step; 21] });
    assert_eq!(
        refused_path(run("dataProcessor.transform", payload).await),
        "operations"
    );
}
