//! The rows of the attack catalogue that are about the protocol.

use std::sync::Arc;

use axum::Router;
use http::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    client::{Answer, Client, LAST_WITH_SESSIONS, request},
    plugin::lab,
};
use crate::{
    caller::Person,
    fixture::{PATIENCE, Server},
    home::Home,
};

const REVISIONS: [&str; 3] = [LAST_WITH_SESSIONS, "2025-06-18", "2025-03-26"];

async fn start() -> (Server, Person, Client) {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    (server, ada, client)
}

#[rstest]
#[case("http://evil.example", None, 403)]
#[case("null", None, 403)]
#[case("https://localhost.evil.example", None, 403)]
#[case("http://127.0.0.1.evil.example:3000", None, 403)]
#[case("http://user@evil.example", None, 403)]
#[case("file://", None, 403)]
#[case("http://localhost:6274", None, 200)]
#[case("http://127.0.0.1:1", None, 200)]
#[case("http://[::1]:8080", None, 200)]
#[case("https://app.example.com", Some("https://app.example.com"), 200)]
#[case("http://localhost:6274", Some("https://app.example.com"), 403)]
#[tokio::test]
async fn f01_a_page_of_a_foreign_origin_is_refused_whatever_it_asks(
    #[case] origin: &str,
    #[case] allowed: Option<&str>,
    #[case] expected: u16,
) {
    let set: Vec<_> = allowed
        .map(|allowed| ("CORS_ORIGIN", allowed))
        .into_iter()
        .collect();
    let server = Server::start_with(&set).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server)
        .with_token(&ada.token)
        .with("origin", origin);
    let asked = client.call("tools/list", json!({})).await;
    assert_eq!(asked.status, expected, "{}", asked.text);
    let is_let_in = expected == 200;
    assert_eq!(asked.header("access-control-allow-origin") == origin, is_let_in);
    for method in [Method::GET, Method::DELETE] {
        let asked = client.send_raw(method.clone(), &[], String::new()).await;
        assert_eq!(asked.status == 403, !is_let_in, "{method}: {}", asked.text);
    }
    let preflight = client.with("access-control-request-method", "POST");
    let preflight = preflight.with("access-control-request-headers", "mcp-param-region, x-evil");
    let asked = preflight.send_raw(Method::OPTIONS, &[], String::new()).await;
    assert_eq!(asked.status, if is_let_in { 204 } else { 403 });
    let names = asked.header("access-control-allow-headers").to_ascii_lowercase();
    for name in [
        "mcp-protocol-version",
        "mcp-session-id",
        "mcp-param-region",
        "authorization",
    ] {
        assert_eq!(names.contains(name), is_let_in, "{name}: {names}");
    }
    assert!(!names.contains("x-evil"), "{names}");
    server.stop().await;
}

#[tokio::test]
async fn f01_a_foreign_host_is_refused_before_anything_else() {
    let (server, _, client) = start().await;
    let client = client.with("host", "evil.example");
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let refused = client.send_raw(method.clone(), &[], "{}".to_owned()).await;
        assert_eq!(refused.status, 421, "{method}");
    }
    server.stop().await;
}

/// Sends a call of a tool with one header changed.
async fn with_header(client: &Client, arguments: Value, name: &'static str, value: Option<&str>) -> Answer {
    let params = json!({ "name": "lab__region", "arguments": arguments });
    let (mut headers, body) = client.prepare("tools/call", params);
    headers.retain(|(known, _)| *known != name);
    if let Some(value) = value {
        headers.push((name, value.to_owned()));
    }
    client.send_raw(Method::POST, &headers, body).await
}

#[tokio::test]
async fn f02_headers_that_disagree_with_the_body_or_are_missing_are_refused() {
    let (server, _, client) = start().await;
    let cases = [
        ("mcp-method", None),
        ("mcp-method", Some("tools/list")),
        ("mcp-method", Some("Tools/Call")),
        ("mcp-name", None),
        ("mcp-name", Some("lab__strict")),
        ("mcp-name", Some("LAB__REGION")),
        ("mcp-name", Some("=?base64?bGFiX19zdHJpY3Q=?=")),
        ("mcp-name", Some("=?base64?%%%?=")),
        ("mcp-protocol-version", Some("2025-11-25")),
    ];
    for (name, value) in cases {
        let refused = with_header(&client, json!({}), name, value).await;
        assert_eq!(refused.refused(), (400, -32_020), "{name}: {value:?}");
    }
    let encoded = with_header(
        &client,
        json!({}),
        "mcp-name",
        Some("=?base64?bGFiX19yZWdpb24=?="),
    )
    .await;
    encoded.result();
    server.stop().await;
}

