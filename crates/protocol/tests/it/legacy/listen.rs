//! The stream for what happens outside of requests.

use protocol::{Change, Limits};
use serde_json::json;

use super::client::{Client, Events};
use crate::{host::Bench, post::soon};

/// Waits until somebody listens: a change is heard by those alone who do.
async fn heard(bench: &Bench, listeners: usize) {
    soon(async {
        while bench.lab.changes.receiver_count() < listeners {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn listen(client: &Client<'_>) -> Events {
    Events::of(client.get().await)
}

#[tokio::test]
async fn a_session_hears_that_lists_have_changed() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-06-18").await;
    let mut stream = listen(&client).await;
    let hearing = async {
        heard(&bench, 1).await;
        for change in [Change::Tools, Change::Prompts, Change::Resources] {
            bench.lab.changes.send(change).unwrap();
        }
    };
    let (first, ()) = tokio::join!(stream.message(), hearing);
    assert_eq!(first["method"], "notifications/tools/list_changed");
    assert_eq!(
        stream.message().await["method"],
        "notifications/prompts/list_changed"
    );
    assert_eq!(
        stream.message().await["method"],
        "notifications/resources/list_changed"
    );
}

#[tokio::test]
async fn a_session_hears_of_the_resources_that_it_is_subscribed_to() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    client
        .ask("resources/subscribe", json!({ "uri": "lab://notes/1" }))
        .await;
    let mut stream = listen(&client).await;
    let change = |uri: &str| bench.lab.changes.send(Change::Resource(uri.to_owned())).unwrap();
    let hearing = async {
        heard(&bench, 1).await;
        change("lab://notes/2");
        change("lab://notes/1");
    };
    let (updated, ()) = tokio::join!(stream.message(), hearing);
    assert_eq!(updated["method"], "notifications/resources/updated");
    assert_eq!(updated["params"], json!({ "uri": "lab://notes/1" }));

    // Subscriptions that come and go while the stream is open count at once.
    client
        .ask("resources/subscribe", json!({ "uri": "lab://notes/2" }))
        .await;
    client
        .ask("resources/unsubscribe", json!({ "uri": "lab://notes/1" }))
        .await;
    let hearing = async {
        // The listener attends to its new interests when it is polled.
        tokio::task::yield_now().await;
        change("lab://notes/1");
        change("lab://notes/2");
    };
    let (updated, ()) = tokio::join!(stream.message(), hearing);
    assert_eq!(updated["params"], json!({ "uri": "lab://notes/2" }));
}

#[tokio::test]
async fn each_message_goes_to_one_stream_of_a_session_the_latest() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut first = listen(&client).await;
    let mut second = listen(&client).await;
    assert_eq!(first.next().await, None);
    let hearing = async {
        heard(&bench, 1).await;
        bench.lab.changes.send(Change::Tools).unwrap();
    };
    let (message, ()) = tokio::join!(second.message(), hearing);
    assert_eq!(message["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut stream = listen(&client).await;
    let (end, status) = tokio::join!(stream.next(), client.delete());
    assert_eq!((end, status), (None, 204));
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let bench = Bench::new();
    let client = Client::begin(&bench, "2025-11-25").await;
    let mut stream = listen(&client).await;
    bench.stop.cancel();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn who_takes_no_streams_can_not_listen() {
    let bench = Bench::new();
    let mut client = Client::begin(&bench, "2025-11-25").await;
    client.set("accept", "application/json");
    assert_eq!(client.get().await.status(), 406);
}

#[tokio::test]
async fn f09_a_principal_listens_only_so_often() {
    let bench = Bench::with(Limits {
        listeners_per_principal: 2,
        ..Limits::default()
    });
    let mut streams = Vec::new();
    for _ in 0..2 {
        let client = Client::begin(&bench, "2025-11-25").await;
        streams.push(listen(&client).await);
    }
    let client = Client::begin(&bench, "2025-11-25").await;
    assert_eq!(client.get().await.status(), 429);
    drop(streams);
    assert_eq!(client.get().await.status(), 200);
}
