//! Plugins, and calling them.

use axum::Router;
use http::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, Person},
    fixture::Server,
    mcp::plugin::lab,
};

const EXECUTE: &str = "/mcp/execute";

#[tokio::test]
async fn a_call_answers_its_result_and_is_in_the_history() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let called = ada
        .caller
        .with_header("user-agent", "tests/1")
        .echo("hello")
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&called["plugin"], &called["action"], &called["result"]),
        (&json!("sample"), &json!("echo"), &json!({ "message": "hello" }))
    );
    let id = called["executionId"].as_str().unwrap();
    let recorded = ada
        .caller
        .get(&format!("/mcp/history/{id}"))
        .await
        .expect(200)
        .data();
    assert_eq!(recorded["duration"], called["duration"]);
    let expected = json!({
        "id": id, "plugin": "sample", "action": "echo", "payload": { "message": "hello" }, "result": { "message": "hello" },
        "status": "success", "duration": recorded["duration"], "userId": ada.id, "source": "rest",
        "ipAddress": "127.0.0.1", "userAgent": "tests/1", "createdAt": recorded["createdAt"],
    });
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn an_action_that_asks_something_is_refused_with_what_it_asks() {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let asks = json!({ "plugin": "lab", "action": "ask" });
    let refused = ada
        .caller
        .post(EXECUTE, asks)
        .await
        .refused(409, "input_required");
    let details = &refused.body["error"]["details"];
    assert_eq!(*details, json!([{ "path": "who", "message": "Who are you?" }]));
    let recorded = ada.caller.get("/mcp/history").await.expect(200).data();
    assert_eq!(recorded[0]["error"]["code"], "input_required", "{recorded}");
}

#[rstest]
#[case::no_such_plugin(json!({ "plugin": "nothing", "action": "echo" }), 404, "not_found")]
#[case::no_such_action(json!({ "plugin": "sample", "action": "nothing" }), 404, "not_found")]
#[case::payload_against_the_schema(json!({ "plugin": "sample", "action": "echo", "payload": { "message": 1 } }), 422, "validation_failed")]
#[case::payload_left_out(json!({ "plugin": "sample", "action": "echo" }), 422, "validation_failed")]
#[case::plugin_fails(json!({ "plugin": "sample", "action": "fail" }), 502, "plugin_failed")]
#[case::plugin_fails_for_now(json!({ "plugin": "sample", "action": "fail", "payload": { "retryable": true } }), 502, "plugin_unavailable")]
#[tokio::test]
async fn calls_that_fail_or_are_refused_are_in_the_history_too(
    #[case] body: Value,
    #[case] status: u16,
    #[case] code: &str,
) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let failed = ada.caller.post(EXECUTE, body.clone()).await.refused(status, code);
    let history = ada.caller.get("/mcp/history?status=failure").await.expect(200);
    let recorded = &history.body["data"][0];
    assert_eq!(
        (&recorded["error"]["code"], &recorded["error"]["message"]),
        (&json!(code), &json!(failed.message()))
    );
    assert_eq!(
        (&recorded["plugin"], &recorded["action"]),
        (&body["plugin"], &body["action"])
    );
}

#[rstest]
#[case(json!({ "plugin": "sample", "action": "echo", "payload": { "message": "x" }, "userId": "0199c0de-0000-7000-8000-00000000abcd" }), "userId")]
#[case(json!({ "plugin": "sample", "action": "echo", "payload": [] }), "payload")]
#[case(json!({ "plugin": "sample", "action": "echo", "payload": null }), "payload")]
#[case(json!({ "plugin": "../sample", "action": "echo" }), "plugin")]
#[case(json!({ "plugin": "a__b", "action": "echo" }), "plugin")]
#[case(json!({ "plugin": "sample", "action": "" }), "action")]
#[case(json!({ "plugin": "sample" }), "action")]
#[case(json!({ "plugin": "sample", "action": "add", "payload": { "a": "1", "b": 2 } }), "payload.a")]
#[tokio::test]
async fn b02_c06_a_call_that_is_not_one_is_refused_by_field(#[case] body: Value, #[case] field: &str) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let refused = ada
        .caller
        .post(EXECUTE, body)
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), [field]);
}

#[rstest]
#[case::text("\u{1F600} a\u{202e}b\u{0}\t\\ \"' z\u{300}\u{301}\u{302} \u{fffe}")]
#[case::empty("")]
#[case::spaces("   ")]
#[tokio::test]
async fn c06_texts_come_back_as_they_went(#[case] text: &str) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    assert_eq!(
        ada.caller.echo(text).await.expect(200).data()["result"]["message"],
        text
    );
    let history = ada.caller.get("/mcp/history").await.expect(200);
    assert_eq!(history.body["data"][0]["payload"]["message"], text);
}

