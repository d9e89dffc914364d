//! How a session begins.

use rstest::rstest;
use serde_json::json;

use super::client::{Client, initialize};
use crate::host::Bench;

#[rstest]
#[case("2025-03-26", "2025-03-26")]
#[case("2025-06-18", "2025-06-18")]
#[case("2025-11-25", "2025-11-25")]
#[case("2024-11-05", "2025-11-25")]
#[case("2026-07-28", "2025-11-25")]
#[case("tomorrow", "2025-11-25")]
#[tokio::test]
async fn a_session_speaks_what_its_client_asked_for_or_else_the_latest(
    #[case] asked: &str,
    #[case] spoken: &str,
) {
    let bench = Bench::new();
    let begun = Client::unknown(&bench).send(&initialize(asked, json!({}))).await;
    assert_eq!(begun.status, 200);
    assert_eq!(begun.result()["protocolVersion"], spoken);
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let bench = Bench::new();
    let begun = Client::unknown(&bench)
        .send(&initialize("2025-11-25", json!({})))
        .await;
    insta::assert_json_snapshot!(begun.json, @r#"
    {
      "jsonrpc": "2.0",
      "id": 0,
      "result": {
        "protocolVersion": "2025-11-25",
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
          "completions": {}
        },
        "serverInfo": {
          "name": "lab",
          "title": "The lab",
          "version": "1.2.3"
        },
        "instructions": "Try things."
      }
    }
    "#);
}

#[tokio::test]
async fn the_first_revision_has_no_titles() {
    let bench = Bench::new();
    let begun = Client::unknown(&bench)
        .send(&initialize("2025-03-26", json!({})))
        .await;
    assert_eq!(
        begun.result()["serverInfo"],
        json!({ "name": "lab", "version": "1.2.3" })
    );
}

#[tokio::test]
async fn a_session_id_is_visible_ascii_and_short_whatever_the_client_says() {
    let bench = Bench::new();
    let mut message = initialize(
        "2025-11-25",
        json!({ "elicitation": { "form": {}, "more": "x".repeat(9000) } }),
    );
    message["params"]["clientInfo"]["name"] = json!("é".repeat(9000));
    message["params"]["capabilities"]["experimental"] = json!({ "all": "x".repeat(9000) });
    let begun = Client::unknown(&bench).send(&message).await;
    let id = begun.headers["mcp-session-id"].to_str().unwrap();
    assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    assert!(id.len() < 1024, "{}", id.len());
}

#[rstest]
#[case("protocolVersion", json!(20251125))]
#[case("capabilities", json!([]))]
#[case("clientInfo", json!("tester"))]
#[case("clientInfo", json!({ "name": "tester" }))]
#[tokio::test]
async fn what_a_client_says_of_itself_must_have_its_form(
    #[case] key: &str,
    #[case] value: serde_json::Value,
) {
    let bench = Bench::new();
    let mut message = initialize("2025-11-25", json!({}));
    message["params"][key] = value;
    let refused = Client::unknown(&bench).send(&message).await;
    assert_eq!(refused.code(), -32602);
    assert!(!refused.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn a_session_is_not_begun_twice() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    // By itself `initialize` is a client that begins anew, whatever session it names.
    let again = client.send(&initialize("2025-06-18", json!({}))).await;
    assert_eq!(again.result()["protocolVersion"], "2025-06-18");
    assert_ne!(
        again.headers["mcp-session-id"].to_str().unwrap(),
        client.session_id()
    );
    assert_eq!(client.ask("ping", json!({})).await.status, 200);
}
