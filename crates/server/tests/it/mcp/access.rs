//! Who may call which method: every method × credential.
//!
//! The methods come from the protocol's own table, so that one without a row fails.

use axum::Router;
use http::Method;
use model::Role;
use protocol::{METHODS, Revision};
use serde_json::{Value, json};

use super::{
    client::{Client, STATELESS},
    plugin::lab,
};
use crate::{
    caller::Person,
    fixture::{ADMIN_API_KEY, Server},
};

/// What a method asks of its caller beside a credential.
enum Needs {
    /// Nothing: what it shows follows the credential.
    Nothing,
    /// This scope.
    Scope(&'static str),
}

/// What a method needs when it is called with such parameters; `task` is a task of the caller.
fn row(method: &str, task: &str) -> Option<(Needs, Value)> {
    use Needs::{Nothing, Scope};
    let lab = "plugins:execute:lab";
    Some(match method {
        "server/discover"
        | "ping"
        | "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list" => (Nothing, json!({})),
        "initialize" => {
            let client = json!({ "name": "test", "version": "1" });
            let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
            (Nothing, params)
        }
        "logging/setLevel" => (Nothing, json!({ "level": "info" })),
        "resources/unsubscribe" => (Nothing, json!({ "uri": "lab://readme" })),
        "tools/call" => (
            Scope(lab),
            json!({ "name": "lab__strict", "arguments": { "size": 1 } }),
        ),
        "prompts/get" => (
            Scope(lab),
            json!({ "name": "lab__greet", "arguments": { "name": "Ada" } }),
        ),
        "resources/read" => (
            Scope("tasks:read"),
            json!({ "uri": format!("mcp-server://tasks/{task}") }),
        ),
        "tasks/get" => (Scope("tasks:read"), json!({ "taskId": task })),
        "tasks/cancel" => (Scope("tasks:write"), json!({ "taskId": task })),
        "tasks/update" => (
            Scope("tasks:write"),
            json!({ "taskId": task, "inputResponses": {} }),
        ),
        // These show nothing that the credential doesn't: what they are about is unknown otherwise.
        "resources/subscribe" | "completion/complete" | "subscriptions/listen" => return None,
        other => panic!("{other} has no row"),
    })
}

const SCOPES: [&str; 8] = [
    "",
    "admin",
    "tasks:read",
    "tasks:write",
    "plugins:read",
    "plugins:execute",
    "plugins:execute:lab",
    "history:read",
];

fn covers(own: &str, needed: &str) -> bool {
    own.is_empty() || own == "admin" || own == needed || needed.starts_with(&format!("{own}:"))
}

/// A client of a revision that has the method, with this credential.
async fn client_of(server: &Server, since: Revision, until: Revision, key: &str) -> Client {
    if until.is_stateless() {
        return Client::stateless(server).with_token(key).with_tasks();
    }
    assert!(since <= until);
    Client::session(server, until.as_str(), key).await
}

#[tokio::test]
async fn b05_every_method_is_let_through_or_refused_as_its_row_says() {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    for role in [Role::User, Role::Admin] {
        let person = Person::new(&server, &format!("one-{role}"), role.as_str()).await;
        let to_do = json!({
            "title": "a job", "plugin": "lab", "action": "strict", "payload": { "size": 1 },
            "scheduledAt": "2099-01-01T00:00:00Z",
        });
        for scope in SCOPES {
            let scopes: Vec<_> = Some(scope)
                .filter(|scope| !scope.is_empty())
                .into_iter()
                .collect();
            let (_, keyed) = person.key(&scopes).await;
            let made = person
                .caller
                .post("/api/v1/tasks", to_do.clone())
                .await
                .expect(201)
                .data();
            let task = made["id"].as_str().unwrap();
            for method in METHODS {
                let Some((needs, params)) = row(method.name, task) else {
                    continue;
                };
                let client = client_of(&server, method.since, method.until, keyed.key()).await;
                let answered = client.call(method.name, params).await;
                let told = format!("{} by a {role} with {scope:?}: {}", method.name, answered.text);
                let is_covered = match needs {
                    Needs::Nothing => true,
                    // Answers make a task go on, which calls its plugin.
                    Needs::Scope(needed) if method.name == "tasks/update" => {
                        covers(scope, needed) && covers(scope, "plugins:execute:lab")
                    }
                    Needs::Scope(needed) => covers(scope, needed),
                };
                if is_covered {
                    assert_eq!(answered.status, 200, "{told}");
                    answered.result();
                } else if method.name == "tasks/update" && covers(scope, "tasks:write") {
                    assert_eq!(answered.refused().1, -32_602, "{told}");
                } else {
                    assert_eq!(answered.status, 403, "{told}");
                    let challenge = answered.header("www-authenticate");
                    assert!(challenge.contains("insufficient_scope"), "{told}: {challenge}");
                }
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn b05_no_method_is_let_through_without_a_good_credential() {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let stranger = Client::stateless(&server);
    let nobodies = [
        stranger.clone(),
        stranger.with_token("none"),
        stranger.with_key("mcp_000000000000_none"),
        stranger.with_token(&format!("{ADMIN_API_KEY}x")),
    ];
    for client in nobodies {
        for method in METHODS {
            let refused = client.call(method.name, json!({})).await;
            assert_eq!(refused.status, 401, "{}", method.name);
            let bare = json!({ "jsonrpc": "2.0", "id": 1, "method": method.name, "params": {} }).to_string();
            assert_eq!(client.send_raw(Method::POST, &[], bare).await.status, 401);
        }
        assert_eq!(
            client.send_raw(Method::POST, &[], "{".to_owned()).await.status,
            401
        );
        assert_eq!(client.call("no/such", json!({})).await.status, 401);
    }
    let operator = stranger.with_key(ADMIN_API_KEY);
    operator.call("tools/list", json!({})).await.result();
    assert_eq!(STATELESS, "2026-07-28");
    server.stop().await;
}
