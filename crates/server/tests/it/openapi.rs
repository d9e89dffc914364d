//! The OpenAPI document: complete, and true for what it describes.

use model::{Email, KeyName, PluginName, Scope, Tag, TaskDescription, TaskTitle, UniqueKey, Username};
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert_eq, prop_oneof, proptest};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{caller::Person, contract, fixture::Server};

#[test]
fn the_whole_document_is_known() {
    insta::assert_json_snapshot!(contract::document());
}

#[test]
fn every_operation_has_a_name_a_tag_and_a_summary_of_its_own() {
    let mut names = Vec::new();
    for item in contract::document()["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            names.push(operation["operationId"].as_str().unwrap());
            assert!(
                operation["summary"].is_string() && operation["tags"].is_array(),
                "{operation}"
            );
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(value: &Value) {
        match value {
            Value::Object(entries) => {
                if let Some(place) = entries.get("$ref").and_then(Value::as_str) {
                    assert!(
                        contract::document()
                            .pointer(place.trim_start_matches('#'))
                            .is_some(),
                        "{place}"
                    );
                }
                entries.values().for_each(check);
            }
            Value::Array(items) => items.iter().for_each(check),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    check(contract::document());
}

#[test]
fn the_codes_of_failures_are_the_closed_list() {
    let listed = &contract::document()["components"]["schemas"]["ErrorCode"]["enum"];
    let known: Vec<_> = model::ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, &json!(known));
}

/// Texts near the rules of names: letters, marks, signs, spaces, and anything else.
fn texts() -> impl Strategy<Value = String> {
    let signs = prop::sample::select(
        " @.-_:+!#$%&'*/=?^`{|}~\"()<>[];,\\\t\n\r\u{0}\u{7f}\u{9f}\u{a0}\u{ad}\u{200b}\u{202e}\u{feff}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let edges = prop::sample::select("\u{bf}\u{c0}\u{d7}\u{2ff}\u{300}\u{34f}\u{370}\u{37e}\u{61c}\u{115f}\u{180b}\u{1fff}\u{2000}\u{2fef}\u{3004}\u{3164}\u{d7ff}\u{fdd0}\u{fe6f}\u{ff21}\u{ffa0}\u{10000}".chars().collect::<Vec<_>>());
    let letters = prop::sample::select("abzAZ09ıİßäЖ日ａ".chars().collect::<Vec<_>>());
    let near = prop::collection::vec(prop_oneof![4 => letters, 2 => signs, 1 => edges], 0..12);
    let near = near.prop_map(|chars| chars.into_iter().collect());
    let address = r" ?[a-z.]{1,66}@[a-z-]{1,65}(\.[a-z0-9-]{1,5}){0,3} ?";
    let scope = "(tasks|plugins|users|history|admin)(:(read|write|execute))?(:[a-z_-]{0,5}[A-Z_]{0,3})?";
    prop_oneof![2 => near, 2 => address, 2 => scope, 1 => "[a-zA-Z_-]{0,34}", 1 => ".{0,110}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn patterns_accept_what_the_server_accepts(text in texts()) {
        let accepts = |name: &str| {
            let schema = contract::document().pointer(&format!("/components/schemas/{name}")).unwrap();
            contract::is_valid(schema, &json!(text))
        };
        prop_assert_eq!(accepts("EmailAddress"), Email::parse(&text).is_ok());
        prop_assert_eq!(accepts("UserName"), Username::parse(&text).is_ok());
        prop_assert_eq!(accepts("KeyName"), KeyName::parse(&text).is_ok());
        prop_assert_eq!(accepts("PluginName"), PluginName::parse(&text).is_ok());
        prop_assert_eq!(accepts("TaskTitle"), TaskTitle::parse(&text).is_ok());
        prop_assert_eq!(accepts("TaskDescription"), TaskDescription::parse(&text).is_ok());
        prop_assert_eq!(accepts("Tag"), Tag::parse(&text).is_ok());
        prop_assert_eq!(accepts("UniqueKey"), UniqueKey::parse(&text).is_ok());
        let scopes = contract::document().pointer("/components/schemas/Scopes").unwrap();
        prop_assert_eq!(contract::is_valid(scopes, &json!([text])), text.parse::<Scope>().is_ok());
    }
}

/// Bodies beside the examples of the document that a route accepts or refuses, and the document alike.
#[rstest]
#[case("put", "/api/v1/auth/profile", json!({}))]
#[case("put", "/api/v1/auth/profile", json!({ "metadata": null }))]
#[case("put", "/api/v1/auth/profile", json!({ "username": null }))]
#[case("put", "/api/v1/auth/profile", json!({ "email": "a@b" }))]
#[case("put", "/api/v1/auth/profile", json!({ "role": "user" }))]
#[case("put", "/api/v1/auth/profile", json!([]))]
#[case("put", "/api/v1/auth/profile", Value::Null)]
#[case("post", "/api/v1/auth/api-key/generate", json!({}))]
#[case("post", "/api/v1/auth/api-key/generate", Value::Null)]
#[case("post", "/api/v1/auth/api-key/generate", json!({ "scopes": [] }))]
#[case("post", "/api/v1/auth/api-key/generate", json!({ "scopes": null }))]
#[case("post", "/api/v1/auth/api-key/generate", json!({ "rateLimit": 1.0 }))]
#[case("post", "/api/v1/auth/api-key/generate", json!({ "rateLimit": 1_000_000_000 }))]
#[case("post", "/api/v1/auth/api-key/generate", json!({ "rateLimit": 1_000_000_001 }))]
#[case("post", "/mcp/execute", json!({ "plugin": "sample", "action": "fail", "payload": null }))]
#[case("post", "/api/v1/tasks", json!({}))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "description": null }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "tags": [], "priority": "critical", "dependsOn": [] }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "tags": ["a", "a"] }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "priority": null }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "scheduledAt": "2030-06-30T23:59:60Z" }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "scheduledAt": "2030-06-30" }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "uniqueKey": "x".repeat(256) }))]
#[case("post", "/api/v1/tasks", json!({ "title": "x", "userId": "0199c0de-0000-7000-8000-00000000abcd" }))]
#[case("post", "/api/v1/tasks/bulk", json!({ "tasks": [] }))]
#[case("post", "/api/v1/tasks/bulk", json!({ "tasks": [{ "title": "x" }] }))]
#[case("post", "/api/v1/tasks/bulk", json!([{ "title": "x" }]))]
#[tokio::test]
async fn a_body_is_refused_when_the_document_says_so(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: Value,
) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let operation = &contract::document()["paths"][path][method];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let is_described = contract::is_valid(schema, &body);
    let reply = ada
        .caller
        .send(method.to_uppercase().parse().unwrap(), path, Some(body))
        .await;
    assert_eq!(is_described, reply.status != 422, "{}", reply.text);
}

/// Changes of a task that the route accepts or refuses, and the document alike.
#[rstest]
#[case(json!({}))]
#[case(json!({ "title": null }))]
#[case(json!({ "description": null, "scheduledAt": null, "timeoutMs": null }))]
#[case(json!({ "timeoutMs": 1, "maxRetries": 100, "maxStalls": 0 }))]
#[case(json!({ "timeoutMs": 0 }))]
#[case(json!({ "timeoutMs": 86_400_001 }))]
#[case(json!({ "scheduledAt": "soon" }))]
#[case(json!({ "priority": null }))]
#[case(json!({ "tags": null }))]
#[case(json!({ "payload": { "message": "other" } }))]
#[case(json!({ "payload": null }))]
#[case(json!({ "plugin": "sample" }))]
#[case(json!({ "status": "done" }))]
#[tokio::test]
async fn a_change_of_a_task_is_refused_when_the_document_says_so(#[case] body: Value) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let task = json!({
        "title": "x", "plugin": "sample", "action": "echo", "payload": { "message": "x" },
        "scheduledAt": "2099-01-01T00:00:00Z",
    });
    let made = ada.caller.post("/api/v1/tasks", task).await.expect(201).data();
    let operation = &contract::document()["paths"]["/api/v1/tasks/{id}"]["put"];
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let is_described = contract::is_valid(schema, &body);
    let path = format!("/api/v1/tasks/{}", made["id"].as_str().unwrap());
    let reply = ada.caller.put(&path, body).await;
    assert_eq!(is_described, reply.status == 200, "{}", reply.text);
}

#[tokio::test]
async fn the_examples_of_the_document_work() {
    let server = Server::start().await;
    let ada = Person::new(&server, "someone", "admin").await;
    for (path, item) in contract::document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            if example.is_null() || path.contains('{') {
                continue;
            }
            let reply = ada
                .caller
                .send(
                    method.to_uppercase().parse().unwrap(),
                    path,
                    Some(example.clone()),
                )
                .await;
            // The account of the examples may not have been made yet.
            let works = reply.status < 300 || (path.ends_with("/login") && reply.status == 401);
            assert!(works, "{method} {path}: {}", reply.text);
        }
    }
}
