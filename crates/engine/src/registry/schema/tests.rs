use rstest::rstest;
use serde_json::json;

use super::*;

fn complaints(schema: &Value, value: &Value) -> Vec<(String, String)> {
    let error = Schema::compile(schema).unwrap().check(value).unwrap_err();
    let details = error.details().iter();
    details
        .map(|detail| (detail.path.clone(), detail.message.clone()))
        .collect()
}

#[rstest]
#[case(json!({"required": ["message"]}), json!({}), "message", "is required")]
#[case(json!({"additionalProperties": false}), json!({"x": 1}), "", "must have no fields")]
#[case(json!({"properties": {"a": {}}, "additionalProperties": false}), json!({"x": 1}), "x", "is not a known field")]
#[case(json!({"properties": {"a": {"type": "string"}}}), json!({"a": 1}), "a", "must be a string")]
#[case(json!({"properties": {"a": {"type": ["array", "null"]}}}), json!({"a": 1}), "a", "must be null or an array")]
#[case(json!({"properties": {"a": {"items": {"minimum": 3}}}}), json!({"a": [3, 2]}), "a.1", "must be at least 3")]
#[case(json!({"properties": {"a": {"maxLength": 1}}}), json!({"a": "bc"}), "a", "must have at most 1 character")]
#[case(json!({"properties": {"a": {"enum": ["x", 2]}}}), json!({"a": "bc"}), "a", "must be one of x, 2")]
#[case(json!({"properties": {"a/b~": {"const": 1}}}), json!({"a/b~": 2}), "a/b~", "must be 1")]
#[case(json!({"type": "object"}), json!([1]), "", "must be an object")]
fn a_mistake_is_told_with_its_place_and_what_is_accepted(
    #[case] schema: Value,
    #[case] value: Value,
    #[case] path: &str,
    #[case] message: &str,
) {
    assert_eq!(
        complaints(&schema, &value),
        [(path.to_owned(), message.to_owned())]
    );
}

#[test]
fn of_several_forms_the_one_that_was_meant_is_complained_about() {
    let form = |kind: &str, field: &str| {
        json!({
            "type": "object",
            "properties": { "kind": { "const": kind }, (field): { "type": "integer" } },
            "required": ["kind", field],
        })
    };
    let schema = json!({ "oneOf": [form("sort", "by"), form("limit", "count")] });
    let expected = [("count".to_owned(), "is required".to_owned())];
    assert_eq!(complaints(&schema, &json!({ "kind": "limit" })), expected);
}

#[test]
fn at_most_twenty_mistakes_are_told_and_none_repeats_what_was_sent() {
    let schema = json!({ "items": { "type": "integer" } });
    let secret = "hunter2".repeat(1_000);
    let told = complaints(&schema, &json!(vec![secret; 500]));
    assert_eq!(told.len(), Error::MAX_DETAILS);
    assert!(
        told.iter()
            .all(|(_, message)| message == "must be a whole number")
    );
}

#[test]
fn in_a_large_value_the_first_mistake_is_told() {
    let schema = json!({ "items": { "type": "integer" } });
    let told = complaints(&schema, &json!(vec!["x"; 100_000]));
    assert_eq!(told, [("0".to_owned(), "must be a whole number".to_owned())]);
}

#[rstest]
#[case::another_server(json!({"$ref": "http://127.0.0.1:9/schema.json"}))]
#[case::a_file(json!({"$ref": "file:///etc/passwd"}))]
#[case::another_draft(json!({"$schema": "http://json-schema.org/draft-07/schema#"}))]
#[case::a_wrong_keyword(json!({"type": "objekt"}))]
#[case::look_around(json!({"pattern": "(?=a)b"}))]
#[case::no_schema(json!(5))]
fn e06_a_schema_that_reaches_out_or_is_none_is_refused(#[case] schema: Value) {
    assert!(Schema::compile(&schema).is_err());
}

#[test]
fn e06_a_pattern_that_backtracks_elsewhere_is_matched_in_linear_time() {
    let schema = Schema::compile(&json!({ "pattern": "^(a+)+$" })).unwrap();
    assert!(!schema.accepts(&json!("a".repeat(50_000) + "!")));
}

#[test]
fn e06_a_schema_that_refers_to_itself_accepts_what_it_describes() {
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": { "next": { "$ref": "#" } },
        "additionalProperties": false,
    }));
    let schema = schema.unwrap();
    assert!(schema.accepts(&json!({ "next": { "next": {} } })));
    assert!(!schema.accepts(&json!({ "next": { "next": 1 } })));
}

#[test]
fn e06_a_reference_in_a_circle_ends() {
    let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
    if let Ok(schema) = Schema::compile(&circle) {
        let _ = schema.accepts(&json!({}));
    }
}
