//! The same request sent twice is done once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Extension, Router, response::Response, routing::post};
use model::{Error, ErrorCode};
use rstest::rstest;
use serde_json::{Value, json};
use server::{
    envelope::Success, extract::Json, failure::Failure, idempotent::Idempotent, principal::Optional,
};
use tokio::sync::Notify;

use crate::fixture::{ADMIN_API_KEY, Server, body_of, header_of, status_of};

/// What the route under test did, and what it waits for.
#[derive(Default)]
struct Work {
    begun: AtomicUsize,
    done: AtomicUsize,
    go: Notify,
}

/// Does what its body says.
async fn work(
    Optional(principal): Optional,
    Extension(work): Extension<Arc<Work>>,
    request: Idempotent<Json<Value>>,
) -> Response {
    let does = async move |Json(body): Json<Value>| {
        let number = work.begun.fetch_add(1, SeqCst) + 1;
        match body["does"].as_str().unwrap_or_default() {
            "wait" => work.go.notified().await,
            "refuse" => return Err(Error::invalid("does", "must be something else").into()),
            "fail" => return Err(Error::new(ErrorCode::PluginFailed, "the plugin failed").into()),
            "break off" => return Err(Error::new(ErrorCode::Interrupted, "it broke off").into()),
            "stay away" => return Err(Error::unavailable("nothing was begun").into()),
            "panic" => panic!("as it was told"),
            _ => {}
        }
        work.done.fetch_add(1, SeqCst);
        Ok::<_, Failure>(Success::created(json!({ "number": number })))
    };
    request.once("/work", principal, does).await
}

struct Place {
    server: Server,
    work: Arc<Work>,
}

impl Place {
    async fn start() -> Self {
        let doings = Arc::new(Work::default());
        let routes = Router::new()
            .route("/work", post(work))
            .layer(Extension(Arc::clone(&doings)));
        Self {
            server: Server::start_routes(routes, &[]).await,
            work: doings,
        }
    }

    async fn send(&self, headers: &str, body: &str) -> String {
        self.server.exchange(request(headers, body)).await
    }

    async fn wait_until_begun(&self) {
        while self.work.begun.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn request(headers: &str, body: &str) -> String {
    let head =
        "POST /work HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    format!("{head}{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_again() {
    let place = Place::start().await;
    let first = place.send("Idempotency-Key: a\r\n", "{}").await;
    let second = place.send("Idempotency-Key: a\r\n", "{}").await;
    assert_eq!((status_of(&first), status_of(&second)), (201, 201));
    assert_eq!(body_of(&first), body_of(&second));
    assert_eq!(header_of(&first, "idempotency-replayed"), None);
    assert_eq!(header_of(&second, "idempotency-replayed"), Some("true"));
    assert_eq!(place.work.begun.load(SeqCst), 1);
    place.server.stop().await;
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let place = Place::start().await;
    place.send("Idempotency-Key: a\r\n", "{}").await;
    let other = place.send("Idempotency-Key: a\r\n", r#"{"x":1}"#).await;
    assert_eq!(status_of(&other), 409);
    assert_eq!(body_of(&other)["error"]["code"], "idempotency_key_reused");
    place.server.stop().await;
}

#[tokio::test]
async fn b04_keys_of_different_callers_are_independent() {
    let place = Place::start().await;
    let operator = format!("X-API-Key: {ADMIN_API_KEY}\r\nIdempotency-Key: a\r\n");
    let numbers = [
        body_of(&place.send("Idempotency-Key: a\r\n", "{}").await)["data"]["number"].clone(),
        body_of(&place.send(&operator, "{}").await)["data"]["number"].clone(),
        body_of(&place.send(&operator, "{}").await)["data"]["number"].clone(),
    ];
    assert_eq!(numbers, [json!(1), json!(2), json!(2)]);
    place.server.stop().await;
}

#[tokio::test]
async fn without_a_key_each_request_is_done() {
    let place = Place::start().await;
    for _ in 0..2 {
        assert_eq!(status_of(&place.send("", "{}").await), 201);
    }
    assert_eq!(place.work.begun.load(SeqCst), 2);
    place.server.stop().await;
}

#[rstest]
#[case::refused("refuse", 422, 1)]
#[case::failed("fail", 502, 1)]
#[case::interrupted("break off", 503, 1)]
#[case::panicked("panic", 500, 1)]
#[case::not_begun("stay away", 503, 2)]
#[tokio::test]
async fn what_may_have_been_done_is_not_done_again(
    #[case] does: &str,
    #[case] status: u16,
    #[case] times: usize,
) {
    let place = Place::start().await;
    let body = json!({ "does": does }).to_string();
    let first = place.send("Idempotency-Key: a\r\n", &body).await;
    let second = place.send("Idempotency-Key: a\r\n", &body).await;
    assert_eq!(
        (status_of(&first), status_of(&second)),
        (status, status),
        "{first}"
    );
    assert_eq!(place.work.begun.load(SeqCst), times);
    if times == 1 {
        assert_eq!(body_of(&first), body_of(&second));
    }
    place.server.stop().await;
}

#[tokio::test]
async fn a_request_that_is_being_done_is_not_done_twice() {
    let place = Place::start().await;
    let body = r#"{"does":"wait"}"#;
    let mut wire = place.server.connect().await;
    wire.send(request("Idempotency-Key: a\r\n", body)).await;
    place.wait_until_begun().await;
    let second = place.send("Idempotency-Key: a\r\n", body).await;
    assert_eq!(status_of(&second), 409);
    assert_eq!(body_of(&second)["error"]["code"], "idempotency_key_in_use");
    place.work.go.notify_one();
    assert_eq!(status_of(&wire.read_answer().await), 201);
    place.server.stop().await;
}

#[tokio::test]
async fn d07_work_under_a_key_goes_on_when_its_caller_leaves() {
    let place = Place::start().await;
    let body = r#"{"does":"wait"}"#;
    let mut wire = place.server.connect().await;
    wire.send(request("Idempotency-Key: a\r\n", body)).await;
    place.wait_until_begun().await;
    wire.close();
    while place.server.metrics().in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    place.work.go.notify_one();
    let answer = loop {
        let answer = place.send("Idempotency-Key: a\r\n", body).await;
        if status_of(&answer) != 409 {
            break answer;
        }
    };
    assert_eq!(status_of(&answer), 201);
    assert_eq!(header_of(&answer, "idempotency-replayed"), Some("true"));
    assert_eq!(
        (place.work.begun.load(SeqCst), place.work.done.load(SeqCst)),
        (1, 1)
    );
    place.server.stop().await;
}

#[rstest]
#[case::twice("Idempotency-Key: a\r\nIdempotency-Key: a\r\n".to_owned(), 400)]
#[case::empty("Idempotency-Key: \r\n".to_owned(), 422)]
#[case::too_long(format!("Idempotency-Key: {}\r\n", "x".repeat(256)), 422)]
#[tokio::test]
async fn a_key_outside_the_limits_is_refused(#[case] headers: String, #[case] status: u16) {
    let place = Place::start().await;
    let answer = place.send(&headers, "{}").await;
    assert_eq!(status_of(&answer), status, "{answer}");
    assert_eq!(place.work.begun.load(SeqCst), 0);
    place.server.stop().await;
}
