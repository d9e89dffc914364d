//! Tools: what is listed, what can be called, and how calls end.

use axum::Router;
use model::Role;
use serde_json::{Value, json};

use super::{
    client::{Client, LAST_WITH_SESSIONS},
    plugin::{Many, lab},
};
use crate::{
    caller::{Caller, Person},
    fixture::{ADMIN_API_KEY, Server},
};

async fn lab_server() -> (Server, Person, Client) {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    (server, ada, client)
}

async fn names(client: &Client) -> Vec<String> {
    let listed = client.call("tools/list", json!({})).await.result();
    let tools = listed["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The credentials of someone: how it calls REST, how it speaks the protocol.
async fn everyone(server: &Server) -> Vec<(String, Caller, Client)> {
    let stateless = Client::stateless(server);
    let operator = stateless.with_key(ADMIN_API_KEY);
    let mut all = vec![("operator".to_owned(), Caller::operator(server), operator)];
    for role in Role::ALL {
        let person = Person::new(server, &format!("one-{role}"), role.as_str()).await;
        let client = stateless.with_token(&person.token);
        all.push((format!("token of a {role}"), person.caller.clone(), client));
        for scope in [
            "admin",
            "plugins:execute",
            "plugins:execute:sample",
            "tasks:read",
            "tasks:write",
            "history:read",
            "users:read",
        ] {
            let (_, caller) = person.key(&[scope, "plugins:read"]).await;
            let client = stateless.with_key(caller.key());
            all.push((format!("key of a {role} for {scope}"), caller, client));
        }
    }
    all
}

#[tokio::test]
async fn b03_what_is_listed_is_what_can_be_called_for_every_role_and_scope() {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let everyone = everyone(&server).await;
    let all = names(&everyone[0].2).await;
    assert!(all.len() > 20, "{all:?}");
    for (who, caller, client) in everyone {
        let listed = names(&client).await;
        let plugins = caller.get("/mcp/plugins").await.expect(200).data();
        for plugin in plugins.as_array().unwrap() {
            let prefix = format!("{}__", plugin["name"].as_str().unwrap());
            let is_listed = listed.iter().any(|name| name.starts_with(&prefix));
            assert_eq!(plugin["isCallable"], json!(is_listed), "{who}: {prefix}");
        }
        for name in all.iter().filter(|name| !name.starts_with("lab__")) {
            let called = client.call_tool(name, json!({})).await;
            let is_let_through = called.status == 200;
            assert!(
                is_let_through || called.status == 403,
                "{who}: {name}: {}",
                called.text
            );
            assert_eq!(
                listed.contains(name),
                is_let_through,
                "{who}: {name}: {}",
                called.text
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn each_call_is_in_the_history_as_one_of_this_door() {
    let (server, ada, client) = lab_server().await;
    client
        .call_tool("sample__echo", json!({ "message": "hello" }))
        .await
        .result();
    client.call_tool("lab__fail", json!({})).await.result();
    let history = ada.caller.get("/mcp/history?source=mcp").await.expect(200).data();
    let shown: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (call["plugin"].clone(), call["status"].clone()))
        .collect();
    assert_eq!(
        shown,
        [
            (json!("lab"), json!("failure")),
            (json!("sample"), json!("success"))
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn bad_arguments_and_failures_of_a_tool_are_results_for_the_model() {
    let (server, _, client) = lab_server().await;
    let cases = [
        ("lab__strict", json!({ "size": "big", "more": 1 }), "- size: "),
        ("lab__strict", json!({}), "size"),
        ("lab__fail", json!({}), "the experiment failed"),
    ];
    for (tool, arguments, told) in cases {
        let called = client.call_tool(tool, arguments).await;
        assert_eq!(called.status, 200);
        assert_eq!(called.result()["isError"], json!(true), "{}", called.text);
        assert!(called.tool_text().contains(told), "{}", called.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_defect_is_an_error_of_the_request_and_shows_nothing() {
    let (server, _, client) = lab_server().await;
    let called = client.call_tool("lab__break", json!({})).await;
    assert_eq!(called.refused().1, -32_603);
    assert!(!called.text.contains("the lab broke"), "{}", called.text);
    server.stop().await;
}

#[tokio::test]
async fn a_value_is_given_as_text_and_as_it_is_and_content_as_blocks() {
    let (server, _, client) = lab_server().await;
    let plain = client.call_tool("lab__strict", json!({ "size": 3 })).await;
    assert_eq!(plain.tool_text(), r#"{"payload":{"size":3}}"#);
    assert_eq!(
        plain.result()["structuredContent"],
        json!({ "payload": { "size": 3 } })
    );
    let blocks = client.call_tool("lab__content", json!({})).await.result();
    assert_eq!(blocks["content"][0]["type"], "image");
    assert_eq!(blocks.get("structuredContent"), None);
    server.stop().await;
}

#[tokio::test]
async fn what_a_tool_says_on_its_way_comes_before_its_result() {
    let (server, _, client) = lab_server().await;
    let meta = json!({ "progressToken": "p1", "io.modelcontextprotocol/logLevel": "info" });
    let params = json!({ "name": "lab__speak", "arguments": {}, "_meta": meta });
    let called = client.call("tools/call", params).await;
    let methods: Vec<_> = called.messages.iter().map(|message| &message["method"]).collect();
    assert_eq!(
        methods,
        ["notifications/progress", "notifications/message", ""]
            .map(|method| {
                if method.is_empty() {
                    Value::Null
                } else {
                    json!(method)
                }
            })
            .iter()
            .collect::<Vec<_>>()
    );
    let progress = &called.messages[0]["params"];
    assert_eq!(
        (
            &progress["progressToken"],
            &progress["progress"],
            &progress["total"]
        ),
        (&json!("p1"), &json!(50.0), &json!(100.0))
    );
    assert_eq!(called.messages[1]["params"]["data"], "something is odd");
    assert_eq!(called.tool_text(), "said");
    server.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_by_the_same_call_made_anew() {
    let (server, _, client) = lab_server().await;
    let client = client.with_capabilities(json!({ "elicitation": { "form": {} } }));
    let asked = client.call_tool("lab__ask", json!({ "a": 1 })).await.result();
    assert_eq!(asked["resultType"], "input_required");
    assert_eq!(asked["inputRequests"]["who"]["method"], "elicitation/create");
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let params = json!({
        "name": "lab__ask", "arguments": { "a": 1 },
        "inputResponses": { "who": answer }, "requestState": asked["requestState"],
    });
    let done = client.call("tools/call", params).await.result();
    let expected = json!({ "answer": answer, "notes": { "asked": { "a": 1 } } });
    assert_eq!(done["structuredContent"], expected);
    server.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_that_lead_through_all_of_them() {
    let many: std::sync::Arc<dyn model::Runtime> = std::sync::Arc::new(Many(250));
    let server = Server::start_more(Router::new(), vec![many].into(), &[]).await;
    let client = Client::stateless(&server).with_key(ADMIN_API_KEY);
    let mut seen = Vec::new();
    let mut params = json!({});
    loop {
        let page = client.call("tools/list", params).await.result();
        let tools = page["tools"].as_array().unwrap();
        assert!(tools.len() <= 100);
        seen.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        match page.get("nextCursor") {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => break,
        }
    }
    assert!(seen.is_sorted());
    assert_eq!(seen.iter().filter(|name| name.starts_with("many__")).count(), 250);
    let refused = client.call("tools/list", json!({ "cursor": "made up" })).await;
    assert_eq!(refused.refused().1, -32_602);
    server.stop().await;
}

#[tokio::test]
async fn the_revisions_with_sessions_list_and_call_too() {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    for revision in [LAST_WITH_SESSIONS, "2025-06-18", "2025-03-26"] {
        let client = Client::session(&server, revision, &ada.token).await;
        let listed = names(&client).await;
        assert!(listed.contains(&"lab__strict".to_owned()), "{revision}");
        let called = client.call_tool("lab__strict", json!({ "size": 3 })).await;
        assert_eq!(called.tool_text(), r#"{"payload":{"size":3}}"#, "{revision}");
    }
    server.stop().await;
}
