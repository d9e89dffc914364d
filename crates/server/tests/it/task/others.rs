//! Other people's tasks.

use http::Method;
use serde_json::json;

use super::{act, echo, later, make, titles};
use crate::{
    caller::{Caller, Person},
    fixture::Server,
};

#[tokio::test]
async fn b01_another_persons_tasks_do_not_exist() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let id = make(&ada.caller, later(echo("mine"))).await;
    let path = format!("/api/v1/tasks/{id}");
    eve.caller.get(&path).await.refused(404, "not_found");
    eve.caller
        .put(&path, json!({ "title": "yours" }))
        .await
        .refused(404, "not_found");
    eve.caller.delete(&path).await.refused(404, "not_found");
    eve.caller
        .get(&format!("{path}/attempts"))
        .await
        .refused(404, "not_found");
    eve.caller
        .post(&format!("{path}/answers"), json!({ "answers": {} }))
        .await
        .refused(404, "not_found");
    for verb in ["execute", "execute?wait=0", "cancel", "retry", "pause", "resume"] {
        act(&eve.caller, &id, verb).await.refused(404, "not_found");
    }
    assert_eq!(
        eve.caller.get("/api/v1/tasks?q=mine").await.expect(200).body["page"]["total"],
        0
    );
    let stats = eve.caller.get("/api/v1/tasks/stats").await.expect(200).data();
    assert_eq!((&stats["total"], &stats["byPlugin"]), (&json!(0), &json!([])));
    let task = ada.caller.get(&path).await.expect(200).data();
    assert_eq!(
        (&task["title"], &task["status"]),
        (&json!("mine"), &json!("pending"))
    );
    let all = Caller::operator(&server)
        .get(&format!("/api/v1/tasks?userId={}", ada.id))
        .await
        .expect(200);
    assert_eq!(titles(&all), ["mine"]);
    server.stop().await;
}

#[tokio::test]
async fn b01_another_persons_task_can_not_be_depended_on_or_told_from_none() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let foreign = make(&ada.caller, later(echo("mine"))).await;
    let none = "0199c0de-0000-7000-8000-00000000abcd";
    let mut refusals = Vec::new();
    for id in [foreign.as_str(), none] {
        let mut task = echo("after");
        task["dependsOn"] = json!([id]);
        let refused = eve
            .caller
            .post("/api/v1/tasks", task)
            .await
            .refused(422, "validation_failed");
        assert_eq!(refused.refused_fields(), ["dependsOn.0"]);
        refusals.push(refused.message().replace(id, "it"));
    }
    assert_eq!(refusals[0], refusals[1]);
    server.stop().await;
}

#[tokio::test]
async fn b01_unique_keys_and_cursors_belong_to_one_person() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let task = json!({ "title": "to-do", "uniqueKey": "the same" });
    let adas = make(&ada.caller, task.clone()).await;
    assert_ne!(make(&eve.caller, task).await, adas);
    make(&ada.caller, json!({ "title": "another" })).await;
    let page = ada.caller.get("/api/v1/tasks?limit=1").await.expect(200);
    let cursor = page.body["page"]["nextCursor"].as_str().unwrap();
    let refused = eve
        .caller
        .get(&format!("/api/v1/tasks?limit=1&cursor={cursor}"))
        .await;
    assert_eq!(
        refused.refused(422, "validation_failed").refused_fields(),
        ["cursor"]
    );
    server.stop().await;
}

#[tokio::test]
async fn b02_nobody_names_an_owner_but_admins_who_look() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let path = format!("/api/v1/tasks?userId={}", ada.id);
    assert_eq!(
        ada.caller
            .get(&path)
            .await
            .refused(422, "validation_failed")
            .refused_fields(),
        ["userId"]
    );
    for field in ["userId", "id", "status", "result", "retryCount", "scheduleId"] {
        let refused = ada
            .caller
            .post("/api/v1/tasks", json!({ "title": "x", field: "x" }))
            .await;
        assert_eq!(
            refused.refused(422, "validation_failed").refused_fields(),
            [field]
        );
    }
    assert_eq!(ada.caller.get("/api/v1/tasks").await.body["page"]["total"], 0);
    server.stop().await;
}

#[tokio::test]
async fn b06_ids_of_another_form_lead_nowhere() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let id = make(&ada.caller, json!({ "title": "to-do" })).await;
    let ids = [
        id.to_uppercase(),
        format!("{id}%00"),
        format!("{id}%20"),
        id.replace('-', ""),
        ada.id.clone(),
        "..%2F".to_owned() + &id,
        "x".repeat(10_000),
        "-1".to_owned(),
    ];
    for id in ids {
        ada.caller
            .get(&format!("/api/v1/tasks/{id}"))
            .await
            .refused(404, "not_found");
        act(&ada.caller, &id, "cancel").await.refused(404, "not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn a16_a_key_makes_and_runs_only_what_its_scopes_let_it_call() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let id = make(&ada.caller, later(echo("hello"))).await;
    let (_, narrow) = ada.key(&["tasks:read", "tasks:write"]).await;
    narrow
        .post("/api/v1/tasks", json!({ "title": "to-do" }))
        .await
        .expect(201);
    let many = json!({ "tasks": [echo("x")] });
    let refusals = [
        narrow.post("/api/v1/tasks", echo("x")).await,
        narrow.post("/api/v1/tasks/bulk", many).await,
        narrow
            .put(
                &format!("/api/v1/tasks/{id}"),
                json!({ "payload": { "message": "y" } }),
            )
            .await,
        act(&narrow, &id, "execute").await,
    ];
    for refused in refusals {
        let refused = refused.refused(403, "insufficient_scope");
        assert!(
            refused.message().contains("plugins:execute:sample"),
            "{}",
            refused.text
        );
    }
    let (_, wide) = ada.key(&["tasks:write", "plugins:execute:sample"]).await;
    act(&wide, &id, "execute").await.expect(200);
    wide.get("/api/v1/tasks").await.refused(403, "insufficient_scope");
    server.stop().await;
}

#[tokio::test]
async fn a14_the_tasks_of_a_deactivated_account_do_not_run() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let operator = Caller::operator(&server);
    let id = make(&ada.caller, later(echo("hello"))).await;
    operator
        .put(&format!("/api/v1/users/{}", ada.id), json!({ "isActive": false }))
        .await
        .expect(200);
    let path = format!("/api/v1/tasks/{id}/execute");
    let run = operator.send(Method::POST, &path, None).await.expect(200).data();
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("forbidden")),
        "{run}"
    );
    server.stop().await;
}
