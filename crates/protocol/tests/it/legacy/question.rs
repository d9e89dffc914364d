//! What a server asks its client in the middle of a request.

use std::time::Duration;

use protocol::Limits;
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Client, Events, REVISIONS, Reply, call, request};
use crate::host::{Bench, Who};

fn greet() -> Value {
    request("tools/call", json!({ "name": "greet" }))
}

fn answer(id: &Value, name: &str) -> Value {
    let result = json!({ "action": "accept", "content": { "name": name } });
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

async fn asked(client: &Client<'_>, message: &Value) -> (Events, Value) {
    let mut stream = client.stream(message).await;
    let question = stream.message().await;
    assert_eq!(question["method"], "elicitation/create");
    (stream, question)
}

#[rstest]
#[case("2025-06-18", None)]
#[case("2025-11-25", Some("form"))]
#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_call_and_its_answer_leads_to_the_result(
    #[case] version: &str,
    #[case] mode: Option<&str>,
) {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, version, json!({ "elicitation": {} })).await;
    let (stream, question) = asked(&client, &greet()).await;
    assert_eq!(question["params"]["message"], "Who are you?");
    assert_eq!(question["params"].get("mode").and_then(Value::as_str), mode);
    let taken = client.send(&answer(&question["id"], "Ada")).await;
    assert_eq!((taken.status, taken.json), (202, Value::Null));
    let rest = stream.rest().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["id"], 1);
    assert_eq!(
        rest[0]["result"]["content"][0]["text"],
        r#"Hello, Ada! {"round":1}"#
    );
}

#[tokio::test]
async fn prompts_and_resources_ask_too() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let read = request("resources/read", json!({ "uri": "lab://secret" }));
    let (stream, question) = asked(&client, &read).await;
    client.send(&answer(&question["id"], "Ada")).await;
    assert_eq!(stream.rest().await[0]["result"]["contents"][0]["text"], "told");
}

#[rstest]
#[case("2025-11-25", json!({}))]
#[case("2025-11-25", json!({ "elicitation": { "url": {} } }))]
#[case("2025-11-25", json!({ "sampling": {} }))]
#[case("2025-03-26", json!({ "elicitation": {} }))]
#[tokio::test]
async fn a_client_that_cannot_answer_is_told_what_it_lacks(
    #[case] version: &str,
    #[case] capabilities: Value,
) {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, version, capabilities).await;
    let refused = client.send(&greet()).await;
    assert_eq!((refused.status, refused.code()), (200, -32602));
    assert!(refused.json["error"]["data"]["requiredCapabilities"]["elicitation"].is_object());
}

#[tokio::test]
async fn a_client_that_takes_no_streams_is_not_asked() {
    let bench = Bench::new();
    let mut client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    client.set("accept", "application/json");
    let refused = client.send(&greet()).await;
    assert_eq!((refused.status, refused.code()), (200, -32600));
}

#[tokio::test]
async fn b01_an_answer_counts_only_in_the_session_that_was_asked() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let other = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let (stream, question) = asked(&client, &greet()).await;
    let forged = answer(&question["id"], "Eve");
    let refused = other.send(&forged).await;
    assert_eq!((refused.status, refused.code()), (400, -32600));
    assert_eq!(
        client.at(&bench, Who::user("eve")).send(&forged).await.status,
        404
    );
    assert_eq!(client.send(&answer(&question["id"], "Ada")).await.status, 202);
    let text = &stream.rest().await[0]["result"]["content"][0]["text"];
    assert!(text.as_str().unwrap().starts_with("Hello, Ada"));
}

#[tokio::test]
async fn f03_an_answer_is_taken_once() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let (stream, question) = asked(&client, &greet()).await;
    assert_eq!(client.send(&answer(&question["id"], "Ada")).await.status, 202);
    stream.rest().await;
    assert_eq!(client.send(&answer(&question["id"], "Ada")).await.status, 400);
}

#[tokio::test]
async fn a_client_that_refuses_a_question_ends_the_call() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let (stream, question) = asked(&client, &greet()).await;
    let error = json!({ "code": -1, "message": "no user here" });
    let refusal = json!({ "jsonrpc": "2.0", "id": question["id"], "error": error });
    assert_eq!(client.send(&refusal).await.status, 202);
    let rest = stream.rest().await;
    assert_eq!(rest[0]["error"]["code"], -32603);
    assert!(
        rest[0]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no user here")
    );
}

#[tokio::test]
async fn a_question_that_is_not_answered_in_time_is_withdrawn() {
    let bench = Bench::with(Limits {
        answers_within: Duration::from_millis(1),
        ..Limits::default()
    });
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let (stream, question) = asked(&client, &greet()).await;
    let rest = stream.rest().await;
    assert_eq!(rest[0]["method"], "notifications/cancelled");
    assert_eq!(rest[0]["params"]["requestId"], question["id"]);
    assert_eq!(rest[1]["error"]["code"], -32603);
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_answer() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let (stream, _) = asked(&client, &greet()).await;
    bench.stop.cancel();
    assert_eq!(stream.rest().await.last().unwrap()["error"]["code"], -32603);
}

