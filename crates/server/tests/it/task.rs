//! Tasks: made, run, moved, called off, and looked at.

mod answers;
mod input;
mod others;
mod recurring;

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    caller::{Caller, Person, Reply},
    contract,
    fixture::{PATIENCE, Server},
};

/// A job that gives back `message`.
fn echo(message: &str) -> Value {
    json!({ "title": message, "plugin": "sample", "action": "echo", "payload": { "message": message } })
}

/// A job that takes a minute.
fn long() -> Value {
    json!({ "title": "long", "plugin": "sample", "action": "sleep", "payload": { "ms": 60_000 } })
}

/// A job that fails, in a way that a retry may help or not.
fn failing(is_retryable: bool) -> Value {
    json!({
        "title": "failing", "plugin": "sample", "action": "fail", "payload": { "retryable": is_retryable },
        "maxRetries": 0,
    })
}

/// The same task, for later.
fn later(mut task: Value) -> Value {
    task["scheduledAt"] = json!("2099-01-01T00:00:00Z");
    task
}

/// Makes a task; gives its id.
async fn make(caller: &Caller, task: Value) -> String {
    let made = caller.post("/api/v1/tasks", task).await.expect(201).data();
    made["id"].as_str().unwrap().to_owned()
}

/// Does something to a task.
async fn act(caller: &Caller, id: &str, verb: &str) -> Reply {
    caller
        .send(Method::POST, &format!("/api/v1/tasks/{id}/{verb}"), None)
        .await
}

async fn read(caller: &Caller, id: &str) -> Value {
    caller
        .get(&format!("/api/v1/tasks/{id}"))
        .await
        .expect(200)
        .data()
}

/// Reads a task again and again until it has a status.
async fn when(caller: &Caller, id: &str, status: &str) -> Value {
    let looking = async {
        loop {
            let task = read(caller, id).await;
            if task["status"] == status {
                break task;
            }
        }
    };
    timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("the task {id} did not become {status}"))
}

/// The titles of a list.
fn titles(reply: &Reply) -> Vec<String> {
    let tasks = reply.body["data"].as_array().unwrap();
    let title = |task: &Value| task["title"].as_str().unwrap().to_owned();
    tasks.iter().map(title).collect()
}

#[tokio::test]
async fn a_task_runs_by_itself_and_keeps_its_result() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let made = ada.caller.post("/api/tasks", echo("hello")).await.expect(201);
    let id = made.data()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/tasks/{id}"));
    assert_eq!(made.data()["userId"], ada.id.as_str());
    let task = when(&ada.caller, &id, "completed").await;
    assert_eq!(task["result"], json!({ "message": "hello" }));
    assert_eq!((&task["attempt"], &task["retryCount"]), (&json!(1), &json!(0)));
    assert!(
        task["startedAt"].is_string() && task["finishedAt"].is_string(),
        "{task}"
    );
    let attempts = ada
        .caller
        .get(&format!("/api/v1/tasks/{id}/attempts"))
        .await
        .expect(200);
    assert_eq!(attempts.body["page"]["total"], 1);
    let attempt = &attempts.body["data"][0];
    assert_eq!((&attempt["taskId"], &attempt["attempt"]), (&json!(id), &json!(1)));
    assert_eq!(
        (&attempt["source"], &attempt["status"]),
        (&json!("task"), &json!("success"))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_task_is_run_now_and_waited_for() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, later(echo("hello"))).await;
    let done = act(&operator, &id, "execute").await.expect(200).data();
    assert_eq!(
        (&done["status"], &done["result"]["message"]),
        (&json!("completed"), &json!("hello"))
    );
    act(&operator, &id, "execute").await.refused(409, "conflict");
    server.stop().await;
}

