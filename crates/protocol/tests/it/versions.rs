//! Versions, `_meta`, and which methods there are.

use protocol::{METHODS, MethodRow, Revision};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::{CAPABILITIES_KEY, VERSION, VERSION_KEY, meta, request},
};

fn discover(meta: Value) -> Value {
    request("server/discover", json!({ "_meta": meta }))
}

#[tokio::test]
async fn f04_an_unknown_version_is_answered_with_those_that_are_spoken() {
    let message = discover(json!({ VERSION_KEY: "1900-01-01", CAPABILITIES_KEY: {} }));
    let answer = Bench::new()
        .send_with(&message, &[("mcp-protocol-version", Some("1900-01-01"))])
        .await;
    assert_eq!((answer.status, answer.code()), (400, -32_022));
    assert_eq!(answer.json["id"], 7);
    let data = &answer.json["error"]["data"];
    assert_eq!(data["requested"], "1900-01-01");
    assert_eq!(
        data["supported"],
        json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"])
    );
}

#[tokio::test]
async fn an_older_version_without_a_session_is_not_offered_again() {
    let message = discover(json!({ VERSION_KEY: "2025-11-25", CAPABILITIES_KEY: {} }));
    let answer = Bench::new()
        .send_with(&message, &[("mcp-protocol-version", Some("2025-11-25"))])
        .await;
    assert_eq!((answer.status, answer.code()), (400, -32_022));
    assert_eq!(answer.json["error"]["data"]["supported"], json!([VERSION]));
}

#[rstest]
#[case::no_meta(json!({}))]
#[case::no_version(json!({ "_meta": { CAPABILITIES_KEY: {} } }))]
#[case::no_capabilities(json!({ "_meta": { VERSION_KEY: VERSION } }))]
#[case::capabilities_are_a_list(json!({ "_meta": { VERSION_KEY: VERSION, CAPABILITIES_KEY: [] } }))]
#[case::version_is_a_number(json!({ "_meta": { VERSION_KEY: 2026, CAPABILITIES_KEY: {} } }))]
#[case::meta_is_text(json!({ "_meta": "none" }))]
#[tokio::test]
async fn a_request_that_says_too_little_of_itself_is_refused(#[case] params: Value) {
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "server/discover", "params": params });
    let answer = Bench::new().send(&Who::user("ada"), &message).await;
    assert_eq!((answer.status, answer.code()), (400, -32_602), "{}", answer.json);
    assert_eq!(answer.json["id"], 7);
}

#[rstest]
#[case("io.modelcontextprotocol/logLevel", json!("loud"))]
#[case("io.modelcontextprotocol/logLevel", json!(3))]
#[case("io.modelcontextprotocol/clientInfo", json!("me"))]
#[case("progressToken", json!(1.5))]
#[case("progressToken", json!(null))]
#[tokio::test]
async fn what_is_said_wrongly_is_refused(#[case] key: &str, #[case] value: Value) {
    let mut meta = meta();
    meta[key] = value;
    let answer = Bench::new().send(&Who::user("ada"), &discover(meta)).await;
    assert_eq!((answer.status, answer.code()), (400, -32_602));
}

#[tokio::test]
async fn a_client_needs_not_say_who_it_is() {
    assert_eq!(Bench::new().ask("server/discover", json!({})).await.status, 200);
}

#[tokio::test]
async fn discovery_tells_versions_capabilities_and_instructions() {
    let answer = Bench::new().ask("server/discover", json!({})).await;
    insta::assert_json_snapshot!(answer.result(), @r#"
    {
      "resultType": "complete",
      "supportedVersions": [
        "2026-07-28",
        "2025-11-25",
        "2025-06-18",
        "2025-03-26"
      ],
      "capabilities": {
        "tools": {
          "listChanged": true
        },
        "logging": {},
        "prompts": {
          "listChanged": true
        },
        "resources": {
          "listChanged": true,
          "subscribe": true
        },
        "completions": {},
        "extensions": {
          "io.modelcontextprotocol/tasks": {}
        }
      },
      "instructions": "Try things.",
      "ttlMs": 600000,
      "cacheScope": "public",
      "_meta": {
        "io.modelcontextprotocol/serverInfo": {
          "name": "lab",
          "title": "The lab",
          "version": "1.2.3"
        }
      }
    }
    "#);
}

#[rstest]
#[case("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } }))]
#[case("ping", json!({}))]
#[case("logging/setLevel", json!({ "level": "info" }))]
#[case("resources/subscribe", json!({ "uri": "lab://notes/1" }))]
#[case("resources/unsubscribe", json!({ "uri": "lab://notes/1" }))]
#[case("tasks/list", json!({}))]
#[case("tasks/result", json!({ "taskId": "task-0" }))]
#[case("roots/list", json!({}))]
#[case("unknown/method", json!({}))]
#[case("TOOLS/LIST", json!({}))]
#[case("", json!({}))]
#[tokio::test]
async fn a_method_that_was_removed_or_never_was_is_not_found(#[case] method: &str, #[case] params: Value) {
    let answer = Bench::new().ask(method, params).await;
    assert_eq!((answer.status, answer.code()), (404, -32_601), "{}", answer.json);
    assert_eq!(answer.json["id"], 7);
}

#[test]
fn no_method_of_sessions_is_in_the_stateless_revision_and_none_of_it_in_the_older_ones() {
    for row in METHODS {
        let is_new = row.is_in(Revision::V2026_07_28);
        let is_old = row.is_in(Revision::V2025_11_25);
        assert!(is_new || is_old, "{}", row.name);
        for revision in Revision::ALL {
            assert_eq!(MethodRow::find(row.name, revision).is_some(), row.is_in(revision));
        }
    }
    let only = |revision| {
        let names = METHODS
            .iter()
            .filter(move |row| row.since == revision && row.until == revision);
        names.map(|row| row.name).collect::<Vec<_>>()
    };
    let new = [
        "server/discover",
        "subscriptions/listen",
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
    ];
    assert_eq!(only(Revision::V2026_07_28), new);
}

#[tokio::test]
async fn a_trace_context_comes_through() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let mut meta = meta();
    meta["traceparent"] = json!(trace);
    let bench = Bench::new();
    let named = bench
        .ask("tools/call", json!({ "name": "trace", "_meta": meta }))
        .await;
    assert_eq!(named.result()["content"][0]["text"], trace);
    let message = request("tools/call", json!({ "name": "trace" }));
    let by_header = bench.send_with(&message, &[("traceparent", Some(trace))]).await;
    assert_eq!(by_header.result()["content"][0]["text"], trace);
    let wrong = bench
        .send_with(&message, &[("traceparent", Some("00-1-2-3"))])
        .await;
    assert_eq!(wrong.result()["content"][0]["text"], "none");
}
