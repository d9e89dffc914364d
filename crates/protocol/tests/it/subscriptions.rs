//! Streams of changes.

use std::time::Duration;

use protocol::{Change, Limits};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::{Answer, TASKS, collect, meta_with, next_message, next_piece, request},
};

const ID: &str = "io.modelcontextprotocol/subscriptionId";

fn listen(notifications: Value) -> Value {
    let meta = meta_with(json!({ "extensions": { TASKS: {} } }));
    request(
        "subscriptions/listen",
        json!({ "notifications": notifications, "_meta": meta }),
    )
}

fn all_lists() -> Value {
    json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true })
}

fn tell(bench: &Bench, change: Change) {
    bench.lab.changes.send(change).unwrap();
}

#[tokio::test]
async fn the_acknowledgement_comes_first_and_says_what_is_honoured() {
    let bench = Bench::new();
    let wanted = json!({
        "toolsListChanged": true,
        "promptsListChanged": false,
        "resourceSubscriptions": ["lab://notes/1", "lab://nowhere"],
        "taskIds": ["task-of-somebody-else"],
    });
    let response = bench.open(&Who::user("ada"), &listen(wanted)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    tell(&bench, Change::Tools);
    let mut body = response.into_body();
    let first = next_message(&mut body).await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let honoured = json!({ "toolsListChanged": true, "resourceSubscriptions": ["lab://notes/1"] });
    assert_eq!(
        first["params"],
        json!({ "_meta": { ID: 7 }, "notifications": honoured })
    );
}

#[rstest]
#[case(Change::Tools, "notifications/tools/list_changed", json!({ "_meta": { ID: 7 } }))]
#[case(Change::Prompts, "notifications/prompts/list_changed", json!({ "_meta": { ID: 7 } }))]
#[case(Change::Resources, "notifications/resources/list_changed", json!({ "_meta": { ID: 7 } }))]
#[tokio::test]
async fn every_change_carries_the_id_of_the_request(
    #[case] change: Change,
    #[case] method: &str,
    #[case] params: Value,
) {
    let bench = Bench::new();
    let mut body = bench
        .open(&Who::user("ada"), &listen(all_lists()))
        .await
        .into_body();
    next_message(&mut body).await.unwrap();
    tell(&bench, change);
    let message = next_message(&mut body).await.unwrap();
    assert_eq!(
        (message["method"].as_str(), &message["params"]),
        (Some(method), &params)
    );
}

#[tokio::test]
async fn nothing_is_told_that_was_not_asked_for() {
    let bench = Bench::new();
    let wanted = json!({ "promptsListChanged": true, "resourceSubscriptions": ["lab://notes/1"] });
    let mut body = bench.open(&Who::user("ada"), &listen(wanted)).await.into_body();
    next_message(&mut body).await.unwrap();
    tell(&bench, Change::Tools);
    tell(&bench, Change::Resources);
    tell(&bench, Change::Resource("lab://notes/2".to_owned()));
    tell(&bench, Change::Resource("lab://notes/1".to_owned()));
    let message = next_message(&mut body).await.unwrap();
    assert_eq!(message["method"], "notifications/resources/updated");
    assert_eq!(message["params"]["uri"], "lab://notes/1");
}

#[tokio::test]
async fn a_stop_ends_the_stream_with_a_result() {
    let bench = Bench::new();
    let mut body = bench
        .open(&Who::user("ada"), &listen(all_lists()))
        .await
        .into_body();
    next_message(&mut body).await.unwrap();
    bench.stop.cancel();
    let last = next_message(&mut body).await.unwrap();
    assert_eq!(last["id"], 7);
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(last["result"]["_meta"][ID], 7);
    assert_eq!(next_piece(&mut body).await, None);
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives() {
    let bench = Bench::with(Limits {
        keep_alive: Duration::from_millis(5),
        ..Limits::default()
    });
    let mut body = bench
        .open(&Who::user("ada"), &listen(all_lists()))
        .await
        .into_body();
    next_message(&mut body).await.unwrap();
    assert_eq!(next_piece(&mut body).await.unwrap(), ":\n\n");
}

#[tokio::test]
async fn tasks_are_told_of_only_to_who_takes_them() {
    let message = request(
        "subscriptions/listen",
        json!({ "notifications": { "taskIds": ["task-0"] } }),
    );
    let answer = Bench::new().send(&Who::user("ada"), &message).await;
    assert_eq!((answer.status, answer.code()), (400, -32_021));
    let required = json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } });
    assert_eq!(answer.json["error"]["data"], required);
}

