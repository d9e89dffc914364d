//! What becomes of tasks when the server ends, and when it starts again.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::process::{Place, Running};

/// Submits a task that sleeps; answers its id.
fn submit(server: &Running, token: &str, ms: u64) -> String {
    let body = json!({"title": "nap", "plugin": "sample", "action": "sleep", "payload": {"ms": ms}});
    let (status, answer) = server.post("/api/v1/tasks", Some(token), &body);
    assert_eq!(status, 201, "{answer}");
    answer["data"]["id"].as_str().unwrap().to_owned()
}

fn read(server: &Running, token: &str, path: &str) -> Value {
    let authorization = format!("Bearer {token}");
    let (status, body) = server.request("GET", path, &[("Authorization", &authorization)], "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["data"].take()
}

fn wait_for(server: &Running, token: &str, id: &str, status: &str) -> Value {
    loop {
        let task = read(server, token, &format!("/api/v1/tasks/{id}"));
        if task["status"] == status {
            return task;
        }
    }
}

/// The codes of the failures of a task's tries, the first one first; null for one that succeeded.
fn failures(server: &Running, token: &str, id: &str) -> Vec<Value> {
    let attempts = read(server, token, &format!("/api/v1/tasks/{id}/attempts"));
    let mut attempts = attempts.as_array().unwrap().clone();
    attempts.sort_by_key(|attempt| attempt["attempt"].as_u64());
    attempts
        .iter()
        .map(|attempt| attempt["error"]["code"].clone())
        .collect()
}

#[test]
fn g06_a_stop_lets_a_running_task_end_within_the_grace() {
    let place = Place::new();
    let server = place.start(&[]);
    let token = server.register("ada");
    let id = submit(&server, &token, 700);
    wait_for(&server, &token, &id, "in-progress");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let server = place.start(&[]);
    let task = read(&server, &token, &format!("/api/v1/tasks/{id}"));
    assert_eq!(
        (&task["status"], &task["attempt"]),
        (&json!("completed"), &json!(1))
    );
}

#[test]
fn g06_a_stop_hands_back_a_task_that_does_not_end_within_the_grace() {
    let place = Place::new();
    let server = place.start(&[("SHUTDOWN_GRACE_MS", "100")]);
    let token = server.register("ada");
    let id = submit(&server, &token, 20_000);
    wait_for(&server, &token, &id, "in-progress");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let server = place.start(&[("WORKER_CONCURRENCY", "0")]);
    let task = read(&server, &token, &format!("/api/v1/tasks/{id}"));
    assert_eq!(task["status"], "pending", "{task}");
    assert_eq!((&task["retryCount"], &task["stallCount"]), (&json!(0), &json!(0)));
    assert_eq!(failures(&server, &token, &id), ["cancelled"]);
}

#[test]
fn g01_a_task_of_a_killed_server_is_done_when_the_server_starts_again() {
    let place = Place::new();
    let server = place.start(&[]);
    let token = server.register("ada");
    let id = submit(&server, &token, 500);
    wait_for(&server, &token, &id, "in-progress");
    server.signal(Signal::SIGKILL);
    server.wait();
    let server = place.start(&[]);
    let task = wait_for(&server, &token, &id, "completed");
    assert_eq!((&task["attempt"], &task["stallCount"]), (&json!(2), &json!(1)));
    assert_eq!(
        failures(&server, &token, &id),
        [json!("interrupted"), Value::Null]
    );
}

#[test]
fn a_server_that_does_no_tasks_takes_them_and_says_so() {
    let place = Place::new();
    let server = place.start(&[("WORKER_CONCURRENCY", "0")]);
    let token = server.register("ada");
    let id = submit(&server, &token, 0);
    let health = read(&server, &token, "/health");
    assert_eq!(health["checks"]["workers"]["concurrency"], 0);
    assert_eq!(
        read(&server, &token, &format!("/api/v1/tasks/{id}"))["status"],
        "pending"
    );
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
    let server = place.start(&[]);
    wait_for(&server, &token, &id, "completed");
}
