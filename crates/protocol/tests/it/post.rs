//! A client of the stateless revision: headers as they must be, unless a test wants them otherwise.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use protocol::Body;
use serde_json::{Value, json};

use crate::host::{Bench, Who};

pub(crate) const VERSION: &str = "2026-07-28";
pub(crate) const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The JSON, or the last event's.
    pub(crate) json: Value,
    /// Every event's, when it was a stream.
    pub(crate) events: Vec<Value>,
}

impl Answer {
    pub(crate) fn code(&self) -> i64 {
        self.json["error"]["code"].as_i64().unwrap_or_default()
    }

    pub(crate) fn result(&self) -> &Value {
        assert!(self.json.get("result").is_some(), "no result: {}", self.json);
        &self.json["result"]
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A `_meta` without capabilities.
pub(crate) fn meta() -> Value {
    json!({ VERSION_KEY: VERSION, CAPABILITIES_KEY: {} })
}

/// A `_meta` with capabilities.
pub(crate) fn meta_with(capabilities: Value) -> Value {
    json!({ VERSION_KEY: VERSION, CAPABILITIES_KEY: capabilities })
}

/// A request; `_meta` is added when the parameters have none.
pub(crate) fn request(method: &str, mut params: Value) -> Value {
    if params.get("_meta").is_none() {
        params["_meta"] = meta();
    }
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

/// The headers that belong to a message.
pub(crate) fn headers_of(message: &Value) -> HeaderMap {
    let params = &message["params"];
    let name = match message["method"].as_str().unwrap_or_default() {
        "tools/call" | "prompts/get" => &params["name"],
        "resources/read" => &params["uri"],
        "tasks/get" | "tasks/update" | "tasks/cancel" => &params["taskId"],
        _ => &Value::Null,
    };
    let mut headers = HeaderMap::new();
    let mut insert = |header: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(header, value);
        }
    };
    insert("content-type", "application/json");
    insert("accept", "application/json, text/event-stream");
    insert("mcp-protocol-version", VERSION);
    if let Some(method) = message["method"].as_str() {
        insert("mcp-method", method);
    }
    if let Some(name) = name.as_str() {
        insert("mcp-name", name);
    }
    headers
}

/// Changes headers: `None` takes one away.
pub(crate) fn edited(mut headers: HeaderMap, edits: &[(&str, Option<&str>)]) -> HeaderMap {
    for (name, value) in edits {
        let name: HeaderName = name.parse().unwrap();
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
    }
    headers
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it takes too long")
}

/// Reads what is left of a response.
pub(crate) async fn collect(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = soon(body.collect()).await.unwrap().to_bytes();
    let text = std::str::from_utf8(&bytes).unwrap();
    let is_stream = parts
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == "text/event-stream");
    let events: Vec<Value> = if is_stream {
        text.split("\n\n").filter_map(read_event).collect()
    } else {
        Vec::new()
    };
    let json = match events.last() {
        Some(last) => last.clone(),
        None => serde_json::from_str(text).unwrap_or_default(),
    };
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        json,
        events,
    }
}

/// The message of an event; `None` for comments.
pub(crate) fn read_event(event: &str) -> Option<Value> {
    let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
    Some(serde_json::from_str(data).unwrap())
}

/// The next piece of a body, as text; `None` at its end.
pub(crate) async fn next_piece(body: &mut Body) -> Option<String> {
    let frame = soon(body.frame()).await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

/// The next message of a stream.
pub(crate) async fn next_message(body: &mut Body) -> Option<Value> {
    loop {
        if let Some(message) = read_event(&next_piece(body).await?) {
            return Some(message);
        }
    }
}

impl Bench {
    /// Posts exactly this.
    pub(crate) async fn raw(&self, who: &Who, headers: HeaderMap, body: impl Into<Bytes>) -> Response<Body> {
        let mut request = Request::post("/mcp").body(body.into()).unwrap();
        *request.headers_mut() = headers;
        soon(self.service.handle(who.clone(), request)).await
    }

    /// Posts a message with its headers, and gives the response before its body is read.
    pub(crate) async fn open(&self, who: &Who, message: &Value) -> Response<Body> {
        self.raw(who, headers_of(message), message.to_string()).await
    }

    /// Posts a message with its headers.
    pub(crate) async fn send(&self, who: &Who, message: &Value) -> Answer {
        collect(self.open(who, message).await).await
    }

    /// Posts a message with other headers.
    pub(crate) async fn send_with(&self, message: &Value, edits: &[(&str, Option<&str>)]) -> Answer {
        let headers = edited(headers_of(message), edits);
        collect(self.raw(&Who::user("ada"), headers, message.to_string()).await).await
    }

    /// Calls a method as `ada`, without capabilities.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Answer {
        self.send(&Who::user("ada"), &request(method, params)).await
    }
}