#[tokio::test]
async fn whoever_does_not_wait_long_enough_is_told_that_the_task_goes_on() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, later(long())).await;
    let told = act(&operator, &id, "execute?wait=0").await.expect(202).data();
    assert!(
        ["pending", "in-progress"].contains(&told["status"].as_str().unwrap()),
        "{told}"
    );
    when(&operator, &id, "in-progress").await;
    let told = act(&operator, &id, "execute?wait=50ms").await.expect(202).data();
    assert_eq!(told["status"], "in-progress");
    act(&operator, &id, "cancel").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_wait_may_be_longer_than_other_requests_take() {
    let server = Server::start_with(&[("REQUEST_TIMEOUT_MS", "400")]).await;
    let operator = Caller::operator(&server);
    let task = json!({ "title": "slow", "plugin": "sample", "action": "sleep", "payload": { "ms": 900 } });
    let id = make(&operator, later(task)).await;
    let done = act(&operator, &id, "execute?wait=30s").await.expect(200).data();
    assert_eq!(done["result"]["sleptMs"], 900);
    server.stop().await;
}

#[tokio::test]
async fn g06_a_stop_does_not_wait_for_those_who_wait() {
    let server = Server::start_with(&[("SHUTDOWN_GRACE_MS", "100")]).await;
    let operator = Caller::operator(&server);
    let id = make(&operator, long()).await;
    when(&operator, &id, "in-progress").await;
    let stopping = server.stopping().clone();
    let (told, ()) = tokio::join!(act(&operator, &id, "execute?wait=60s"), async {
        while server.metrics().in_flight() == 0 {
            tokio::task::yield_now().await;
        }
        stopping.cancel();
    });
    assert_eq!(told.expect(202).data()["status"], "in-progress");
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_request_makes_or_runs_one_task() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let repeating = operator.with_header("idempotency-key", "once");
    let id = make(&repeating, later(echo("hello"))).await;
    let again = repeating
        .post("/api/v1/tasks", later(echo("hello")))
        .await
        .expect(201);
    assert_eq!(
        (again.data()["id"].as_str(), again.header("idempotency-replayed")),
        (Some(id.as_str()), "true")
    );
    assert_eq!(again.header("location"), format!("/api/v1/tasks/{id}"));
    let first = act(&repeating, &id, "execute").await.expect(200);
    let second = act(&repeating, &id, "execute").await.expect(200);
    assert_eq!(
        (first.data(), second.header("idempotency-replayed")),
        (second.data(), "true")
    );
    let other = make(&operator, later(echo("other"))).await;
    act(&repeating, &other, "execute")
        .await
        .refused(409, "idempotency_key_reused");
    assert_eq!(operator.get("/api/v1/tasks").await.body["page"]["total"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_to_do_is_moved_by_people_alone() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let id = make(
        &ada.caller,
        json!({ "title": "call the bank", "description": "before noon" }),
    )
    .await;
    act(&ada.caller, &id, "execute").await.refused(409, "conflict");
    let path = format!("/api/v1/tasks/{id}");
    for status in ["in-progress", "pending", "completed"] {
        let moved = ada
            .caller
            .put(&path, json!({ "status": status }))
            .await
            .expect(200)
            .data();
        assert_eq!(moved["status"], status);
    }
    assert!(read(&ada.caller, &id).await["finishedAt"].is_string());
    ada.caller
        .put(&path, json!({ "status": "pending" }))
        .await
        .refused(409, "conflict");
    let refused = ada
        .caller
        .put(&path, json!({ "payload": {} }))
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), ["payload"]);
    server.stop().await;
}

