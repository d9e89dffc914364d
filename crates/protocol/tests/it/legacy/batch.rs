//! Batches, which only the first of the revisions has.

use rstest::rstest;
use serde_json::{Value, json};

use super::client::{Client, Reply, call, initialize, request};
use crate::{host::Bench, post::soon};

fn ping(id: i64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })
}

#[tokio::test]
async fn f03_a_batch_is_answered_with_a_batch() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-03-26").await;
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let wrong = json!({ "jsonrpc": "2.0", "id": null, "method": "ping" });
    let unknown = json!({ "jsonrpc": "2.0", "id": 9, "method": "server/discover" });
    let batch = json!([ping(1), notification, wrong, ping(2), unknown]);
    let answer = client.send(&batch).await;
    assert_eq!(answer.status, 200);
    let responses = answer.json.as_array().unwrap();
    assert_eq!(responses.len(), 4);
    assert_eq!(responses[0], json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    assert_eq!(responses[1]["error"]["code"], -32600);
    assert_eq!(responses[2]["id"], 2);
    assert_eq!(
        (&responses[3]["id"], &responses[3]["error"]["code"]),
        (&json!(9), &json!(-32601))
    );
}

#[rstest]
#[case("2025-06-18")]
#[case("2025-11-25")]
#[tokio::test]
async fn f03_later_revisions_take_no_batches(#[case] version: &str) {
    let bench = Bench::new();
    let client = Client::begin(&bench, version).await;
    let refused = client.send(&json!([ping(1)])).await;
    assert_eq!((refused.status, refused.code()), (400, -32600));
}

#[tokio::test]
async fn f03_an_empty_batch_and_one_too_long_are_none() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-03-26").await;
    let long: Vec<Value> = (0..1000).map(ping).collect();
    for batch in [json!([]), json!(long)] {
        let refused = client.send(&batch).await;
        assert_eq!((refused.status, refused.code()), (400, -32600));
    }
}

#[tokio::test]
async fn a_batch_that_wants_no_answer_is_accepted() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-03-26").await;
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let late = json!({ "jsonrpc": "2.0", "id": "late", "result": {} });
    let accepted = client.send(&json!([notification, late])).await;
    assert_eq!((accepted.status, accepted.json), (202, Value::Null));
}

#[tokio::test]
async fn a_batch_begins_no_session() {
    let bench = Bench::new();
    let batch = json!([initialize("2025-03-26", json!({}))]);
    assert_eq!(Client::unknown(&bench).send(&batch).await.status, 400);
    let client = Client::begin(&bench, "2025-03-26").await;
    let refused = client.send(&batch).await;
    assert_eq!(refused.json[0]["error"]["code"], -32600);
}

#[tokio::test]
async fn what_is_said_comes_before_the_answers_of_a_batch() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-03-26").await;
    let messages = client.stream(&json!([call("speak"), ping(2)])).await.rest().await;
    assert_eq!(messages[0]["method"], "notifications/progress");
    let responses = messages.last().unwrap().as_array().unwrap();
    assert_eq!(responses[0]["result"]["content"][0]["text"], "spoken");
    assert_eq!(responses[1]["id"], 2);
}

#[tokio::test]
async fn one_request_of_a_batch_is_cancelled_by_itself() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-03-26").await;
    let mut wait = call("wait");
    wait["id"] = json!(5);
    let mut stream = client.stream(&json!([request("ping", json!({})), wait])).await;
    soon(bench.lab.begun.acquire()).await.unwrap().forget();
    client
        .notify("notifications/cancelled", json!({ "requestId": 5 }))
        .await;
    soon(bench.lab.dropped.acquire()).await.unwrap().forget();
    let last = loop {
        let message = stream.message().await;
        if message.is_array() {
            break message;
        }
    };
    assert_eq!(last, json!([{ "jsonrpc": "2.0", "id": 1, "result": {} }]));
}

#[tokio::test]
async fn a_client_that_takes_no_streams_gets_its_batch_at_once() {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-03-26").await;
    client.set("accept", "application/json");
    let reply = Reply::of(client.open(&json!([call("speak")])).await).await;
    assert_eq!(reply.json[0]["result"]["content"][0]["text"], "spoken");
}
