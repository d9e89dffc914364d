//! What is said before a result, and what happens when nobody listens any more.

use std::time::Duration;

use protocol::Limits;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::{collect, edited, headers_of, meta, next_message, next_piece, request, soon},
};

fn call(tool: &str, said: &[(&str, Value)]) -> Value {
    let mut meta = meta();
    for (key, value) in said {
        meta[*key] = value.clone();
    }
    request("tools/call", json!({ "name": tool, "_meta": meta }))
}

fn with_progress(tool: &str) -> Value {
    call(tool, &[("progressToken", json!("p-1"))])
}

fn impatient() -> Bench {
    Bench::with(Limits {
        keep_alive: Duration::from_millis(5),
        ..Limits::default()
    })
}

#[tokio::test]
async fn a_call_that_says_nothing_is_answered_with_json() {
    let answer = Bench::new().send(&Who::user("ada"), &with_progress("echo")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn what_nobody_asked_for_is_not_said() {
    let answer = Bench::new().send(&Who::user("ada"), &call("speak", &[])).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.result()["content"][0]["text"], "spoken");
}

#[tokio::test]
async fn progress_comes_before_the_result_and_only_forward() {
    let answer = Bench::new()
        .send(&Who::user("ada"), &with_progress("speak"))
        .await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    insta::assert_json_snapshot!(answer.events[..2], @r#"
    [
      {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {
          "progressToken": "p-1",
          "progress": 1.0,
          "total": 3.0,
          "message": "begun"
        }
      },
      {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {
          "progressToken": "p-1",
          "progress": 3.0,
          "total": 3.0
        }
      }
    ]
    "#);
    assert_eq!(answer.events.len(), 3);
    assert_eq!(answer.json["id"], 7);
    assert_eq!(answer.result()["resultType"], "complete");
}

#[tokio::test]
async fn log_messages_come_from_the_level_on_that_was_asked_for() {
    let message = call("speak", &[("io.modelcontextprotocol/logLevel", json!("warning"))]);
    let answer = Bench::new().send(&Who::user("ada"), &message).await;
    let said: Vec<&Value> = answer
        .events
        .iter()
        .filter(|event| event["method"] == "notifications/message")
        .collect();
    assert_eq!(said.len(), 1);
    assert_eq!(
        said[0]["params"],
        json!({ "level": "warning", "logger": "lab", "data": { "step": 2 } })
    );
}

#[tokio::test]
async fn a_client_that_takes_no_stream_gets_the_result_alone() {
    let message = with_progress("speak");
    let answer = Bench::new()
        .send_with(&message, &[("accept", Some("application/json"))])
        .await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.result()["content"][0]["text"], "spoken");
}

#[tokio::test]
async fn a_call_goes_on_while_its_stream_is_not_read() {
    let bench = Bench::new();
    let response = bench.open(&Who::user("ada"), &with_progress("wait")).await;
    soon(bench.lab.begun.acquire()).await.unwrap().forget();
    bench.lab.gate.add_permits(1);
    bench.tracker.close();
    soon(bench.tracker.wait()).await;
    assert_eq!(
        collect(response).await.result()["content"][0]["text"],
        "done waiting"
    );
}

#[tokio::test]
async fn f08_dropping_the_stream_cancels_the_call() {
    let bench = Bench::new();
    let response = bench.open(&Who::user("ada"), &with_progress("wait")).await;
    soon(bench.lab.begun.acquire()).await.unwrap().forget();
    drop(response);
    soon(bench.lab.dropped.acquire()).await.unwrap().forget();
    bench.tracker.close();
    soon(bench.tracker.wait()).await;
}

#[tokio::test]
async fn f08_dropping_the_request_cancels_the_call() {
    let bench = Bench::new();
    let message = call("wait", &[]);
    let headers = headers_of(&message);
    {
        let ada = Who::user("ada");
        let mut posted = Box::pin(bench.raw(&ada, headers, message.to_string()));
        tokio::select! {
            _ = &mut posted => panic!("it waits"),
            begun = bench.lab.begun.acquire() => begun.unwrap().forget(),
        }
    }
    soon(bench.lab.dropped.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn a_silent_call_becomes_a_stream_that_shows_it_lives() {
    let bench = impatient();
    let mut body = bench
        .open(&Who::user("ada"), &call("wait", &[]))
        .await
        .into_body();
    assert_eq!(next_piece(&mut body).await.unwrap(), ":\n\n");
    bench.lab.gate.add_permits(1);
    let result = next_message(&mut body).await.unwrap();
    assert_eq!(result["result"]["content"][0]["text"], "done waiting");
    assert_eq!(next_piece(&mut body).await, None);
}

#[tokio::test]
async fn a_silent_call_stays_json_for_who_takes_nothing_else() {
    let bench = impatient();
    let message = call("wait", &[]);
    let headers = edited(headers_of(&message), &[("accept", Some("application/json"))]);
    bench.lab.gate.add_permits(1);
    let response = bench.raw(&Who::user("ada"), headers, message.to_string()).await;
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn a_tool_that_panics_ends_its_stream_with_an_error() {
    let answer = Bench::new()
        .send(&Who::user("ada"), &with_progress("panic"))
        .await;
    assert_eq!(answer.code(), -32_603);
    assert_eq!(answer.json["id"], 7);
}

#[tokio::test]
async fn a_call_that_the_host_cannot_wait_for_ends_with_an_error() {
    let bench = Bench::new();
    let response = bench.open(&Who::user("ada"), &with_progress("wait")).await;
    soon(bench.lab.begun.acquire()).await.unwrap().forget();
    bench.cut_off.cancel();
    let answer = collect(response).await;
    assert_eq!((answer.code(), &answer.json["id"]), (-32_603, &json!(7)));
    let told = answer.json["error"]["message"].as_str().unwrap();
    assert!(told.contains("the server is stopping"), "{told}");
    soon(bench.lab.dropped.acquire()).await.unwrap().forget();
}