#[tokio::test]
async fn a_task_is_changed_where_it_can_be() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, later(echo("hello"))).await;
    let path = format!("/api/v1/tasks/{id}");
    let change = json!({
        "title": "Another", "description": "words", "priority": "high", "tags": ["b", "a", "b"], "maxRetries": 5,
        "maxStalls": 0, "timeoutMs": 1_500, "payload": { "message": "bye" }, "scheduledAt": "2098-01-01T00:00:00+02:00",
    });
    let changed = operator.put(&path, change).await.expect(200).data();
    for (field, value) in [
        ("title", json!("Another")),
        ("description", json!("words")),
        ("priority", json!("high")),
        ("tags", json!(["a", "b"])),
        ("maxRetries", json!(5)),
        ("maxStalls", json!(0)),
        ("timeoutMs", json!(1500.0)),
        ("payload", json!({ "message": "bye" })),
        ("scheduledAt", json!("2097-12-31T22:00:00.000Z")),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    let removal = json!({ "description": null, "timeoutMs": null, "scheduledAt": null });
    let changed = operator.put(&path, removal).await.expect(200).data();
    assert!(
        ["description", "timeoutMs", "scheduledAt"]
            .iter()
            .all(|field| changed.get(field).is_none())
    );
    assert_eq!(
        when(&operator, &id, "completed").await["result"]["message"],
        "bye"
    );
    operator
        .put(&path, json!({ "payload": { "message": "late" } }))
        .await
        .refused(409, "conflict");
    operator
        .put(&path, json!({ "title": "Known as" }))
        .await
        .expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_running_task_is_neither_redefined_nor_deleted_and_can_be_cancelled() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, long()).await;
    when(&operator, &id, "in-progress").await;
    let path = format!("/api/v1/tasks/{id}");
    operator
        .put(&path, json!({ "priority": "low" }))
        .await
        .refused(409, "conflict");
    operator.delete(&path).await.refused(409, "conflict");
    let cancelled = act(&operator, &id, "cancel").await.expect(200).data();
    assert_eq!(cancelled["status"], "cancelled");
    act(&operator, &id, "cancel").await.refused(409, "conflict");
    let ended = async {
        loop {
            let attempts = operator.get(&format!("{path}/attempts")).await.expect(200);
            if attempts.body["data"][0]["status"] == "failure" {
                break attempts;
            }
        }
    };
    let attempts = timeout(PATIENCE, ended)
        .await
        .expect("the call is recorded as cancelled");
    assert_eq!(attempts.body["data"][0]["error"]["code"], "cancelled");
    operator.delete(&path).await.expect(200);
    operator.get(&path).await.refused(404, "not_found");
    server.stop().await;
}

#[rstest]
#[case(false, "plugin_failed")]
#[case(true, "plugin_unavailable")]
#[tokio::test]
async fn a_task_that_fails_says_why_and_can_be_tried_again(#[case] is_retryable: bool, #[case] code: &str) {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, failing(is_retryable)).await;
    let failed = when(&operator, &id, "failed").await;
    assert_eq!(failed["error"]["code"], code, "{failed}");
    let again = act(&operator, &id, "retry").await.expect(200).data();
    assert_eq!(
        (&again["status"], &again["retryCount"]),
        (&json!("pending"), &json!(0))
    );
    assert_eq!(when(&operator, &id, "failed").await["attempt"], 2);
    let attempts = operator
        .get(&format!("/api/v1/tasks/{id}/attempts"))
        .await
        .expect(200);
    let numbers: Vec<_> = attempts.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| &each["attempt"])
        .collect();
    assert_eq!(numbers, [2, 1]);
    server.stop().await;
}