#[tokio::test]
async fn f07_a_task_is_told_of_to_its_owner_only() {
    let bench = Bench::new();
    let ada = Who::user("ada");
    let capabilities = json!({ "extensions": { TASKS: {} } });
    let later = request(
        "tools/call",
        json!({ "name": "later", "_meta": meta_with(capabilities) }),
    );
    let id = bench.send(&ada, &later).await.result()["taskId"].clone();
    let wanted = listen(json!({ "taskIds": [id] }));
    let mut own = bench.open(&ada, &wanted).await.into_body();
    let mut foreign = bench.open(&Who::user("eve"), &wanted).await.into_body();
    let acknowledged = next_message(&mut own).await.unwrap();
    assert_eq!(
        acknowledged["params"]["notifications"],
        json!({ "taskIds": [id] })
    );
    assert_eq!(
        next_message(&mut foreign).await.unwrap()["params"]["notifications"],
        json!({})
    );
    let task = bench.lab.tasks.lock()[id.as_str().unwrap()].1.clone();
    tell(&bench, Change::Task(Box::new(task)));
    let told = next_message(&mut own).await.unwrap();
    assert_eq!(told["method"], "notifications/tasks");
    assert_eq!(told["params"]["taskId"], id);
    assert_eq!(told["params"]["status"], "working");
    assert_eq!(told["params"]["_meta"][ID], 7);
    bench.stop.cancel();
    assert_eq!(next_message(&mut foreign).await.unwrap()["id"], 7);
}

#[tokio::test]
async fn f09_streams_are_bounded_for_each_principal_and_in_all() {
    let bench = Bench::with(Limits {
        listeners: 3,
        listeners_per_principal: 2,
        ..Limits::default()
    });
    let message = listen(all_lists());
    let (ada, eve) = (Who::user("ada"), Who::user("eve"));
    let first = bench.open(&ada, &message).await;
    let second = bench.open(&ada, &message).await;
    let refused = |answer: Answer, status: u16| assert_eq!((answer.status, answer.code()), (status, -32_603));
    refused(bench.send(&ada, &message).await, 429);
    let third = bench.open(&eve, &message).await;
    refused(bench.send(&eve, &message).await, 503);
    drop((first, second));
    let fourth = bench.open(&ada, &message).await;
    assert_eq!((third.status().as_u16(), fourth.status().as_u16()), (200, 200));
}

#[tokio::test]
async fn f09_a_filter_is_bounded() {
    let uris: Vec<String> = (0..257).map(|number| format!("lab://notes/{number}")).collect();
    let answer = Bench::new()
        .send(
            &Who::user("ada"),
            &listen(json!({ "resourceSubscriptions": uris })),
        )
        .await;
    assert_eq!(answer.code(), -32_602);
}

#[tokio::test]
async fn a_client_that_takes_no_stream_cannot_listen() {
    let message = listen(all_lists());
    let answer = Bench::new()
        .send_with(&message, &[("accept", Some("application/json"))])
        .await;
    assert_eq!(answer.status, 406);
}

#[tokio::test]
async fn two_streams_of_one_client_are_told_apart() {
    let bench = Bench::new();
    let mut other = listen(all_lists());
    other["id"] = json!("second");
    let ada = Who::user("ada");
    let mut first = bench.open(&ada, &listen(all_lists())).await.into_body();
    let mut second = bench.open(&ada, &other).await.into_body();
    next_message(&mut first).await.unwrap();
    next_message(&mut second).await.unwrap();
    tell(&bench, Change::Tools);
    assert_eq!(next_message(&mut first).await.unwrap()["params"]["_meta"][ID], 7);
    assert_eq!(
        next_message(&mut second).await.unwrap()["params"]["_meta"][ID],
        "second"
    );
    bench.stop.cancel();
    let answer = collect(http::Response::new(second)).await;
    assert!(answer.json.is_null() || answer.json["id"] == "second");
}
