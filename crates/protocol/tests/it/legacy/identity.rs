//! Who may use a session, and how long.

use http::HeaderMap;
use rstest::rstest;
use serde_json::json;

use super::client::{Client, call};
use crate::{
    host::{Bench, Who},
    post::soon,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn f05_a_session_of_another_principal_is_not_found() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let thief = client.at(&bench, Who::user("eve"));
    assert_eq!(thief.ask("ping", json!({})).await.status, 404);
    assert_eq!(thief.get().await.status(), 404);
    assert_eq!(thief.delete().await, 404);
    assert_eq!(client.ask("ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn f05_a_session_id_that_was_changed_anywhere_is_not_found() {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    let id = client.session_id().to_owned();
    for at in 0..id.len() {
        let other = if id.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &id[..at], &id[at + 1..]);
        client.set("mcp-session-id", &changed);
        assert_eq!(client.ask("ping", json!({})).await.status, 404, "{at}");
    }
}

#[rstest]
#[case("")]
#[case("1868a90c")]
#[case(&"A".repeat(100_000))]
#[tokio::test]
async fn f05_a_session_id_that_is_none_is_not_found(#[case] id: &str) {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    client.set("mcp-session-id", id);
    let refused = client.ask("ping", json!({})).await;
    assert_eq!((refused.status, refused.code()), (404, -32600));
}

#[tokio::test]
async fn f05_a_session_expires_after_a_day() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    bench.pass(DAY_MS - 1);
    assert_eq!(client.ask("ping", json!({})).await.status, 200);
    bench.pass(1);
    assert_eq!(client.ask("ping", json!({})).await.status, 404);
}

#[rstest]
#[case("2025-03-26")]
#[case("2025-06-18")]
#[case("2025-11-25")]
#[tokio::test]
async fn f05_a_session_that_was_ended_is_not_found(#[case] version: &str) {
    let bench = Bench::new();
    let client = Client::begin(&bench, version).await;
    assert_eq!(client.delete().await, 204);
    assert_eq!(client.ask("ping", json!({})).await.status, 404);
    assert_eq!(
        client.notify("notifications/initialized", json!({})).await.status,
        404
    );
    assert_eq!(client.get().await.status(), 404);
    assert_eq!(client.delete().await, 404);
}

#[tokio::test]
async fn f05_a_session_is_served_by_another_process_and_after_a_restart() {
    let (one, other) = (Bench::new(), Bench::new());
    let client = Client::begin(&one, "2025-06-18").await;
    let client = client.at(&other, Who::user("ada"));
    let answer = client
        .ask("tools/call", json!({ "name": "echo", "arguments": { "a": 1 } }))
        .await;
    assert_eq!(answer.result()["structuredContent"], json!({ "a": 1 }));
}

#[tokio::test]
async fn ending_a_session_cancels_what_runs_in_it_and_nothing_else() {
    let bench = Bench::new();
    let (ended, other) = (
        Client::begin(&bench, "2025-11-25").await,
        Client::begin(&bench, "2025-11-25").await,
    );
    let mut stream = ended.stream(&call("wait")).await;
    let mut unharmed = other.stream(&call("wait")).await;
    soon(bench.lab.begun.acquire_many(2)).await.unwrap().forget();
    assert_eq!(ended.delete().await, 204);
    soon(bench.lab.dropped.acquire()).await.unwrap().forget();
    while let Some(event) = stream.next().await {
        assert!(event.message.is_none_or(|message| message.get("id").is_none()));
    }
    bench.lab.gate.add_permits(1);
    let last = loop {
        let message = unharmed.message().await;
        if message.get("id").is_some() {
            break message;
        }
    };
    assert_eq!(last["result"]["content"][0]["text"], "done waiting");
}

#[tokio::test]
async fn without_a_session_there_is_nothing_but_its_beginning() {
    let bench = Bench::new();
    let mut client = Client::unknown(&bench);
    for version in [None, Some("2025-03-26"), Some("2025-06-18"), Some("2025-11-25")] {
        if let Some(version) = version {
            client.set("mcp-protocol-version", version);
        }
        let refused = client.ask("tools/list", json!({})).await;
        assert_eq!((refused.status, refused.code()), (400, -32600), "{version:?}");
        assert_eq!(client.get().await.status(), 400);
        assert_eq!(client.delete().await, 400);
    }
}

#[tokio::test]
async fn a_request_without_a_known_session_is_refused_with_its_id() {
    let bench = Bench::new();
    let mut client = Client::unknown(&bench);
    let refused = client.ask("tools/list", json!({})).await;
    assert_eq!((refused.status, &refused.json["id"]), (400, &json!(1)));
    client.set("mcp-session-id", "made-up");
    let refused = client.ask("tools/list", json!({})).await;
    assert_eq!((refused.status, &refused.json["id"]), (404, &json!(1)));
}

#[rstest]
#[case("2024-11-05", 400)]
#[case("yesterday", 400)]
#[case("", 400)]
#[case("2025-06-18", 200)]
#[tokio::test]
async fn a_revision_that_is_not_spoken_is_refused(#[case] version: &str, #[case] status: u16) {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    client.set("mcp-protocol-version", version);
    assert_eq!(client.ask("ping", json!({})).await.status, status);
}

#[tokio::test]
async fn a_session_knows_its_revision_without_the_header() {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    client.headers.remove("mcp-protocol-version");
    let listed = client.ask("tools/list", json!({})).await;
    assert!(listed.result()["tools"][0].get("title").is_some());
}

#[tokio::test]
async fn other_verbs_are_named() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let refused = client.raw("PUT", HeaderMap::new(), "").await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET, POST, DELETE");
}