#[tokio::test]
async fn f02_an_argument_that_a_header_repeats_is_the_same_there() {
    let (server, _, client) = start().await;
    let param = "mcp-param-region";
    let cases = [
        (json!({ "region": "eu" }), Some("eu"), true),
        (json!({ "region": "eu" }), Some("us"), false),
        (json!({ "region": "eu" }), None, false),
        (json!({}), Some("eu"), false),
        (json!({}), None, true),
        (json!({ "region": "köln" }), Some("=?base64?a8O2bG4=?="), true),
    ];
    for (arguments, value, is_taken) in cases {
        let answered = with_header(&client, arguments.clone(), param, value).await;
        if is_taken {
            answered.result();
        } else {
            assert_eq!(answered.refused(), (400, -32_020), "{arguments} {value:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn f03_what_is_no_request_is_refused_as_what_it_is() {
    let (server, ada, client) = start().await;
    let (headers, good) = client.prepare("tools/list", json!({}));
    let good: Value = serde_json::from_str(&good).unwrap();
    let changed = |key: &str, value: Value| {
        let mut other = good.clone();
        other[key] = value;
        other.to_string()
    };
    let cases = [
        ("{".to_owned(), -32_700),
        ("{\"jsonrpc\":\"2.0\",}".to_owned(), -32_700),
        (String::new(), -32_700),
        (changed("id", Value::Null), -32_600),
        (changed("id", json!(1.5)), -32_600),
        (changed("id", json!({})), -32_600),
        (changed("jsonrpc", json!("1.0")), -32_600),
        (changed("method", json!(7)), -32_600),
        (json!([good]).to_string(), -32_600),
        ("[]".to_owned(), -32_600),
        ("7".to_owned(), -32_600),
        (
            json!({ "jsonrpc": "2.0", "id": 1, "result": {} }).to_string(),
            -32_600,
        ),
    ];
    for (body, code) in cases {
        let refused = client.send_raw(Method::POST, &headers, body.clone()).await;
        assert_eq!(refused.refused(), (400, code), "{body}");
    }
    for revision in REVISIONS {
        let session = Client::session(&server, revision, &ada.token).await;
        let batch = json!([request("ping", json!({})), request("tools/list", json!({}))]).to_string();
        let answered = session.send_raw(Method::POST, &[], batch).await;
        if revision == "2025-03-26" {
            assert_eq!(answered.status, 200, "{}", answered.text);
        } else {
            assert_eq!(answered.refused(), (400, -32_600), "{revision}");
        }
        let null = json!({ "jsonrpc": "2.0", "id": null, "method": "ping" }).to_string();
        let refused = session.send_raw(Method::POST, &[], null).await;
        assert_eq!(refused.refused(), (400, -32_600), "{revision}");
    }
    server.stop().await;
}

#[tokio::test]
async fn f03_requests_with_one_id_at_the_same_time_are_all_answered() {
    let (server, ada, _) = start().await;
    let session = Client::session(&server, LAST_WITH_SESSIONS, &ada.token).await;
    let body = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "sample__echo", "arguments": { "message": "hello" } },
    })
    .to_string();
    let calls = (0..20).map(|_| session.send_raw(Method::POST, &[], body.clone()));
    for answered in futures_util::future::join_all(calls).await {
        assert!(
            answered.status == 200 || answered.status == 400,
            "{}",
            answered.text
        );
        assert!(!answered.messages.is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn f04_what_is_not_there_is_refused_by_its_own_code() {
    let (server, _, client) = start().await;
    let odd = json!({ "name": "lab__strict", "arguments": [] });
    assert_eq!(client.call("tools/call", odd).await.refused().1, -32_602);
    for tool in ["lab__nope", "nope", "", "tasks__nope", "lab__strict__x"] {
        let refused = client.call_tool(tool, json!({})).await;
        assert_eq!(refused.refused().1, -32_602, "{tool}");
    }
    for method in [
        "tools/nope",
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "tasks/list",
    ] {
        let refused = client.call(method, json!({ "uri": "x", "level": "info" })).await;
        assert_eq!(refused.refused(), (404, -32_601), "{method}");
    }
    let (mut headers, body) = client.prepare("tools/list", json!({}));
    headers[0].1 = "2099-01-01".to_owned();
    let body = body.replace("2026-07-28", "2099-01-01");
    let refused = client.send_raw(Method::POST, &headers, body).await;
    assert_eq!(refused.refused(), (400, -32_022));
    let data = &refused.messages[0]["error"]["data"];
    assert_eq!(data["requested"], "2099-01-01");
    assert!(
        data["supported"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28"))
    );
    server.stop().await;
}

#[tokio::test]
async fn f04_methods_are_served_by_the_revisions_that_have_them() {
    let (server, ada, _) = start().await;
    for revision in REVISIONS {
        let session = Client::session(&server, revision, &ada.token).await;
        for (method, params) in [
            ("server/discover", json!({})),
            ("subscriptions/listen", json!({ "notifications": {} })),
            ("tasks/get", json!({ "taskId": ada.id })),
            ("tasks/cancel", json!({ "taskId": ada.id })),
        ] {
            let refused = session.call(method, params).await;
            assert_eq!(refused.refused().1, -32_601, "{revision} {method}");
        }
        session.call("ping", json!({})).await.result();
    }
    server.stop().await;
}

#[tokio::test]
async fn f05_a_session_belongs_to_its_principal_and_ends_once() {
    let (server, ada, _) = start().await;
    let bob = Person::new(&server, "bob", "user").await;
    for revision in REVISIONS {
        let session = Client::session(&server, revision, &ada.token).await;
        let list = || async { session.call("tools/list", json!({})).await.status };
        assert_eq!(list().await, 200);
        assert_eq!(
            session
                .with_token(&bob.token)
                .call("tools/list", json!({}))
                .await
                .status,
            404
        );
        let tampered = session.with("mcp-session-id", &format!("{}x", session.session_id()));
        assert_eq!(tampered.call("tools/list", json!({})).await.status, 404);
        let made_up = session.with("mcp-session-id", "made-up");
        assert_eq!(made_up.call("tools/list", json!({})).await.status, 404);
        let foreign = session.with_token(&bob.token);
        assert_eq!(
            foreign.send_raw(Method::DELETE, &[], String::new()).await.status,
            404
        );
        assert_eq!(list().await, 200);
        assert_eq!(
            session.send_raw(Method::DELETE, &[], String::new()).await.status,
            204
        );
        assert_eq!(list().await, 404);
        assert_eq!(
            session.send_raw(Method::DELETE, &[], String::new()).await.status,
            404
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn f05_a_session_outlives_the_server_that_it_began_with() {
    let home = Arc::new(Home::new());
    let first = Server::start_in(&home, &[]).await;
    let ada = Person::new(&first, "ada", "user").await;
    let session = Client::session(&first, LAST_WITH_SESSIONS, &ada.token).await;
    first.stop().await;
    let second = Server::start_in(&home, &[]).await;
    let session = session.moved_to(&second);
    session.call("tools/list", json!({})).await.result();
    second.stop().await;
}

#[tokio::test]
async fn f06_a_state_opens_for_its_own_principal_and_request_only() {
    let (server, ada, client) = start().await;
    let bob = Person::new(&server, "bob", "user").await;
    let client = client.with_capabilities(json!({ "elicitation": { "form": {} } }));
    let asked = client.call_tool("lab__ask", json!({ "a": 1 })).await.result();
    let state = asked["requestState"].as_str().unwrap().to_owned();
    let retry = |client: Client, arguments: Value, tool: &'static str, state: String| async move {
        let params = json!({
            "name": tool, "arguments": arguments, "requestState": state,
            "inputResponses": { "who": { "action": "accept", "content": {} } },
        });
        client.call("tools/call", params).await
    };
    let mut tampered = state.clone();
    let last = if tampered.ends_with('A') { "B" } else { "A" };
    tampered.replace_range(tampered.len() - 1.., last);
    let foreign = client.with_token(&bob.token);
    let cases = [
        (client.clone(), json!({ "a": 1 }), "lab__ask", tampered),
        (
            client.clone(),
            json!({ "a": 1 }),
            "lab__ask",
            "made up".to_owned(),
        ),
        (foreign, json!({ "a": 1 }), "lab__ask", state.clone()),
        (client.clone(), json!({ "a": 2 }), "lab__ask", state.clone()),
        (client.clone(), json!({ "a": 1 }), "lab__ask-late", state.clone()),
    ];
    for (client, arguments, tool, state) in cases {
        let refused = retry(client, arguments.clone(), tool, state).await;
        assert_eq!(refused.refused().1, -32_602, "{tool} {arguments}");
    }
    // Another credential of the same account goes on where the first began.
    let (_, keyed) = ada.key(&[]).await;
    let same = client.with_key(keyed.key());
    retry(same, json!({ "a": 1 }), "lab__ask", state).await.result();
    server.stop().await;
}

#[rstest]
#[case::of_a_stream(true)]
#[case::without_an_answer_yet(false)]
#[tokio::test]
async fn f08_a_call_ends_when_its_client_has_left(#[case] is_stream: bool) {
    let (extras, inside) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    let mut params = json!({ "name": "lab__hang", "arguments": {} });
    if is_stream {
        params["_meta"] = json!({ "progressToken": 1 });
        let mut stream = client.open("tools/call", params).await;
        assert_eq!(stream.next().await.unwrap()["method"], "notifications/progress");
        drop(stream);
    } else {
        let call = client.call("tools/call", params);
        tokio::select! {
            answered = call => panic!("{}", answered.text),
            begun = inside.begun.acquire() => begun.unwrap().forget(),
        }
    }
    timeout(PATIENCE, inside.given_up.acquire())
        .await
        .unwrap()
        .unwrap()
        .forget();
    server.stop().await;
}

#[tokio::test]
async fn f09_streams_that_are_never_read_are_bounded() {
    const MOST: usize = 64;
    let (server, _, client) = start().await;
    let mut streams = Vec::new();
    for _ in 0..MOST {
        let filter = json!({ "notifications": { "toolsListChanged": true } });
        let mut stream = client.open("subscriptions/listen", filter).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    let one_more = client
        .call("subscriptions/listen", json!({ "notifications": {} }))
        .await;
    assert_eq!(one_more.refused().1, -32_603, "{}", one_more.text);
    client.call("tools/list", json!({})).await.result();
    drop(streams);
    server.stop().await;
}
