//! Responses that are streams: what they say, and how they are resumed.

use std::time::Duration;

use protocol::Limits;
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Client, Event, Events, call, request};
use crate::{
    host::{Bench, Who},
    post::soon,
};

async fn begun(bench: &Bench) {
    soon(bench.lab.begun.acquire()).await.unwrap().forget();
}

async fn dropped(bench: &Bench) {
    soon(bench.lab.dropped.acquire()).await.unwrap().forget();
}

/// A call of `wait` whose stream was lost after its first message; gives the id of that event.
async fn lost(client: &Client<'_>) -> String {
    let mut stream = client.stream(&call("wait")).await;
    loop {
        let event = stream.next().await.unwrap();
        if event.message.is_some() {
            return event.id.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_that_says_nothing_is_answered_with_json() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let answer = client.ask("tools/call", json!({ "name": "echo" })).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.result()["isError"], false);
}

#[rstest]
#[case("2025-03-26", false)]
#[case("2025-06-18", false)]
#[case("2025-11-25", true)]
#[tokio::test]
async fn from_2025_11_25_on_a_stream_begins_with_where_to_resume(
    #[case] version: &str,
    #[case] is_primed: bool,
) {
    let bench = Bench::new();
    let client = Client::begin(&bench, version).await;
    let mut stream = client.stream(&call("speak")).await;
    let Event { id, retry, message } = stream.next().await.unwrap();
    assert!(id.is_some());
    assert_eq!((retry.is_some(), message.is_none()), (is_primed, is_primed));
}

#[tokio::test]
async fn what_is_said_comes_in_order_and_the_response_last() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-06-18").await;
    let mut stream = client.stream(&call("speak")).await;
    let mut ids = Vec::new();
    let mut said = Vec::new();
    while let Some(event) = stream.next().await {
        ids.push(event.id.unwrap());
        let message = event.message.unwrap();
        said.push(message["method"].as_str().unwrap_or("response").to_owned());
    }
    let expected = [
        "notifications/progress",
        "notifications/message",
        "notifications/progress",
        "response",
    ];
    assert_eq!(said, expected);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[rstest]
#[case("2025-03-26")]
#[case("2025-06-18")]
#[case("2025-11-25")]
#[tokio::test]
async fn a_call_goes_on_without_its_client_which_gets_the_response_when_it_comes_back(#[case] version: &str) {
    let bench = Bench::new();
    let client = Client::begin(&bench, version).await;
    let last_event = lost(&client).await;
    bench.lab.gate.add_permits(1);
    let stream = Events::of(client.resume(&last_event).await);
    let rest = stream.rest().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["id"], 1);
    assert_eq!(rest[0]["result"]["content"][0]["text"], "done waiting");
    assert_eq!(bench.lab.calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_what_was_missed_is_said_again_as_often_as_it_is_missed() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut stream = client.stream(&call("speak")).await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    for (seen, event) in events.iter().enumerate() {
        let resumed = Events::of(client.resume(event.id.as_ref().unwrap()).await);
        let missed: Vec<Value> = events[seen + 1..]
            .iter()
            .filter_map(|event| event.message.clone())
            .collect();
        assert_eq!(resumed.rest().await, missed);
    }
}

#[tokio::test]
async fn a_stream_can_be_resumed_for_two_minutes_after_its_end() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut stream = client.stream(&call("speak")).await;
    let id = stream.next().await.unwrap().id.unwrap();
    stream.rest().await;
    bench.pass(119_999);
    assert_eq!(client.resume(&id).await.status(), 200);
    bench.pass(1);
    assert_eq!(client.resume(&id).await.status(), 400);
}

#[rstest]
#[case("1")]
#[case("nothing-1")]
#[case("7-7")]
#[case("-")]
#[tokio::test]
async fn an_event_that_never_was_leads_nowhere(#[case] id: &str) {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    assert_eq!(client.resume(id).await.status(), 400);
}

#[tokio::test]
async fn b01_a_stream_of_another_session_is_not_resumed() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let last_event = lost(&client).await;
    let other = Client::begin(&bench, "2025-11-25").await;
    assert_eq!(other.resume(&last_event).await.status(), 400);
    let thief = client.at(&bench, Who::user("eve"));
    assert_eq!(thief.resume(&last_event).await.status(), 404);
    assert_eq!(client.resume(&last_event).await.status(), 200);
}

#[tokio::test]
async fn a_stream_has_one_reader_the_latest() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut first = client.stream(&call("wait")).await;
    let id = first.next().await.unwrap().id.unwrap();
    assert_eq!(first.message().await["method"], "notifications/progress");
    let second = Events::of(client.resume(&id).await);
    assert_eq!(first.next().await, None);
    bench.lab.gate.add_permits(1);
    assert_eq!(second.rest().await.len(), 2);
}

