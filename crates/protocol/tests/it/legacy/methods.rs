//! What each of the older revisions has, and what not.

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Client, REVISIONS, Reply, call, request};
use crate::host::Bench;

fn valid_calls_of_later_methods() -> [(&'static str, Value); 5] {
    [
        ("server/discover", json!({})),
        (
            "subscriptions/listen",
            json!({ "notifications": { "toolsListChanged": true } }),
        ),
        ("tasks/get", json!({ "taskId": "task-0" })),
        (
            "tasks/update",
            json!({ "taskId": "task-0", "inputResponses": {} }),
        ),
        ("tasks/cancel", json!({ "taskId": "task-0" })),
    ]
}

#[tokio::test]
async fn f04_methods_of_later_revisions_are_unknown_even_with_valid_parameters() {
    let bench = Bench::new();
    for version in REVISIONS {
        let client = Client::begin(&bench, version).await;
        for (method, params) in valid_calls_of_later_methods() {
            let refused = client.ask(method, params).await;
            assert_eq!(
                (refused.status, refused.code()),
                (200, -32601),
                "{version} {method}"
            );
        }
    }
}

#[tokio::test]
async fn methods_of_all_older_revisions_are_served_in_each() {
    let bench = Bench::new();
    let calls = [
        ("ping", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "echo" })),
        ("prompts/list", json!({})),
        (
            "prompts/get",
            json!({ "name": "brief", "arguments": { "topic": "tea" } }),
        ),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "lab://notes/1" })),
        ("resources/subscribe", json!({ "uri": "lab://notes/1" })),
        ("resources/unsubscribe", json!({ "uri": "lab://notes/1" })),
        ("logging/setLevel", json!({ "level": "error" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "brief" }, "argument": { "name": "topic", "value": "t" } }),
        ),
    ];
    for version in REVISIONS {
        let client = Client::begin(&bench, version).await;
        for (method, params) in &calls {
            let answer = client.ask(method, params.clone()).await;
            assert_eq!(answer.status, 200, "{version} {method}");
            let result = answer.result();
            for later in ["resultType", "_meta", "ttlMs", "cacheScope"] {
                assert!(result.get(later).is_none(), "{version} {method} {later}");
            }
        }
    }
}

#[rstest]
#[case("2025-03-26", false)]
#[case("2025-06-18", true)]
#[case("2025-11-25", true)]
#[tokio::test]
async fn titles_and_structured_results_came_with_2025_06_18(#[case] version: &str, #[case] are_known: bool) {
    let bench = Bench::new();
    let client = Client::begin(&bench, version).await;
    let listed = client.ask("tools/list", json!({})).await;
    let tool = &listed.result()["tools"][0];
    assert_eq!(tool.get("title").is_some(), are_known);
    assert_eq!(tool.get("outputSchema").is_some(), are_known);
    let called = client.ask("tools/call", json!({ "name": "echo" })).await;
    assert_eq!(called.result().get("structuredContent").is_some(), are_known);
}

#[tokio::test]
async fn f04_wrong_parameters_are_told_from_unknown_methods() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let cases = [
        ("tools/call", json!({ "name": "echo", "arguments": [] }), -32602),
        ("tools/call", json!({ "arguments": {} }), -32602),
        ("tools/call", json!({ "name": "nothing" }), -32602),
        ("logging/setLevel", json!({ "level": "loud" }), -32602),
        ("logging/setLevel", json!({}), -32602),
        ("resources/subscribe", json!({}), -32602),
        ("resources/subscribe", json!({ "uri": "lab://nothing" }), -32002),
        ("resources/read", json!({ "uri": "lab://nothing" }), -32002),
        ("tools/none", json!({}), -32601),
    ];
    for (method, params, code) in cases {
        let refused = client.ask(method, params.clone()).await;
        assert_eq!((refused.status, refused.code()), (200, code), "{method} {params}");
        assert_eq!(refused.json["id"], 1);
    }
}

#[rstest]
#[case("{", -32700)]
#[case("nonsense", -32700)]
#[case(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600)]
#[case(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600)]
#[case(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600)]
#[case(r#"{"jsonrpc":"2.0","id":1}"#, -32600)]
#[case(r#""ping""#, -32600)]
#[case(r#"{"jsonrpc":"2.0","id":"none","result":{}}"#, -32600)]
#[case(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, -32600)]
#[tokio::test]
async fn f03_what_is_no_message_is_refused_with_400(#[case] body: &str, #[case] code: i64) {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let response = client.raw("POST", client.headers.clone(), body.to_owned()).await;
    let refused = Reply::of(response).await;
    assert_eq!((refused.status, refused.code()), (400, code));
}

#[tokio::test]
async fn notifications_are_accepted_known_or_not() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    for method in [
        "notifications/initialized",
        "notifications/roots/list_changed",
        "notifications/what",
    ] {
        let accepted = client.notify(method, json!({})).await;
        assert_eq!((accepted.status, accepted.json), (202, Value::Null), "{method}");
    }
    let wrong = client
        .notify("notifications/cancelled", json!({ "requestId": [] }))
        .await;
    assert_eq!(wrong.status, 202);
}

#[tokio::test]
async fn a_session_hears_log_messages_from_its_level_on() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    for (level, heard) in [("debug", 2), ("warning", 1), ("error", 0)] {
        client.ask("logging/setLevel", json!({ "level": level })).await;
        let messages = client.stream(&call("speak")).await.rest().await;
        let logged = messages
            .iter()
            .filter(|message| message["method"] == "notifications/message");
        assert_eq!(logged.count(), heard, "{level}");
    }
}

#[tokio::test]
async fn without_a_level_a_session_hears_of_what_matters() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let speak = request("tools/call", json!({ "name": "speak" }));
    let messages = client.stream(&speak).await.rest().await;
    assert_eq!(messages[0]["params"]["level"], "warning");
    assert_eq!(messages.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_sent_in_a_session_has_an_answer(
        body in any::<Vec<u8>>(),
        text in "[\\[{]?(\\PC|[{}\\[\\]\",:0-9])*",
        event in "[ -~]{0,40}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let bench = Bench::new();
        runtime.block_on(async {
            let client = Client::begin(&bench, "2025-03-26").await;
            for body in [body, text.into_bytes()] {
                let reply = Reply::of(client.raw("POST", client.headers.clone(), body).await).await;
                let is_answered = reply.status == 200 || matches!(reply.code(), -32_700 | -32_600);
                prop_assert!(is_answered, "{} {}", reply.status, reply.json);
            }
            let resumed = client.resume(&format!("x{event}")).await;
            prop_assert!(resumed.status() == 400);
            Ok(())
        })?;
    }
}
