//! Two servers on one MongoDB and one Redis: a session of the older revisions is served by either, as if by one.

use std::{sync::Arc, time::Duration};

use axum::Router;
use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    client::{Answer, Client, LAST_WITH_SESSIONS},
    plugin::{Inside, lab},
};
use crate::{
    caller::Person,
    fixture::{PATIENCE, Server},
    home::Home,
};

/// Two servers, and an account that both know.
struct Pair {
    a: Server,
    b: Server,
    inside_a: Arc<Inside>,
    inside_b: Arc<Inside>,
    ada: Person,
}

impl Pair {
    /// Starts them; `None` where there is nothing that they could share.
    async fn start() -> Option<Self> {
        let home = Arc::new(Home::shared()?);
        let ((extras_a, inside_a), (extras_b, inside_b)) = (lab(), lab());
        let a = Server::start_on(&home, Router::new(), extras_a, &[]).await;
        let b = Server::start_on(&home, Router::new(), extras_b, &[]).await;
        let ada = Person::new(&a, "ada", "user").await;
        Some(Self {
            a,
            b,
            inside_a,
            inside_b,
            ada,
        })
    }

    /// A session that begins on the one server, as a client of each.
    async fn session(&self, capabilities: Value) -> (Client, Client) {
        let token = &self.ada.token;
        let at_a = Client::session_with(&self.a, LAST_WITH_SESSIONS, token, capabilities).await;
        let at_b = at_a.moved_to(&self.b);
        (at_a, at_b)
    }

    /// Lets one call of `wait` end, on whichever server it is made.
    fn open_gates(&self) {
        self.inside_a.gate.add_permits(1);
        self.inside_b.gate.add_permits(1);
    }

    async fn stop(self) {
        self.a.stop().await;
        self.b.stop().await;
    }
}

/// Sends a message that wants no answer; gives the status.
async fn tell(client: &Client, message: Value) -> u16 {
    let headers = [];
    client
        .send_raw(Method::POST, &headers, message.to_string())
        .await
        .status
}

/// What a call was told of before its result.
fn warnings(answer: &Answer) -> usize {
    let said = answer.messages.iter();
    said.filter(|message| message["method"] == "notifications/message")
        .count()
}

#[tokio::test]
async fn a_session_that_begins_on_one_process_is_served_by_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({})).await;
    let listed = at_b.call("tools/list", json!({})).await.result();
    assert_eq!(listed, at_a.call("tools/list", json!({})).await.result());
    let stranger = Person::new(&pair.b, "eve", "user").await;
    let stolen = at_b
        .with_token(&stranger.token)
        .call("tools/list", json!({}))
        .await;
    assert_eq!(stolen.status, 404);
    pair.stop().await;
}

#[tokio::test]
async fn a_level_set_on_one_process_counts_for_calls_on_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({})).await;
    assert_eq!(warnings(&at_b.call_tool("lab__speak", json!({})).await), 1);
    for (level, expected) in [("error", 0), ("debug", 1)] {
        let set = at_a.call("logging/setLevel", json!({ "level": level })).await;
        assert_eq!(set.status, 200);
        let heard = async { while warnings(&at_b.call_tool("lab__speak", json!({})).await) != expected {} };
        timeout(PATIENCE, heard).await.expect("the level is not known");
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_subscription_made_on_one_process_is_heard_on_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({})).await;
    let mut heard = at_b.open_raw(Method::GET, &[], String::new()).await;
    // The listener may begin to follow a task when it has ended: then it hears of the next.
    for _ in 0..10 {
        let wait = json!({ "tool": "lab__wait", "arguments": {} });
        let task = at_a.call_tool("tasks__submit", wait).await.result();
        let id = task["structuredContent"]["taskId"].as_str().unwrap().to_owned();
        let uri = format!("mcp-server://tasks/{id}");
        let subscribed = at_a.call("resources/subscribe", json!({ "uri": uri })).await;
        assert_eq!(subscribed.status, 200, "{}", subscribed.text);
        let ended = async {
            let ended = timeout(Duration::from_millis(300), std::future::pending::<()>()).await;
            drop(ended);
            pair.open_gates();
        };
        let told = timeout(Duration::from_secs(5), heard.next());
        let (told, ()) = tokio::join!(told, ended);
        if let Ok(told) = told {
            let told = told.expect("the stream ended");
            assert_eq!(told["method"], "notifications/resources/updated");
            assert_eq!(told["params"]["uri"], uri);
            drop(heard);
            return pair.stop().await;
        }
    }
    panic!("nothing was heard");
}

