//! The Model Context Protocol as its clients meet it.

mod client;
pub(crate) mod plugin;
mod tool;
mod auth;
mod task;
mod attack;
mod access;
mod refusal;
mod library;
mod stdio;
mod docs;
mod sessions;
mod shared;

use serde_json::json;

use self::client::Client;
use crate::{caller::Person, fixture::Server};

#[tokio::test]
async fn the_newest_revision_lists_and_calls_without_a_handshake() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);

    let found = client.call("server/discover", json!({})).await.result();
    assert_eq!(found["supportedVersions"][0], "2026-07-28");
    assert_eq!(
        found["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"],
        json!({})
    );

    let listed = client.call("tools/list", json!({})).await.result();
    let names: Vec<_> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"sample__echo") && names.is_sorted(), "{names:?}");
    assert_eq!(
        (&listed["cacheScope"], &listed["ttlMs"]),
        (&json!("private"), &json!(60_000))
    );

    let arguments = json!({ "message": "hello" });
    let called = client.call_tool("sample__echo", arguments).await.result();
    assert_eq!(called["resultType"], "complete");
    assert_eq!(called["isError"], json!(false), "{called}");
    assert_eq!(
        called["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "mcp-server"
    );
    server.stop().await;
}
