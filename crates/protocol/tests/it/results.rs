//! Results: their form, what is said of the server, how long they may be kept, and errors.

use protocol::{ErrorCode, Revision};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::{meta_with, request},
};

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

#[rstest]
#[case("server/discover", json!({}))]
#[case("tools/list", json!({}))]
#[case("tools/call", json!({ "name": "echo" }))]
#[case("tools/call", json!({ "name": "fail" }))]
#[case("prompts/list", json!({}))]
#[case("prompts/get", json!({ "name": "brief", "arguments": { "topic": "x" } }))]
#[case("resources/list", json!({}))]
#[case("resources/templates/list", json!({}))]
#[case("resources/read", json!({ "uri": "lab://notes/1" }))]
#[case("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "brief" }, "argument": { "name": "topic", "value": "a" } }))]
#[tokio::test]
async fn every_result_says_its_type_and_its_server(#[case] method: &str, #[case] params: Value) {
    let answer = Bench::new().ask(method, params).await;
    let result = answer.result();
    assert_eq!(answer.status, 200);
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["_meta"][SERVER_INFO]["name"], "lab");
    assert_eq!(result["_meta"][SERVER_INFO]["version"], "1.2.3");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[rstest]
#[case("server/discover", json!({}), "public")]
#[case("tools/list", json!({}), "private")]
#[case("prompts/list", json!({}), "public")]
#[case("resources/list", json!({}), "private")]
#[case("resources/templates/list", json!({}), "public")]
#[case("resources/read", json!({ "uri": "lab://notes/1" }), "private")]
#[tokio::test]
async fn what_may_be_kept_says_so(#[case] method: &str, #[case] params: Value, #[case] scope: &str) {
    let answer = Bench::new().ask(method, params).await;
    assert!(answer.result()["ttlMs"].is_u64());
    assert_eq!(answer.result()["cacheScope"], scope);
}

#[tokio::test]
async fn what_may_not_be_kept_has_no_mark() {
    let answer = Bench::new().ask("tools/call", json!({ "name": "echo" })).await;
    assert!(answer.result().get("ttlMs").is_none());
    assert!(answer.result().get("cacheScope").is_none());
}

#[tokio::test]
async fn a_list_that_depends_on_the_role_is_private_to_each() {
    let bench = Bench::new();
    let list = request("tools/list", json!({}));
    let user = bench.send(&Who::user("ada"), &list).await;
    let admin = bench.send(&Who::admin("root"), &list).await;
    let count = |answer: &crate::post::Answer| answer.result()["tools"].as_array().unwrap().len();
    assert_eq!(count(&admin), count(&user) + 1);
    assert_eq!(user.result()["cacheScope"], "private");
    assert_eq!(admin.result()["cacheScope"], "private");
}