#[tokio::test]
async fn a_failure_that_may_pass_is_retried() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let mut task = failing(true);
    task["maxRetries"] = json!(1);
    let id = make(&operator, task).await;
    let failed = when(&operator, &id, "failed").await;
    assert_eq!(
        (&failed["attempt"], &failed["retryCount"]),
        (&json!(2), &json!(1))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_task_tells_how_far_it_has_come() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, long()).await;
    let reported = async {
        loop {
            let task = read(&operator, &id).await;
            if task["progress"]["fraction"].is_number() {
                break task;
            }
        }
    };
    let task = timeout(PATIENCE, reported).await.expect("progress is shown");
    assert_eq!(task["status"], "in-progress");
    act(&operator, &id, "cancel").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_unique_key_that_is_taken_leads_to_the_task_that_has_it() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let mut task = later(echo("hello"));
    task["uniqueKey"] = json!("report of today");
    let id = make(&operator, task.clone()).await;
    let taken = operator.post("/api/v1/tasks", task.clone()).await.expect(200);
    assert_eq!(
        (taken.data()["id"].as_str(), taken.header("location")),
        (Some(id.as_str()), "")
    );
    let many = json!({ "tasks": [task.clone(), echo("new")] });
    let many = operator.post("/api/v1/tasks/bulk", many).await.expect(201).data();
    assert_eq!(many["tasks"][0], json!({ "id": id, "isNew": false }));
    assert_eq!(many["tasks"][1]["isNew"], true);
    act(&operator, &id, "cancel").await.expect(200);
    assert_ne!(make(&operator, task).await, id);
    server.stop().await;
}

#[tokio::test]
async fn many_tasks_are_made_together_or_not_at_all() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let mut wrong = echo("x");
    wrong["payload"] = json!({ "message": 7 });
    let mut alone = echo("y");
    alone.as_object_mut().unwrap().remove("action");
    let refused = operator
        .post(
            "/api/v1/tasks/bulk",
            json!({ "tasks": [echo("good"), wrong, alone] }),
        )
        .await
        .refused(422, "validation_failed");
    assert_eq!(
        refused.refused_fields(),
        ["tasks.1.payload.message", "tasks.2.action"]
    );
    assert_eq!(operator.get("/api/v1/tasks").await.body["page"]["total"], 0);
    let many: Vec<_> = (0..1_000)
        .map(|number| json!({ "title": format!("number {number}") }))
        .collect();
    let made = operator
        .post("/api/v1/tasks/bulk", json!({ "tasks": many }))
        .await
        .expect(201)
        .data();
    let ids: Vec<_> = made["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].as_str().unwrap())
        .collect();
    assert!(ids.len() == 1_000 && ids.is_sorted());
    assert_eq!(operator.get("/api/v1/tasks").await.body["page"]["total"], 1_000);
    server.stop().await;
}

#[tokio::test]
async fn a_task_takes_over_what_an_earlier_one_gave() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let first = make(&operator, later(echo("from the first"))).await;
    let second = json!({
        "title": "second", "plugin": "sample", "action": "echo", "dependsOn": [first],
        "payload": { "message": { "$fromTask": first, "pointer": "/message" } },
    });
    let second = make(&operator, second).await;
    assert_eq!(read(&operator, &second).await["dependsOn"], json!([first]));
    operator
        .delete(&format!("/api/v1/tasks/{first}"))
        .await
        .refused(409, "conflict");
    act(&operator, &first, "execute").await.expect(200);
    let done = when(&operator, &second, "completed").await;
    assert_eq!(done["result"]["message"], "from the first");
    server.stop().await;
}

#[tokio::test]
async fn a_task_is_cancelled_with_what_it_depends_on() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let first = make(&operator, later(failing(false))).await;
    let mut second = echo("second");
    second["dependsOn"] = json!([first]);
    let second = make(&operator, second).await;
    act(&operator, &first, "execute").await.expect(200);
    let cancelled = when(&operator, &second, "cancelled").await;
    assert_eq!(cancelled["error"]["code"], "dependency_failed", "{cancelled}");
    assert!(
        cancelled["error"]["message"].as_str().unwrap().contains(&first),
        "{cancelled}"
    );
    server.stop().await;
}