#[tokio::test]
async fn an_answer_to_one_process_reaches_the_call_on_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({ "elicitation": {} })).await;
    let params = json!({ "name": "lab__ask", "arguments": { "a": 1 } });
    let mut call = at_a.open("tools/call", params).await;
    let asked = call.next().await.unwrap();
    assert_eq!(asked["method"], "elicitation/create");
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let response = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer });
    assert_eq!(tell(&at_b, response.clone()).await, 202);
    let answered = call.next().await.unwrap();
    assert_eq!(
        answered["result"]["structuredContent"]["answer"], answer,
        "{answered}"
    );
    assert_eq!(tell(&at_b, response).await, 400);
    let unknown = json!({ "jsonrpc": "2.0", "id": "nobody", "result": answer });
    assert_eq!(tell(&at_b, unknown).await, 400);
    pair.stop().await;
}

#[tokio::test]
async fn a_call_on_one_process_is_cancelled_over_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({})).await;
    let params = json!({ "name": "lab__hang", "arguments": {}, "_meta": { "progressToken": 1 } });
    let (headers, body) = at_a.prepare("tools/call", params);
    let id = serde_json::from_str::<Value>(&body).unwrap()["id"].clone();
    let mut call = at_a.open_raw(Method::POST, &headers, body).await;
    assert_eq!(call.next().await.unwrap()["method"], "notifications/progress");
    let cancelled = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id },
    });
    assert_eq!(tell(&at_b, cancelled).await, 202);
    timeout(PATIENCE, pair.inside_a.given_up.acquire())
        .await
        .unwrap()
        .unwrap()
        .forget();
    assert_eq!(call.next().await, None);
    pair.stop().await;
}

#[tokio::test]
async fn a_session_that_was_ended_on_one_process_is_not_found_on_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({})).await;
    let mut heard = at_b.open_raw(Method::GET, &[], String::new()).await;
    assert_eq!(at_b.call("ping", json!({})).await.status, 200);
    assert_eq!(
        at_a.send_raw(Method::DELETE, &[], String::new()).await.status,
        204
    );
    let known = async { while at_b.call("ping", json!({})).await.status != 404 {} };
    timeout(PATIENCE, known).await.expect("the end is not known");
    assert_eq!(heard.next().await, None);
    pair.stop().await;
}

#[tokio::test]
async fn a_stream_that_begins_on_one_process_is_resumed_on_another() {
    let Some(pair) = Pair::start().await else { return };
    let (at_a, at_b) = pair.session(json!({})).await;
    let only_streams = at_a.with("accept", "text/event-stream");
    let mut cut = only_streams
        .open("tools/call", json!({ "name": "lab__wait", "arguments": {} }))
        .await;
    cut.begin().await;
    let seen = cut.last_event_id.clone();
    drop(cut);
    let resume = [("last-event-id", seen)];
    let mut resumed = at_b.open_raw(Method::GET, &resume, String::new()).await;
    pair.open_gates();
    let result = resumed.next().await.unwrap();
    assert_eq!(
        result["result"]["structuredContent"]["waited"],
        json!(true),
        "{result}"
    );
    assert_eq!(resumed.next().await, None);
    // It is kept for a while, for who loses it again.
    let mut again = at_b.open_raw(Method::GET, &resume, String::new()).await;
    assert_eq!(again.next().await.unwrap(), result);
    let none = [("last-event-id", "1-0".to_owned())];
    assert_eq!(at_b.send_raw(Method::GET, &none, String::new()).await.status, 400);
    pair.stop().await;
}
