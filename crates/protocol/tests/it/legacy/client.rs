//! A client of an older revision: it begins a session, and says its id with everything.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use protocol::Body;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::soon,
};

pub(super) const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) retry: Option<String>,
    /// The message; `None` for an event without one.
    pub(super) message: Option<Value>,
}

/// A response's body, read event by event.
pub(super) struct Events {
    body: Body,
    unread: String,
}

impl Events {
    pub(super) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            body: response.into_body(),
            unread: String::new(),
        }
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let event = read(event);
                self.unread = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = soon(self.body.frame()).await?.unwrap();
            let piece = frame.into_data().unwrap();
            self.unread.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event with a message.
    pub(super) async fn message(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("the stream ended");
            if let Some(message) = event.message {
                return message;
            }
        }
    }

    /// All messages up to the end.
    pub(super) async fn rest(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(event) = self.next().await {
            messages.extend(event.message);
        }
        messages
    }
}

fn read(event: &str) -> Option<Event> {
    let field = |name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.strip_prefix(' ').unwrap_or(line).to_owned())
    };
    let data = field("data:")?;
    Some(Event {
        id: field("id:"),
        retry: field("retry:"),
        message: (!data.is_empty()).then(|| serde_json::from_str(&data).unwrap()),
    })
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) json: Value,
}

impl Reply {
    pub(super) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = soon(body.collect()).await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            json: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    pub(super) fn code(&self) -> i64 {
        self.json["error"]["code"].as_i64().unwrap_or_default()
    }

    pub(super) fn result(&self) -> &Value {
        assert!(self.json.get("result").is_some(), "no result: {}", self.json);
        &self.json["result"]
    }
}

/// The `initialize` of a client.
pub(super) fn initialize(version: &str, capabilities: Value) -> Value {
    let client = json!({ "name": "tester", "version": "1.0" });
    let params = json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": client });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
}

/// A request with the id 1.
pub(super) fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// A call of a tool that is told how far it has come.
pub(super) fn call(tool: &str) -> Value {
    request(
        "tools/call",
        json!({ "name": tool, "_meta": { "progressToken": "p" } }),
    )
}

/// A client in its session.
pub(super) struct Client<'b> {
    pub(super) bench: &'b Bench,
    pub(super) who: Who,
    pub(super) headers: HeaderMap,
}

impl<'b> Client<'b> {
    /// Begins a session without capabilities.
    pub(super) async fn begin(bench: &'b Bench, version: &str) -> Self {
        Self::begin_with(bench, version, json!({})).await
    }

    pub(super) async fn begin_with(bench: &'b Bench, version: &str, capabilities: Value) -> Self {
        let mut client = Self::unknown(bench);
        let begun = client.send(&initialize(version, capabilities)).await;
        let id = begun.headers["mcp-session-id"].clone();
        client.headers.insert("mcp-session-id", id);
        client.set(
            "mcp-protocol-version",
            begun.result()["protocolVersion"].as_str().unwrap(),
        );
        client
    }

    /// One without a session.
    pub(super) fn unknown(bench: &'b Bench) -> Self {
        let mut client = Self {
            bench,
            who: Who::user("ada"),
            headers: HeaderMap::new(),
        };
        client.set("content-type", "application/json");
        client.set("accept", "application/json, text/event-stream");
        client
    }

    pub(super) fn set(&mut self, header: &'static str, value: &str) {
        self.headers.insert(header, HeaderValue::from_str(value).unwrap());
    }

    pub(super) fn session_id(&self) -> &str {
        self.headers["mcp-session-id"].to_str().unwrap()
    }

    /// The same session at another process, or in other hands.
    pub(super) fn at(&self, bench: &'b Bench, who: Who) -> Self {
        Self {
            bench,
            who,
            headers: self.headers.clone(),
        }
    }

    pub(super) async fn raw(&self, verb: &str, headers: HeaderMap, body: impl Into<Bytes>) -> Response<Body> {
        let mut request = Request::builder()
            .method(verb)
            .uri("/mcp")
            .body(body.into())
            .unwrap();
        *request.headers_mut() = headers;
        soon(self.bench.service.handle(self.who.clone(), request)).await
    }

    /// Posts a message, and gives the response before its body is read.
    pub(super) async fn open(&self, message: &Value) -> Response<Body> {
        self.raw("POST", self.headers.clone(), message.to_string()).await
    }

    pub(super) async fn send(&self, message: &Value) -> Reply {
        Reply::of(self.open(message).await).await
    }

    pub(super) async fn ask(&self, method: &str, params: Value) -> Reply {
        self.send(&request(method, params)).await
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &str, params: Value) -> Reply {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
            .await
    }

    /// Posts a request whose response is a stream.
    pub(super) async fn stream(&self, message: &Value) -> Events {
        Events::of(self.open(message).await)
    }

    pub(super) async fn get(&self) -> Response<Body> {
        self.raw("GET", self.headers.clone(), Bytes::new()).await
    }

    /// Comes back to a stream.
    pub(super) async fn resume(&self, last_event: &str) -> Response<Body> {
        let mut headers = self.headers.clone();
        headers.insert("last-event-id", HeaderValue::from_str(last_event).unwrap());
        self.raw("GET", headers, Bytes::new()).await
    }

    pub(super) async fn delete(&self) -> u16 {
        let response = self.raw("DELETE", self.headers.clone(), Bytes::new()).await;
        response.status().as_u16()
    }
}