#[tokio::test]
async fn the_list_is_filtered_sorted_and_paged() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let tasks = json!({ "tasks": [
        { "title": "Buy Milk", "tags": ["home"], "priority": "high" },
        { "title": "Sweep", "description": "and buy 100% soap_", "tags": ["home", "work"] },
        later(echo("greet")),
        { "title": "Each year", "plugin": "sample", "action": "echo", "payload": { "message": "x" },
          "schedule": { "cron": "0 0 1 1 *" } },
    ] });
    ada.caller.post("/api/v1/tasks/bulk", tasks).await.expect(201);
    let get = async |query: &str| ada.caller.get(&format!("/api/v1/tasks{query}")).await.expect(200);
    assert_eq!(
        titles(&get("").await),
        ["Each year", "greet", "Sweep", "Buy Milk"]
    );
    for (query, expected) in [
        ("?sort=createdAt&limit=2", vec!["Buy Milk", "Sweep"]),
        ("?priority=high", vec!["Buy Milk"]),
        ("?tag=work", vec!["Sweep"]),
        ("?tag=wor", vec![]),
        ("?plugin=sample", vec!["Each year", "greet"]),
        ("?plugin=sample&recurring=false", vec!["greet"]),
        ("?recurring=true", vec!["Each year"]),
        ("?status=completed", vec![]),
        ("?q=buy", vec!["Sweep", "Buy Milk"]),
        ("?q=0%25+soap_", vec!["Sweep"]),
        ("?q=%25", vec!["Sweep"]),
        ("?q=(a%2B)%2B%24", vec![]),
        ("?scheduledAfter=2099-01-01T00:00:00Z", vec!["greet"]),
        ("?scheduledBefore=2099-01-01T00:00:00Z", vec![]),
        ("?scheduledBefore=2099-01-01T00:00:00.001Z", vec!["greet"]),
    ] {
        assert_eq!(titles(&get(query).await), expected, "{query}");
    }
    let first = get("?limit=3").await;
    let cursor = first.body["page"]["nextCursor"].as_str().unwrap();
    assert_eq!(
        (titles(&first).len(), &first.body["page"]["total"]),
        (3, &json!(4))
    );
    assert_eq!(
        titles(&get(&format!("?limit=3&cursor={cursor}")).await),
        ["Buy Milk"]
    );
    server.stop().await;
}

#[tokio::test]
async fn tasks_are_counted_by_status_priority_and_plugin() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    make(&operator, json!({ "title": "to-do", "priority": "low" })).await;
    let id = make(&operator, later(echo("done"))).await;
    make(&operator, later(echo("later"))).await;
    act(&operator, &id, "execute").await.expect(200);
    let stats = operator.get("/api/v1/tasks/stats").await.expect(200).data();
    assert_eq!((&stats["total"], &stats["toDos"]), (&json!(3), &json!(1)));
    assert_eq!(
        (&stats["byStatus"]["pending"], &stats["byStatus"]["completed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        (&stats["byPriority"]["low"], &stats["byPriority"]["medium"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        (&stats["byPlugin"][0]["plugin"], &stats["byPlugin"][0]["total"]),
        (&json!("sample"), &json!(2))
    );
    assert_eq!(stats["recently"]["ended"], 1);
    assert!(stats["recently"]["run"]["p99"].is_number(), "{stats}");
    server.stop().await;
}

#[tokio::test]
async fn c05_a_wait_is_refused_when_the_document_says_so() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    let id = make(&operator, json!({ "title": "to-do" })).await;
    let schema = contract::document().pointer("/components/schemas/Wait").unwrap();
    let waits = [
        "0",
        "00",
        "5",
        "015s",
        "15s",
        "60s",
        "61s",
        "1m",
        "2m",
        "500ms",
        "60000",
        "60000ms",
        "60001",
        "1h",
        "-1",
        "1.5s",
        "15%20s",
        "abc",
        "",
        "99999999999999999999",
    ];
    for wait in waits {
        // What is read meets a to-do, which can't be run.
        let reply = act(&operator, &id, &format!("execute?wait={wait}")).await;
        let is_described = contract::is_valid(schema, &json!(wait.replace("%20", " ")));
        assert_eq!(
            reply.status,
            if is_described { 409 } else { 422 },
            "{wait}: {}",
            reply.text
        );
    }
    server.stop().await;
}
