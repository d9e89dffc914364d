//! What is refused: how it is told, and that it is in the history.

use axum::Router;
use serde_json::{Value, json};

use super::{
    client::{Client, LAST_WITH_SESSIONS},
    plugin::lab,
};
use crate::{
    caller::{Caller, Person},
    fixture::Server,
};

async fn history(caller: &Caller) -> Vec<Value> {
    let calls = caller.get("/mcp/history?source=mcp").await.expect(200).data();
    let calls = calls.as_array().unwrap().iter();
    calls
        .map(|call| json!([call["plugin"], call["action"], call["error"]["code"]]))
        .collect()
}

#[tokio::test]
async fn a_call_that_is_refused_is_in_the_history() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (_, keyed) = ada.key(&["tasks:read"]).await;
    let arguments = || json!({ "message": "hello" });
    for revision in ["2026-07-28", LAST_WITH_SESSIONS] {
        let client = |credential: String| {
            let server = &server;
            async move {
                if revision == LAST_WITH_SESSIONS {
                    return Client::session(server, revision, &credential).await;
                }
                Client::stateless(server).with_token(&credential)
            }
        };
        let (keyed, ada_s) = (
            client(keyed.key().to_owned()).await,
            client(ada.token.clone()).await,
        );
        let lacking = keyed.call_tool("sample__echo", arguments()).await;
        assert_eq!(lacking.status, 403, "{}", lacking.text);
        for unknown in ["sample__nope", "nope__echo"] {
            let refused = ada_s.call_tool(unknown, arguments()).await;
            assert_eq!(refused.refused(), (200, -32_602));
            assert!(
                refused.text.contains(&format!("Unknown tool: {unknown}")),
                "{}",
                refused.text
            );
        }
    }
    let of_one_revision = [
        json!(["nope", "echo", "not_found"]),
        json!(["sample", "nope", "not_found"]),
        json!(["sample", "echo", "insufficient_scope"]),
    ];
    let all = [of_one_revision.clone(), of_one_revision].concat();
    assert_eq!(history(&ada.caller).await, all);
    server.stop().await;
}

#[tokio::test]
async fn a16_handing_in_names_the_scope_for_the_plugin_too() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let submission = json!({ "tool": "sample__echo", "arguments": { "message": "hello" } });
    for scope in ["tasks:read", "tasks:write", "plugins:execute"] {
        let (_, keyed) = ada.key(&[scope]).await;
        let client = Client::stateless(&server).with_key(keyed.key());
        let refused = client.call_tool("tasks__submit", submission.clone()).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        let challenge = refused.header("www-authenticate");
        let scopes = "scope=\"tasks:write plugins:execute:sample\"";
        assert!(challenge.contains(scopes), "{scope}: {challenge}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_named_as_it_was_asked_for() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    for uri in [
        "mcp-server://tasks/x".to_owned(),
        "mcp-server://nowhere".to_owned(),
        format!("mcp-server://tasks/{}/result", ada.id),
        format!("mcp-server://executions/{}", ada.id),
    ] {
        let refused = client.call("resources/read", json!({ "uri": uri })).await;
        assert_eq!(
            refused.messages[0]["error"]["data"]["uri"], uri,
            "{}",
            refused.text
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn each_wrong_argument_of_the_tools_for_tasks_is_named_in_plain_words() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    let cases: [(&str, Value, &[&str]); 6] = [
        (
            "tasks__status",
            json!({}),
            &["- taskId: must be the id of a task"],
        ),
        (
            "tasks__wait",
            json!({ "taskId": 5, "seconds": "long" }),
            &[
                "- taskId: must be",
                "- seconds: must be a whole number from 1 to 50",
            ],
        ),
        (
            "tasks__cancel",
            json!({ "taskId": "x", "force": true }),
            &["- taskId: must be", "- force: is not an argument of this tool"],
        ),
        (
            "tasks__submit",
            json!({ "arguments": [], "title": 5 }),
            &[
                "- tool: must be",
                "- arguments: must be an object",
                "- title: must be",
            ],
        ),
        (
            "tasks__submit",
            json!({ "tool": "sample__nope" }),
            &["no such tool: sample__nope"],
        ),
        ("tasks__submit", json!({ "tool": "nope" }), &["\"nope\""]),
    ];
    for (tool, arguments, told) in cases {
        let called = client.call_tool(tool, arguments.clone()).await;
        assert_eq!(called.result()["isError"], json!(true), "{tool} {arguments}");
        let text = called.tool_text();
        for told in told {
            assert!(text.contains(told), "{tool} {arguments}: {text}");
        }
        assert!(!text.contains(" at line "), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_prompt_is_named() {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    for name in ["lab__nope", "nope"] {
        let refused = client.call("prompts/get", json!({ "name": name })).await;
        assert_eq!(refused.refused(), (200, -32_602));
        assert!(
            refused.text.contains(&format!("Unknown prompt: {name}")),
            "{}",
            refused.text
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_outlasts_the_stop_of_the_server_is_told_so() {
    let (extras, inside) = lab();
    let server = Server::start_more(Router::new(), extras, &[("SHUTDOWN_GRACE_MS", "100")]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let older = Client::session(&server, LAST_WITH_SESSIONS, &ada.token).await;
    let newer = Client::stateless(&server).with_token(&ada.token);
    let stopping = async {
        drop(inside.begun.acquire_many(2).await.unwrap());
        server.stop().await;
    };
    let (newer, older, ()) = tokio::join!(
        newer.call_tool("lab__hang", json!({})),
        older.call_tool("lab__hang", json!({})),
        stopping,
    );
    for answered in [newer, older] {
        assert_eq!(answered.refused(), (200, -32_603));
        assert!(
            answered.text.contains("the server is stopping"),
            "{}",
            answered.text
        );
    }
}
