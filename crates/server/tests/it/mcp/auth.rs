//! Who gets in, and what is told to who doesn't.

use http::Method;
use serde_json::{Value, json};

use super::client::{Client, LAST_WITH_SESSIONS, request};
use crate::{
    caller::{Caller, Person},
    fixture::{Server, header_of, status_of},
};

fn metadata_of(challenge: &str) -> &str {
    let (_, rest) = challenge.split_once("resource_metadata=\"").unwrap();
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn who_has_no_credential_is_told_where_to_get_one() {
    let server = Server::start().await;
    let stranger = Client::stateless(&server);
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let refused = stranger.send_raw(method.clone(), &[], "{}".to_owned()).await;
        assert_eq!(refused.status, 401, "{method}");
        let challenge = refused.header("www-authenticate");
        let expected = format!("{}/.well-known/oauth-protected-resource/mcp", server.url());
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert_eq!(metadata_of(challenge), expected);
        assert!(challenge.contains("scope=\"plugins:execute"), "{challenge}");
        assert!(!challenge.contains("error="), "{challenge}");
    }
    let wrong = stranger.with_token("none").call("tools/list", json!({})).await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong
            .header("www-authenticate")
            .contains("error=\"invalid_token\"")
    );
    server.stop().await;
}

#[tokio::test]
async fn what_the_challenge_names_describes_the_resource() {
    let server = Server::start().await;
    let caller = Caller::stranger(&server);
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
    ] {
        let found = caller.get(path).await.expect(200);
        assert_eq!(found.body["resource"], format!("{}/mcp", server.url()));
        assert_eq!(found.body["bearer_methods_supported"], json!(["header"]));
        let scopes = found.body["scopes_supported"].as_array().unwrap();
        assert!(scopes.contains(&json!("plugins:execute")));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_public_address_is_the_one_that_was_set() {
    let set = [("PUBLIC_URL", "https://tools.example.com/base/")];
    let server = Server::start_with(&set).await;
    let refused = Client::stateless(&server).call("tools/list", json!({})).await;
    assert_eq!(
        metadata_of(refused.header("www-authenticate")),
        "https://tools.example.com/base/.well-known/oauth-protected-resource/mcp"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_says_by_which_scheme_the_caller_came() {
    for (trusted, scheme) in [("127.0.0.0/8", "https"), ("10.0.0.0/8", "http")] {
        let server = Server::start_with(&[("TRUSTED_PROXIES", trusted)]).await;
        let client = Client::stateless(&server).with("x-forwarded-proto", "https");
        let refused = client.call("tools/list", json!({})).await;
        let metadata = metadata_of(refused.header("www-authenticate")).to_owned();
        assert!(
            metadata.starts_with(&format!("{scheme}://127.0.0.1:")),
            "{metadata}"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn a_token_and_a_key_open_the_door_in_either_header() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (_, keyed) = ada.key(&[]).await;
    let client = Client::stateless(&server);
    for client in [
        client.with_token(&ada.token),
        client.with_token(keyed.key()),
        client.with_key(keyed.key()),
    ] {
        client.call("tools/list", json!({})).await.result();
    }
    let in_query = format!(
        "POST /mcp?access_token={} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        ada.token
    );
    assert_eq!(status_of(&server.exchange(in_query).await), 401);
    server.stop().await;
}

#[tokio::test]
async fn a16_a_key_that_lacks_a_scope_is_told_all_that_the_request_needs() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (_, keyed) = ada.key(&["tasks:read"]).await;
    let client = Client::stateless(&server).with_key(keyed.key());
    let needs = [
        ("sample__echo", json!({}), "plugins:execute:sample"),
        ("nope__echo", json!({}), "plugins:execute:nope"),
        ("tasks__cancel", json!({ "taskId": "x" }), "tasks:write"),
    ];
    for (tool, arguments, scopes) in needs {
        let refused = client.call_tool(tool, arguments).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.contains(&format!("scope=\"{scopes}\"")), "{challenge}");
        assert!(challenge.contains("resource_metadata=\"http://"), "{challenge}");
    }
    let read = client.call(
        "resources/read",
        json!({ "uri": format!("mcp-server://executions/{}", ada.id) }),
    );
    let refused = read.await;
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .header("www-authenticate")
            .contains("scope=\"history:read\"")
    );
    server.stop().await;
}

#[tokio::test]
async fn a16_a_key_that_lacks_a_scope_is_told_so_in_a_session_too() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (_, keyed) = ada.key(&["tasks:read"]).await;
    for revision in [LAST_WITH_SESSIONS, "2025-06-18", "2025-03-26"] {
        let client = Client::session(&server, revision, keyed.key()).await;
        let refused = client
            .call_tool("sample__echo", json!({ "message": "hello" }))
            .await;
        assert_eq!(refused.status, 403, "{revision}: {}", refused.text);
        let challenge = refused.header("www-authenticate");
        assert!(
            challenge.contains("scope=\"plugins:execute:sample\""),
            "{challenge}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_batch_that_lacks_a_scope_in_one_part_is_answered_part_by_part() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (_, keyed) = ada.key(&["plugins:execute"]).await;
    let client = Client::session(&server, "2025-03-26", keyed.key()).await;
    let call =
        |name: &str, arguments: Value| request("tools/call", json!({ "name": name, "arguments": arguments }));
    let id = "0199c0de-0000-7000-8000-00000000abcd";
    let batch = json!([
        call("sample__echo", json!({ "message": "hello" })),
        call("tasks__status", json!({ "taskId": id })),
    ]);
    let answered = client.send_raw(Method::POST, &[], batch.to_string()).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let parts: Vec<Value> = serde_json::from_str(&answered.text).unwrap();
    assert_eq!(parts[0]["result"]["isError"], false);
    assert_eq!(parts[1]["error"]["code"], -32_602);
    server.stop().await;
}

#[tokio::test]
async fn a14_a_revoked_key_is_refused_at_the_next_request_of_a_session() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (id, keyed) = ada.key(&[]).await;
    let client = Client::session(&server, LAST_WITH_SESSIONS, keyed.key()).await;
    client.call("tools/list", json!({})).await.result();
    ada.caller
        .delete(&format!("/api/v1/auth/api-keys/{id}"))
        .await
        .expect(200);
    assert_eq!(client.call("tools/list", json!({})).await.status, 401);
    server.stop().await;
}

#[tokio::test]
async fn requests_are_counted_as_everywhere() {
    let limits = [("RATE_LIMIT_USER_MAX_REQUESTS", "3")];
    let server = Server::start_with(&limits).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    let mut last = client.call("tools/list", json!({})).await;
    for _ in 0..3 {
        last = client.call("tools/list", json!({})).await;
    }
    assert_eq!(last.status, 429, "{}", last.text);
    assert!(!last.header("retry-after").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn c12_other_methods_are_refused_with_those_that_are_served() {
    let server = Server::start().await;
    for method in ["PUT", "PATCH", "TRACE"] {
        let sent = format!("{method} /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = server.exchange(sent).await;
        assert_eq!(status_of(&answer), 405, "{method}");
        let allow = header_of(&answer, "allow").unwrap();
        assert!(
            ["GET", "POST", "DELETE"]
                .iter()
                .all(|method| allow.contains(method)),
            "{allow}"
        );
    }
    let options = "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(options).await;
    assert_eq!(status_of(&answer), 204);
    assert!(header_of(&answer, "allow").unwrap().contains("POST"));
    server.stop().await;
}

#[tokio::test]
async fn c03_a_body_over_the_limit_is_refused_as_everywhere() {
    let server = Server::start_with(&[("MAX_BODY_BYTES", "1024")]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    let body = request("tools/list", json!({ "cursor": "x".repeat(2_000) })).to_string();
    assert_eq!(client.send_raw(Method::POST, &[], body).await.status, 413);
    server.stop().await;
}