#[tokio::test]
async fn a_tool_gives_content_and_structure() {
    let answer = Bench::new()
        .ask("tools/call", json!({ "name": "echo", "arguments": { "a": [1] } }))
        .await;
    insta::assert_json_snapshot!(answer.json, @r#"
    {
      "jsonrpc": "2.0",
      "id": 7,
      "result": {
        "resultType": "complete",
        "content": [
          {
            "type": "text",
            "text": "echo"
          }
        ],
        "structuredContent": {
          "a": [
            1
          ]
        },
        "isError": false,
        "_meta": {
          "io.modelcontextprotocol/serverInfo": {
            "name": "lab",
            "title": "The lab",
            "version": "1.2.3"
          }
        }
      }
    }
    "#);
}

#[tokio::test]
async fn structure_may_be_any_json() {
    let bench = Bench::new();
    let answer = bench.ask("tools/call", json!({ "name": "number" })).await;
    assert_eq!(answer.result()["structuredContent"], 42);
    let list = bench.ask("tools/list", json!({})).await;
    let tools = list.result()["tools"].as_array().unwrap();
    let number = tools.iter().find(|tool| tool["name"] == "number").unwrap();
    assert_eq!(number["outputSchema"], json!({ "type": "integer" }));
    assert_eq!(number["title"], "The tool number");
}

#[tokio::test]
async fn a_failure_of_a_tool_is_a_result() {
    let answer = Bench::new().ask("tools/call", json!({ "name": "fail" })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.result()["isError"], true);
}

#[rstest]
#[case::arguments_are_a_list("tools/call", json!({ "name": "echo", "arguments": [] }))]
#[case::arguments_are_null("tools/call", json!({ "name": "echo", "arguments": null }))]
#[case::no_name("tools/call", json!({ "arguments": {} }))]
#[case::name_is_a_number("tools/call", json!({ "name": 5 }))]
#[case::unknown_tool("tools/call", json!({ "name": "nothing" }))]
#[case::hidden_tool("tools/call", json!({ "name": "govern" }))]
#[case::cursor_is_a_number("tools/list", json!({ "cursor": 5 }))]
#[case::no_uri("resources/read", json!({}))]
#[case::unknown_prompt("prompts/get", json!({ "name": "nothing", "arguments": { "topic": "x" } }))]
#[case::prompt_argument_is_a_number("prompts/get", json!({ "name": "brief", "arguments": { "topic": 5 } }))]
#[case::no_ref("completion/complete", json!({ "argument": { "name": "topic", "value": "" } }))]
#[case::unknown_ref("completion/complete", json!({ "ref": { "type": "ref/tool" }, "argument": { "name": "topic", "value": "" } }))]
#[case::no_argument("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "brief" } }))]
#[case::no_filter("subscriptions/listen", json!({}))]
#[case::flag_is_text("subscriptions/listen", json!({ "notifications": { "toolsListChanged": "yes" } }))]
#[case::uris_are_text("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": "all" } }))]
#[tokio::test]
async fn f04_wrong_parameters_are_told_as_such(#[case] method: &str, #[case] params: Value) {
    let answer = Bench::new().ask(method, params).await;
    assert_eq!((answer.status, answer.code()), (200, -32_602), "{}", answer.json);
    assert_eq!(answer.json["id"], 7);
}

#[tokio::test]
async fn a_resource_that_is_not_there_has_the_code_of_the_revision() {
    let answer = Bench::new()
        .ask("resources/read", json!({ "uri": "lab://nowhere" }))
        .await;
    assert_eq!(answer.code(), -32_602);
    assert_eq!(answer.json["error"]["data"]["uri"], "lab://nowhere");
    let code = ErrorCode::ResourceNotFound;
    assert_eq!(code.number_in(Revision::V2026_07_28), -32_602);
    assert_eq!(code.number_in(Revision::V2025_11_25), -32_002);
}

#[tokio::test]
async fn a_capability_that_is_missing_is_named() {
    let answer = Bench::new().ask("tools/call", json!({ "name": "sample" })).await;
    assert_eq!((answer.status, answer.code()), (400, -32_021));
    assert_eq!(
        answer.json["error"]["data"],
        json!({ "requiredCapabilities": { "sampling": {} } })
    );
    let params = json!({ "name": "sample", "_meta": meta_with(json!({ "sampling": {} })) });
    assert_eq!(Bench::new().ask("tools/call", params).await.status, 200);
}

#[tokio::test]
async fn suggestions_are_at_most_a_hundred() {
    let params = json!({ "ref": { "type": "ref/prompt", "name": "brief" }, "argument": { "name": "topic", "value": "a" } });
    let answer = Bench::new().ask("completion/complete", params).await;
    let completion = &answer.result()["completion"];
    assert_eq!(completion["values"].as_array().unwrap().len(), 100);
    assert_eq!(completion["total"], 150);
    assert_eq!(completion["hasMore"], true);
}

#[tokio::test]
async fn pages_lead_through_a_list_that_changes_meanwhile() {
    let bench = Bench::new();
    let mut seen = Vec::new();
    let mut params = json!({});
    loop {
        let answer = bench.ask("resources/list", params).await;
        let page = answer.result()["resources"].as_array().unwrap().clone();
        assert!(page.len() <= 2);
        seen.extend(page.iter().map(|entry| entry["uri"].as_str().unwrap().to_owned()));
        let Some(cursor) = answer.result().get("nextCursor") else {
            break;
        };
        // What was seen goes, and something comes before it: neither moves the rest.
        bench.lab.notes.lock().remove("lab://notes/2");
        bench
            .lab
            .notes
            .lock()
            .insert("lab://notes/0".to_owned(), "late".to_owned());
        params = json!({ "cursor": cursor });
    }
    let expected: Vec<String> = (1..=5).map(|number| format!("lab://notes/{number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_service_takes_the_caller_from_the_request() {
    use tower::Service as _;

    let bench = Bench::new();
    let message = request("tools/list", json!({}));
    let mut post = http::Request::post("/")
        .body(bytes::Bytes::from(message.to_string()))
        .unwrap();
    *post.headers_mut() = crate::post::headers_of(&message);
    let mut service = bench.service.clone();
    let without = service.call(post.clone()).await.unwrap();
    assert_eq!(without.status(), 500);
    post.extensions_mut().insert(Who::user("ada"));
    assert_eq!(service.call(post).await.unwrap().status(), 200);
}