#[tokio::test]
async fn calls_of_one_id_are_asked_each_for_itself() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-06-18", json!({ "elicitation": {} })).await;
    let (one, first) = asked(&client, &greet()).await;
    let (other, second) = asked(&client, &greet()).await;
    assert_ne!(first["id"], second["id"]);
    client.send(&answer(&second["id"], "Bob")).await;
    client.send(&answer(&first["id"], "Ada")).await;
    for (stream, name) in [(one, "Ada"), (other, "Bob")] {
        let rest = stream.rest().await;
        let text = rest[0]["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn a_question_is_put_again_to_a_client_that_comes_back() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let mut stream = client.stream(&greet()).await;
    let priming = stream.next().await.unwrap();
    drop(stream);
    let mut stream = Events::of(client.resume(&priming.id.unwrap()).await);
    let question = stream.message().await;
    assert_eq!(
        Reply::of(client.open(&answer(&question["id"], "Ada")).await)
            .await
            .status,
        202
    );
    assert!(stream.rest().await[0]["result"].is_object());
}

fn ask(kind: &str, params: Value) -> Value {
    request(
        "tools/call",
        json!({ "name": "ask", "arguments": { "kind": kind, "params": params } }),
    )
}

#[rstest]
#[case("sampling", json!({ "messages": [], "maxTokens": 9 }), "sampling/createMessage")]
#[case("roots", json!({}), "roots/list")]
#[tokio::test]
async fn models_and_roots_are_asked_for_in_every_older_revision(
    #[case] kind: &str,
    #[case] params: Value,
    #[case] method: &str,
) {
    let bench = Bench::new();
    for version in REVISIONS {
        let client = Client::begin_with(&bench, version, json!({ "sampling": {}, "roots": {} })).await;
        let mut stream = client.stream(&ask(kind, params.clone())).await;
        let question = stream.message().await;
        assert_eq!(question["method"], method);
        assert_eq!(question.get("params").cloned().unwrap_or(json!({})), params);
        let given = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "given": true } });
        assert_eq!(client.send(&given).await.status, 202);
        let text = &stream.rest().await[0]["result"]["content"][0]["text"];
        assert_eq!(text, r#"{"told":{"given":true}}"#);
    }
}

#[rstest]
#[case("elicitation", json!({ "mode": "url", "url": "https://a.example" }), json!({ "elicitation": { "url": {} } }))]
#[case("sampling", json!({ "messages": [], "tools": [] }), json!({ "sampling": { "tools": {} } }))]
#[tokio::test]
async fn what_came_with_2025_11_25_is_asked_of_nobody_else(
    #[case] kind: &str,
    #[case] params: Value,
    #[case] capabilities: Value,
) {
    let bench = Bench::new();
    for version in REVISIONS {
        let client = Client::begin_with(&bench, version, capabilities.clone()).await;
        if version == "2025-11-25" {
            let mut stream = client.stream(&ask(kind, params.clone())).await;
            assert_eq!(stream.message().await["params"], params);
        } else {
            let refused = client.send(&ask(kind, params.clone())).await;
            assert_eq!(refused.code(), -32602, "{version}");
            assert_eq!(
                refused.json["error"]["data"]["requiredCapabilities"],
                capabilities
            );
        }
    }
}

#[tokio::test]
async fn f09_a_question_that_finds_no_room_for_its_stream_ends_its_call() {
    let bench = Bench::new();
    let client = Client::begin_with(&bench, "2025-11-25", json!({ "elicitation": {} })).await;
    let mut streams = Vec::new();
    for _ in 0..1024 {
        streams.push(client.stream(&call("wait")).await);
    }
    let refused = client.send(&greet()).await;
    assert_eq!((refused.status, refused.code()), (503, -32603));
    let called = client.ask("tools/call", json!({ "name": "speak" })).await;
    assert_eq!(called.result()["content"][0]["text"], "spoken");
    bench.lab.gate.add_permits(1024);
    for stream in streams {
        assert!(stream.rest().await.last().unwrap()["result"].is_object());
    }
}

#[tokio::test]
async fn a_refused_question_withdraws_those_that_were_put_with_it() {
    let bench = Bench::new();
    let capabilities = json!({ "elicitation": {}, "roots": {} });
    let client = Client::begin_with(&bench, "2025-11-25", capabilities).await;
    let (mut stream, question) = asked(&client, &request("tools/call", json!({ "name": "survey" }))).await;
    let other = stream.message().await;
    assert_eq!(other["method"], "roots/list");
    let refusal = json!({ "code": -1, "message": "no" });
    let refusal = json!({ "jsonrpc": "2.0", "id": question["id"], "error": refusal });
    assert_eq!(client.send(&refusal).await.status, 202);
    let rest = stream.rest().await;
    assert_eq!(rest[0]["method"], "notifications/cancelled");
    assert_eq!(rest[0]["params"]["requestId"], other["id"]);
    assert_eq!(rest[1]["error"]["code"], -32603);
    assert_eq!(rest.len(), 2);
}