#[rstest]
#[case(json!(1))]
#[case(json!("1"))]
#[tokio::test]
async fn a_cancelled_call_ends_without_a_response(#[case] id: Value) {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut wait = call("wait");
    wait["id"] = id.clone();
    let stream = client.stream(&wait).await;
    begun(&bench).await;
    client
        .notify("notifications/cancelled", json!({ "requestId": id }))
        .await;
    dropped(&bench).await;
    assert!(
        stream
            .rest()
            .await
            .iter()
            .all(|message| message.get("id").is_none())
    );
}

#[tokio::test]
async fn a_call_is_not_cancelled_by_another_id_nor_by_another_session() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let other = Client::begin(&bench, "2025-11-25").await;
    let stream = client.stream(&call("wait")).await;
    begun(&bench).await;
    client
        .notify("notifications/cancelled", json!({ "requestId": "1" }))
        .await;
    other
        .notify("notifications/cancelled", json!({ "requestId": 1 }))
        .await;
    bench.lab.gate.add_permits(1);
    assert_eq!(stream.rest().await.last().unwrap()["id"], 1);
}

#[tokio::test]
async fn a_cancelled_call_without_a_stream_is_answered_with_no_more_than_that_it_was_taken() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let wait = request("tools/call", json!({ "name": "wait" }));
    let cancelling = async {
        begun(&bench).await;
        client
            .notify("notifications/cancelled", json!({ "requestId": 1 }))
            .await;
    };
    let (reply, ()) = tokio::join!(client.send(&wait), cancelling);
    assert_eq!((reply.status, reply.json), (202, Value::Null));
    dropped(&bench).await;
}

#[tokio::test]
async fn f08_a_call_that_nobody_can_come_back_to_is_cancelled_with_its_connection() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let wait = request("tools/call", json!({ "name": "wait" }));
    tokio::select! {
        _ = client.open(&wait) => panic!("nobody opened the gate"),
        () = begun(&bench) => {}
    }
    dropped(&bench).await;
}

#[tokio::test]
async fn a_call_that_is_silent_for_long_becomes_a_stream() {
    let bench = Bench::with(Limits {
        keep_alive: Duration::from_millis(1),
        ..Limits::default()
    });
    let client = Client::begin(&bench, "2025-11-25").await;
    let wait = request("tools/call", json!({ "name": "wait" }));
    let stream = client.stream(&wait).await;
    bench.lab.gate.add_permits(1);
    assert_eq!(
        stream.rest().await[0]["result"]["content"][0]["text"],
        "done waiting"
    );
}

#[tokio::test]
async fn f03_concurrent_calls_of_one_id_in_one_session_do_not_disturb_each_other() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(client.stream(&call("wait")).await);
    }
    let echo = client
        .ask(
            "tools/call",
            json!({ "name": "echo", "arguments": { "still": true } }),
        )
        .await;
    assert_eq!(echo.result()["structuredContent"]["still"], true);
    bench.lab.gate.add_permits(8);
    for stream in streams {
        let rest = stream.rest().await;
        let responses = rest.iter().filter(|message| message["id"] == 1);
        assert_eq!(responses.count(), 1);
        assert_eq!(
            rest.last().unwrap()["result"]["content"][0]["text"],
            "done waiting"
        );
    }
}

#[tokio::test]
async fn a_call_that_panics_ends_its_stream_with_an_error() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let rest = client.stream(&call("panic")).await.rest().await;
    assert_eq!(rest.last().unwrap()["error"]["code"], -32603);
}

#[tokio::test]
async fn a_client_that_takes_no_streams_gets_the_response_alone() {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    client.set("accept", "application/json");
    let answer = client.send(&call("speak")).await;
    assert_eq!(answer.result()["content"][0]["text"], "spoken");
}

#[tokio::test]
async fn a_client_that_takes_streams_alone_gets_one() {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    client.set("accept", "text/event-stream");
    let rest = client.stream(&request("ping", json!({}))).await.rest().await;
    assert_eq!(rest, [json!({ "jsonrpc": "2.0", "id": 1, "result": {} })]);
}

#[tokio::test]
async fn a_stopping_host_can_wait_for_what_its_streams_still_have_to_say() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let last_event = lost(&client).await;
    bench.stop.cancel();
    bench.tracker.close();
    bench.lab.gate.add_permits(1);
    soon(bench.tracker.wait()).await;
    let rest = Events::of(client.resume(&last_event).await).rest().await;
    assert_eq!(rest[0]["result"]["content"][0]["text"], "done waiting");
}

#[rstest]
#[case("2025-03-26")]
#[case("2025-11-25")]
#[tokio::test]
async fn a_call_that_the_host_cannot_wait_for_ends_with_an_error(#[case] version: &str) {
    let bench = Bench::new();
    let client = Client::begin(&bench, version).await;
    let stream = client.stream(&call("wait")).await;
    begun(&bench).await;
    bench.cut_off.cancel();
    let messages = stream.rest().await;
    let last = messages.last().unwrap();
    assert_eq!(
        (&last["id"], &last["error"]["code"]),
        (&json!(1), &json!(-32_603))
    );
    dropped(&bench).await;
}
