//! Prompts, resources and suggestions.

use axum::Router;
use serde_json::{Value, json};

use super::{
    client::{Client, LAST_WITH_SESSIONS},
    plugin::lab,
};
use crate::{caller::Person, fixture::Server};

async fn start() -> (Server, Person, Client) {
    let (extras, _) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    (server, ada, client)
}

fn uris(listed: &Value) -> Vec<&str> {
    let entries = listed["resources"].as_array().unwrap().iter();
    entries.map(|entry| entry["uri"].as_str().unwrap()).collect()
}

async fn read(client: &Client, uri: &str) -> Value {
    let found = client
        .call("resources/read", json!({ "uri": uri }))
        .await
        .result();
    assert_eq!(found["cacheScope"], "private");
    found["contents"][0].clone()
}

#[tokio::test]
async fn ones_calls_and_tasks_are_resources_as_rest_shows_them() {
    let (server, ada, client) = start().await;
    client
        .call_tool("sample__echo", json!({ "message": "mine" }))
        .await
        .result();
    let submitted = json!({ "tool": "sample__echo", "arguments": { "message": "later" } });
    let task = client.call_tool("tasks__submit", submitted).await.result();
    let id = task["structuredContent"]["taskId"].clone();
    client
        .call_tool("tasks__wait", json!({ "taskId": id }))
        .await
        .result();
    let listed = client.call("resources/list", json!({})).await.result();
    let found = uris(&listed);
    assert!(found.contains(&"lab://readme"));
    let task_uri = format!("mcp-server://tasks/{}", id.as_str().unwrap());
    assert!(found.contains(&task_uri.as_str()), "{found:?}");
    let executions: Vec<_> = found
        .iter()
        .filter(|uri| uri.starts_with("mcp-server://executions/"))
        .collect();
    assert_eq!(executions.len(), 2);

    let shown = read(&client, &task_uri).await;
    assert_eq!(shown["mimeType"], "application/json");
    let shown: Value = serde_json::from_str(shown["text"].as_str().unwrap()).unwrap();
    let over_rest = ada
        .caller
        .get(&format!("/api/v1/tasks/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(shown, over_rest.expect(200).data());
    let result = read(&client, &format!("{task_uri}/result")).await;
    let result: Value = serde_json::from_str(result["text"].as_str().unwrap()).unwrap();
    assert_eq!(result, shown["result"]);
    let execution = read(&client, executions[0]).await;
    let execution: Value = serde_json::from_str(execution["text"].as_str().unwrap()).unwrap();
    assert_eq!(execution["plugin"], "sample");
    server.stop().await;
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_told_as_the_revision_says() {
    let (server, ada, client) = start().await;
    let session = Client::session(&server, LAST_WITH_SESSIONS, &ada.token).await;
    for uri in [
        "lab://notes/missing",
        "lab://elsewhere",
        "mcp-server://tasks/x",
        "mcp-server://nothing",
        "file:///etc/passwd",
    ] {
        let params = json!({ "uri": uri });
        assert_eq!(
            client.call("resources/read", params.clone()).await.refused().1,
            -32_602,
            "{uri}"
        );
        assert_eq!(
            session.call("resources/read", params).await.refused().1,
            -32_002,
            "{uri}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn patterns_are_listed_to_those_who_may_read_what_follows_them() {
    let (server, ada, client) = start().await;
    for (scope, own) in [("plugins:execute", 0), ("history:read", 1), ("tasks:read", 2)] {
        let (_, keyed) = ada.key(&[scope]).await;
        let client = client.with_token(keyed.key());
        let listed = client.call("resources/templates/list", json!({})).await.result();
        let listed = listed["resourceTemplates"].as_array().unwrap();
        let patterns = listed.iter().map(|template| template["uriTemplate"].as_str());
        let found = patterns.filter(|pattern| pattern.unwrap().starts_with("mcp-server://"));
        assert_eq!(found.count(), own, "{scope}");
    }
    server.stop().await;
}

#[tokio::test]
async fn resources_of_plugins_are_read_by_address_and_by_pattern() {
    let (server, _, client) = start().await;
    for uri in ["lab://readme", "lab://notes/7"] {
        assert_eq!(read(&client, uri).await["text"], format!("the text of {uri}"));
    }
    let listed = client.call("resources/templates/list", json!({})).await.result();
    let templates = listed["resourceTemplates"].as_array().unwrap();
    let templates: Vec<_> = templates
        .iter()
        .map(|template| template["uriTemplate"].as_str().unwrap())
        .collect();
    assert_eq!(
        templates,
        [
            "lab://notes/{id}",
            "mcp-server://executions/{id}",
            "mcp-server://tasks/{id}",
            "mcp-server://tasks/{id}/result",
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_prompt_is_listed_and_filled_in() {
    let (server, _, client) = start().await;
    let listed = client.call("prompts/list", json!({})).await.result();
    let prompt = &listed["prompts"][0];
    assert_eq!(
        (&prompt["name"], &prompt["arguments"][0]["required"]),
        (&json!("lab__greet"), &json!(true))
    );
    let params = json!({ "name": "lab__greet", "arguments": { "name": "Ada" } });
    let filled = client.call("prompts/get", params).await.result();
    let message = json!({ "role": "user", "content": { "type": "text", "text": "Hello, Ada!" } });
    assert_eq!(filled["messages"], json!([message]));
    for params in [
        json!({ "name": "lab__greet", "arguments": {} }),
        json!({ "name": "lab__greet", "arguments": { "name": "Ada", "more": "x" } }),
        json!({ "name": "lab__nope" }),
        json!({ "name": "greet" }),
    ] {
        assert_eq!(
            client.call("prompts/get", params.clone()).await.refused().1,
            -32_602,
            "{params}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_can_complete_has_no_suggestions_and_what_is_not_there_is_refused() {
    let (server, _, client) = start().await;
    let complete = |reference: Value| {
        let params = json!({ "ref": reference, "argument": { "name": "name", "value": "A" } });
        client.call("completion/complete", params)
    };
    for reference in [
        json!({ "type": "ref/prompt", "name": "lab__greet" }),
        json!({ "type": "ref/resource", "uri": "lab://notes/{id}" }),
        json!({ "type": "ref/resource", "uri": "mcp-server://tasks/{id}" }),
    ] {
        let found = complete(reference.clone()).await.result();
        assert_eq!(found["completion"]["values"], json!([]), "{reference}");
    }
    for reference in [
        json!({ "type": "ref/prompt", "name": "lab__nope" }),
        json!({ "type": "ref/resource", "uri": "lab://else/{id}" }),
        json!({ "type": "ref/other" }),
    ] {
        assert_eq!(
            complete(reference.clone()).await.refused().1,
            -32_602,
            "{reference}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn who_listens_to_a_task_as_a_resource_hears_that_it_changed() {
    let (extras, inside) = lab();
    let server = Server::start_more(Router::new(), extras, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let client = Client::stateless(&server).with_token(&ada.token);
    let made = client
        .call_tool("tasks__submit", json!({ "tool": "lab__wait" }))
        .await
        .result();
    let uri = format!(
        "mcp-server://tasks/{}",
        made["structuredContent"]["taskId"].as_str().unwrap()
    );
    let filter = json!({ "notifications": { "resourceSubscriptions": [uri, "mcp-server://tasks/x"] } });
    let mut stream = client.open("subscriptions/listen", filter).await;
    let acknowledged = stream.next().await.unwrap();
    assert_eq!(
        acknowledged["params"]["notifications"]["resourceSubscriptions"],
        json!([uri])
    );
    inside.gate.add_permits(1);
    let told = stream.next().await.unwrap();
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], json!(uri));
    drop(stream);
    server.stop().await;
}
