//! Tasks: of the extension, and for clients that know only tools.

use std::sync::{Arc, atomic::Ordering};

use axum::Router;
use serde_json::{Value, json};

use super::{
    client::{Client, LAST_WITH_SESSIONS},
    plugin::{Inside, lab},
};
use crate::{caller::Person, fixture::Server};

struct Lab {
    server: Server,
    inside: Arc<Inside>,
    ada: Person,
    /// Takes tasks.
    client: Client,
}

async fn start() -> Lab {
    let (extras, inside) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token).with_tasks();
    Lab {
        server,
        inside,
        ada,
        client,
    }
}

fn id_of(result: &Value) -> String {
    assert_eq!(result["resultType"], "task", "{result}");
    result["taskId"].as_str().unwrap().to_owned()
}

/// Looks at a task until it is in one of these states.
async fn until(client: &Client, id: &str, wanted: &[&str]) -> Value {
    loop {
        let task = client.call("tasks/get", json!({ "taskId": id })).await.result();
        if wanted.contains(&task["status"].as_str().unwrap()) {
            return task;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_long_call_becomes_a_task_that_is_the_same_over_rest() {
    let lab = start().await;
    let made = lab.client.call_tool("lab__wait", json!({})).await.result();
    let id = id_of(&made);
    assert_eq!(made["status"], "working");
    assert_eq!(
        (&made["ttlMs"], made.get("result"), made.get("task")),
        (&Value::Null, None, None)
    );
    let shown = lab
        .ada
        .caller
        .get(&format!("/api/v1/tasks/{id}"))
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&shown["plugin"], &shown["title"]),
        (&json!("lab"), &json!("The action wait"))
    );
    lab.inside.gate.add_permits(1);
    let ended = until(&lab.client, &id, &["completed"]).await;
    assert_eq!(ended["resultType"], "complete");
    assert_eq!(ended["result"]["structuredContent"], json!({ "waited": true }));
    assert!(ended["ttlMs"].is_u64(), "{ended}");
    lab.server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_tasks_waits_for_the_result() {
    let lab = start().await;
    lab.inside.gate.add_permits(2);
    let waits = lab.client.with_capabilities(json!({}));
    let done = waits.call_tool("lab__wait", json!({})).await.result();
    assert_eq!(done["structuredContent"], json!({ "waited": true }));
    // Capabilities of a handshake don't count: tasks belong to the newest revision.
    let session = Client::session(&lab.server, LAST_WITH_SESSIONS, &lab.ada.token).await;
    let done = session
        .with_tasks()
        .call_tool("lab__wait", json!({}))
        .await
        .result();
    assert_eq!(done["structuredContent"], json!({ "waited": true }));
    lab.server.stop().await;
}

#[tokio::test]
async fn a_call_that_varies_becomes_a_task_only_when_it_outlives_the_threshold() {
    let lab = start().await;
    lab.inside.gate.add_permits(1);
    let quick = lab.client.call_tool("lab__wait-long", json!({})).await.result();
    assert_eq!(
        (&quick["resultType"], &quick["isError"]),
        (&json!("complete"), &json!(false))
    );
    let slow = lab.client.call_tool("lab__wait-long", json!({})).await.result();
    let id = id_of(&slow);
    lab.inside.gate.add_permits(1);
    until(&lab.client, &id, &["completed"]).await;
    lab.server.stop().await;
}

#[tokio::test]
async fn d07_a_task_that_its_client_never_heard_of_is_called_off() {
    let lab = start().await;
    let tasks = || async { lab.ada.caller.get("/api/v1/tasks").await.expect(200).data() };
    let call = lab.client.call_tool("lab__wait-long", json!({}));
    let appears = async {
        while tasks().await == json!([]) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answered = call => panic!("{}", answered.text),
        () = appears => {}
    }
    while tasks().await[0]["status"] != "cancelled" {
        tokio::task::yield_now().await;
    }
    lab.server.stop().await;
}

#[tokio::test]
async fn what_is_done_as_a_task_only_is_refused_to_a_client_that_takes_none() {
    let lab = start().await;
    let other = lab.client.with_capabilities(json!({}));
    let refused = other.call_tool("lab__only", json!({})).await;
    assert_eq!(refused.refused(), (400, -32_021));
    let required = &refused.messages[0]["error"]["data"]["requiredCapabilities"];
    assert_eq!(
        required,
        &json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
    );
    for method in ["tasks/get", "tasks/cancel"] {
        let refused = other.call(method, json!({ "taskId": lab.ada.id })).await;
        assert_eq!(refused.refused(), (400, -32_021), "{method}");
    }
    lab.server.stop().await;
}

#[tokio::test]
async fn a_key_that_may_not_write_tasks_gets_the_result_itself() {
    let lab = start().await;
    let (_, keyed) = lab.ada.key(&["plugins:execute"]).await;
    let client = lab.client.with_key(keyed.key());
    lab.inside.gate.add_permits(1);
    let done = client.call_tool("lab__wait", json!({})).await.result();
    assert_eq!(done["structuredContent"], json!({ "waited": true }));
    let refused = client.call_tool("lab__only", json!({})).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.contains("scope=\"plugins:execute:lab tasks:write tasks:read\""),
        "{challenge}"
    );
    lab.server.stop().await;
}

#[tokio::test]
async fn failures_of_the_tool_complete_a_task_and_defects_fail_it() {
    let lab = start().await;
    let failed = lab.client.call_tool("lab__fail-long", json!({})).await.result();
    let ended = until(&lab.client, &id_of(&failed), &["completed", "failed"]).await;
    assert_eq!(
        (&ended["status"], &ended["result"]["isError"]),
        (&json!("completed"), &json!(true))
    );
    assert_eq!(ended["result"]["content"][0]["text"], "the experiment failed");
    let broken = lab.client.call_tool("lab__break-long", json!({})).await.result();
    let ended = until(&lab.client, &id_of(&broken), &["completed", "failed"]).await;
    assert_eq!(
        (&ended["status"], &ended["error"]["code"]),
        (&json!("failed"), &json!(-32_603))
    );
    assert_eq!(ended.get("result"), None);
    lab.server.stop().await;
}

#[tokio::test]
async fn a_tool_that_may_not_be_called_twice_is_called_once() {
    let lab = start().await;
    let made = lab.client.call_tool("lab__count", json!({})).await.result();
    let ended = until(&lab.client, &id_of(&made), &["completed", "failed"]).await;
    assert_eq!(ended["result"]["isError"], json!(true));
    assert_eq!(lab.inside.counted.load(Ordering::SeqCst), 1);
    lab.server.stop().await;
}

#[tokio::test]
async fn f07_a_task_takes_answers_to_what_it_asks_and_ignores_others() {
    let lab = start().await;
    let made = lab
        .client
        .call_tool("lab__ask-long", json!({ "a": 1 }))
        .await
        .result();
    let id = id_of(&made);
    let asked = until(&lab.client, &id, &["input_required", "completed"]).await;
    assert_eq!(asked["inputRequests"]["who"]["method"], "elicitation/create");
    assert_eq!(asked.get("requestState"), None);
    let answer = |responses: Value| {
        let params = json!({ "taskId": id, "inputResponses": responses });
        async { lab.client.call("tasks/update", params).await.result() }
    };
    answer(json!({ "other": { "action": "accept" } })).await;
    let still = until(&lab.client, &id, &["input_required", "completed"]).await;
    assert_eq!(still["status"], "input_required");
    let name = json!({ "action": "accept", "content": { "name": "Ada" } });
    let ack = answer(json!({ "who": name })).await;
    assert_eq!(ack["resultType"], "complete");
    assert!(
        ["taskId", "status", "result"]
            .iter()
            .all(|key| ack.get(*key).is_none()),
        "{ack}"
    );
    let ended = until(&lab.client, &id, &["completed"]).await;
    assert_eq!(ended["result"]["structuredContent"]["answer"], name);
    answer(json!({ "who": { "action": "decline" } })).await;
    lab.server.stop().await;
}

#[tokio::test]
async fn a_call_that_asks_before_the_threshold_asks_its_client_at_once() {
    let lab = start().await;
    let asked = lab.client.call_tool("lab__ask-late", json!({})).await.result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert_eq!(asked.get("taskId"), None);
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let params = json!({
        "name": "lab__ask-late", "arguments": {},
        "inputResponses": { "who": answer }, "requestState": asked["requestState"],
    });
    let done = lab.client.call("tools/call", params.clone()).await.result();
    assert_eq!(done["structuredContent"]["answer"], answer);
    // Sent again, it is the same task, and isn't done again.
    let again = lab.client.call("tools/call", params).await.result();
    assert_eq!(again["structuredContent"], done["structuredContent"]);
    lab.server.stop().await;
}

#[tokio::test]
async fn a_task_that_asks_what_its_client_cannot_answer_is_called_off() {
    let lab = start().await;
    let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let client = lab.client.with_capabilities(capabilities);
    let refused = client.call_tool("lab__ask-late", json!({})).await.refused();
    assert_eq!(refused.1, -32_021);
    let tasks = || async { lab.ada.caller.get("/api/v1/tasks").await.expect(200).data() };
    while tasks().await[0]["status"] != "cancelled" {
        tokio::task::yield_now().await;
    }
    lab.server.stop().await;
}

#[tokio::test]
async fn f07_a_task_is_called_off_once_and_a_second_time_without_harm() {
    let lab = start().await;
    let made = lab.client.call_tool("lab__wait", json!({})).await.result();
    let id = id_of(&made);
    for _ in 0..2 {
        let ack = lab
            .client
            .call("tasks/cancel", json!({ "taskId": id }))
            .await
            .result();
        assert_eq!(ack["resultType"], "complete");
    }
    let ended = until(&lab.client, &id, &["cancelled", "completed"]).await;
    assert_eq!(ended["status"], "cancelled");
    let shown = lab
        .ada
        .caller
        .get(&format!("/api/v1/tasks/{id}"))
        .await
        .expect(200)
        .data();
    assert_eq!(shown["status"], "cancelled");
    lab.server.stop().await;
}

#[tokio::test]
async fn f07_a_task_that_is_not_there_or_is_anothers_is_unknown() {
    let lab = start().await;
    let made = lab.client.call_tool("lab__wait", json!({})).await.result();
    let id = id_of(&made);
    let bob = Person::new(&lab.server, "bob", "user").await;
    let client = lab.client.with_token(&bob.token);
    let to_do = lab
        .ada
        .caller
        .post("/api/v1/tasks", json!({ "title": "a to-do" }))
        .await
        .expect(201);
    let to_do = to_do.data()["id"].as_str().unwrap().to_owned();
    for (who, id) in [
        (&client, id.as_str()),
        (&client, "x"),
        (&client, &bob.id),
        (&lab.client, &to_do),
    ] {
        let refused = who.call("tasks/get", json!({ "taskId": id })).await;
        assert_eq!(refused.refused().1, -32_602, "{id}");
    }
    for params in [json!({ "taskId": id }), json!({ "taskId": "x" })] {
        assert_eq!(
            client.call("tasks/cancel", params.clone()).await.refused().1,
            -32_602
        );
        let mut update = params;
        update["inputResponses"] = json!({});
        assert_eq!(client.call("tasks/update", update).await.refused().1, -32_602);
    }
    let still = lab
        .client
        .call("tasks/get", json!({ "taskId": id }))
        .await
        .result();
    assert_eq!(still["status"], "working");
    lab.server.stop().await;
}

#[tokio::test]
async fn b01_the_tasks_and_calls_of_others_are_nowhere() {
    let lab = start().await;
    let made = lab.client.call_tool("lab__wait", json!({})).await.result();
    let task = id_of(&made);
    lab.client
        .call_tool("sample__echo", json!({ "message": "mine" }))
        .await
        .result();
    let history = lab.ada.caller.get("/mcp/history").await.expect(200).data();
    let execution = history[0]["id"].as_str().unwrap().to_owned();
    let bob = Person::new(&lab.server, "bob", "user").await;
    let client = lab.client.with_token(&bob.token);
    for tool in ["tasks__status", "tasks__wait", "tasks__cancel"] {
        let told = client.call_tool(tool, json!({ "taskId": task })).await;
        assert_eq!(told.result()["isError"], json!(true), "{tool}");
        let unknown = client.call_tool(tool, json!({ "taskId": bob.id })).await;
        assert_eq!(told.tool_text(), unknown.tool_text(), "{tool}");
    }
    for uri in [
        format!("mcp-server://tasks/{task}"),
        format!("mcp-server://tasks/{task}/result"),
        format!("mcp-server://executions/{execution}"),
    ] {
        let refused = client.call("resources/read", json!({ "uri": uri })).await;
        assert_eq!(refused.refused().1, -32_602, "{uri}");
    }
    let listed = client.call("resources/list", json!({})).await.text;
    assert!(
        !listed.contains(&task) && !listed.contains(&execution),
        "{listed}"
    );
    let mut stream = client
        .open(
            "subscriptions/listen",
            json!({ "notifications": { "taskIds": [task] } }),
        )
        .await;
    let honoured = stream.next().await.unwrap();
    assert!(!honoured.to_string().contains(&task), "{honoured}");
    lab.inside.gate.add_permits(1);
    lab.server.stop().await;
}

#[tokio::test]
async fn who_listens_to_a_task_hears_of_its_end() {
    let lab = start().await;
    let made = lab.client.call_tool("lab__wait", json!({})).await.result();
    let id = id_of(&made);
    let filter = json!({ "notifications": { "taskIds": [id] } });
    let mut stream = lab.client.open("subscriptions/listen", filter).await;
    let acknowledged = stream.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"]["taskIds"], json!([id]));
    lab.inside.gate.add_permits(1);
    loop {
        let told = stream.next().await.unwrap();
        assert_eq!(told["method"], "notifications/tasks");
        assert_eq!(told["params"]["taskId"], json!(id));
        if told["params"]["status"] == "completed" {
            assert_eq!(
                told["params"]["result"]["structuredContent"],
                json!({ "waited": true })
            );
            break;
        }
    }
    drop(stream);
    lab.server.stop().await;
}

#[tokio::test]
async fn a_client_that_knows_only_tools_hands_work_in_and_waits_for_it() {
    let lab = start().await;
    let client = Client::session(&lab.server, "2025-06-18", &lab.ada.token).await;
    let arguments = json!({ "tool": "lab__wait", "title": "Patience" });
    let made = client.call_tool("tasks__submit", arguments).await.result();
    let task = &made["structuredContent"];
    assert_eq!(
        (&task["tool"], &task["title"]),
        (&json!("lab__wait"), &json!("Patience"))
    );
    let id = json!({ "taskId": task["taskId"] });
    let looked = client.call_tool("tasks__status", id.clone()).await.result();
    assert_eq!(looked["structuredContent"]["isFinal"], json!(false));
    lab.inside.gate.add_permits(1);
    let ended = client.call_tool("tasks__wait", id.clone()).await.result();
    assert_eq!(ended["structuredContent"]["result"], json!({ "waited": true }));
    let late = client.call_tool("tasks__cancel", id).await.result();
    assert_eq!(late["isError"], json!(true));
    lab.server.stop().await;
}

#[tokio::test]
async fn the_tools_for_tasks_say_what_is_wrong_with_their_arguments() {
    let lab = start().await;
    let cases = [
        ("tasks__submit", json!({}), "tool"),
        ("tasks__submit", json!({ "tool": "tasks__wait" }), "tasks__wait"),
        ("tasks__submit", json!({ "tool": "sample__nope" }), "no such"),
        (
            "tasks__submit",
            json!({ "tool": "lab__strict", "arguments": {} }),
            "size",
        ),
        ("tasks__status", json!({ "taskId": "x" }), "acceptable"),
        (
            "tasks__wait",
            json!({ "taskId": lab.ada.id, "seconds": 51 }),
            "50",
        ),
        (
            "tasks__cancel",
            json!({ "taskId": lab.ada.id, "more": 1 }),
            "more",
        ),
    ];
    for (tool, arguments, told) in cases {
        let called = lab.client.call_tool(tool, arguments.clone()).await;
        assert_eq!(called.result()["isError"], json!(true), "{tool} {arguments}");
        assert!(
            called.tool_text().contains(told),
            "{tool} {arguments}: {}",
            called.text
        );
    }
    lab.server.stop().await;
}