#[rstest]
#[case::lone_surrogate(r#"{"plugin":"sample","action":"echo","payload":{"message":"\ud800"}}"#, 400)]
#[case::too_large_a_number(r#"{"plugin":"sample","action":"add","payload":{"a":1e400,"b":1}}"#, 400)]
#[tokio::test]
async fn c05_c06_what_can_not_be_kept_is_refused(#[case] body: &str, #[case] status: u16) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let refused = ada
        .caller
        .send_raw(Method::POST, EXECUTE, Some(("application/json", body.into())))
        .await;
    refused.expect(status);
}

#[rstest]
#[case("9223372036854775807")]
#[case("18446744073709551615")]
#[case("-9223372036854775808")]
#[case("-0.0")]
#[case("0.1")]
#[tokio::test]
async fn c05_numbers_come_back_as_they_went(#[case] number: &str) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let path = "/api/v1/auth/profile";
    let body = format!("{{\"metadata\":{{\"n\":{number}}}}}");
    ada.caller
        .send_raw(Method::PUT, path, Some(("application/json", body.into())))
        .await
        .expect(200);
    assert!(
        ada.caller
            .get(path)
            .await
            .text
            .contains(&format!("\"metadata\":{{\"n\":{number}}}"))
    );
}

#[tokio::test]
async fn b03_what_is_shown_as_callable_can_be_called() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (_, all) = ada.key(&["plugins:read", "plugins:execute"]).await;
    let (_, one) = ada.key(&["plugins:read", "plugins:execute:sample"]).await;
    let (_, none) = ada.key(&["plugins:read"]).await;
    let stranger = Caller::operator(&server);
    for caller in [&ada.caller, &all, &one, &none, &stranger] {
        let list = caller.get("/mcp/plugins").await.expect(200);
        for plugin in list.body["data"].as_array().unwrap() {
            let name = plugin["name"].as_str().unwrap();
            assert_eq!(
                &caller
                    .get(&format!("/mcp/plugins/{name}"))
                    .await
                    .expect(200)
                    .data()["isCallable"],
                &plugin["isCallable"]
            );
            let action = plugin["actions"][0]["name"].as_str().unwrap();
            let call = caller
                .post(EXECUTE, json!({ "plugin": name, "action": action }))
                .await;
            assert_eq!(
                plugin["isCallable"] == true,
                call.status != 403,
                "{name}: {}",
                call.text
            );
        }
    }
}

#[tokio::test]
async fn plugins_show_their_schemas_health_and_statistics() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    ada.caller.echo("hello").await.expect(200);
    ada.caller
        .post(EXECUTE, json!({ "plugin": "sample", "action": "fail" }))
        .await
        .expect(502);
    let list = ada.caller.get("/mcp/plugins").await.expect(200);
    let names: Vec<_> = list.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| plugin["name"].clone())
        .collect();
    assert_eq!(names, ["dataProcessor", "llm", "sample"]);
    let sample = ada.caller.get("/mcp/plugins/sample").await.expect(200).data();
    assert_eq!(
        (&sample["kind"], &sample["health"]["status"]),
        (&json!("builtin"), &json!("healthy"))
    );
    assert_eq!(
        (&sample["statistics"]["calls"], &sample["statistics"]["failures"]),
        (&json!(2), &json!(1))
    );
    let echo = &sample["actions"][0];
    assert_eq!(
        (&echo["name"], &echo["statistics"]["successes"]),
        (&json!("echo"), &json!(1))
    );
    assert_eq!(echo["inputSchema"]["required"], json!(["message"]));
    ada.caller
        .get("/mcp/plugins/nothing")
        .await
        .refused(404, "not_found");
    ada.caller
        .get("/mcp/plugins/a__b")
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn b04_a_call_with_an_idempotency_key_is_made_once() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let once = ada.caller.with_header("idempotency-key", "only-once");
    let first = once.echo("hello").await.expect(200);
    let again = once.echo("hello").await.expect(200);
    assert_eq!(first.body, again.body);
    once.echo("other").await.refused(409, "idempotency_key_reused");
    let foreign = eve
        .caller
        .with_header("idempotency-key", "only-once")
        .echo("hello")
        .await
        .expect(200);
    assert_ne!(foreign.data()["executionId"], first.data()["executionId"]);
    assert_eq!(ada.caller.get("/mcp/history").await.body["page"]["total"], 1);
}

#[tokio::test]
async fn plugins_are_at_one_path_only() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    ada.caller
        .get("/api/v1/mcp/plugins")
        .await
        .refused(404, "not_found");
}
