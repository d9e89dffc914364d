//! A client of the protocol, of whatever revision, without a library that would hide what is sent.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::fixture::{PATIENCE, Server};

pub(crate) const STATELESS: &str = "2026-07-28";
pub(crate) const LAST_WITH_SESSIONS: &str = "2025-11-25";
const META: &str = "io.modelcontextprotocol/";

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Made once, since that takes long; it keeps no connections, which would belong to one test's runtime.
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let builder = reqwest::Client::builder().no_proxy();
    builder.pool_max_idle_per_host(0).build().unwrap()
});

/// A client.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    http: reqwest::Client,
    headers: HeaderMap,
    capabilities: Value,
    revision: &'static str,
}

/// What came back for one message.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The messages: of a stream all that came, otherwise the body when it is JSON.
    pub(crate) messages: Vec<Value>,
}

/// A stream of messages that is still open.
pub(crate) struct Stream {
    response: futures_util::stream::BoxStream<'static, Vec<u8>>,
    ahead: String,
    /// Where it would be resumed.
    pub(crate) last_event_id: String,
}

impl Client {
    /// A client of the newest revision.
    pub(crate) fn stateless(server: &Server) -> Self {
        Self::of(server, STATELESS)
    }

    fn of(server: &Server, revision: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            "accept",
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        Self {
            url: format!("{}/mcp", server.url()),
            http: HTTP.clone(),
            headers,
            capabilities: json!({}),
            revision,
        }
    }

    /// A client of an older revision that has shaken hands.
    pub(crate) async fn session(server: &Server, revision: &'static str, token: &str) -> Self {
        Self::session_with(server, revision, token, json!({})).await
    }

    /// As [`Self::session`], with capabilities.
    pub(crate) async fn session_with(
        server: &Server,
        revision: &'static str,
        token: &str,
        capabilities: Value,
    ) -> Self {
        let mut client = Self::of(server, revision)
            .with_token(token)
            .with_capabilities(capabilities);
        let params = json!({
            "protocolVersion": revision,
            "capabilities": client.capabilities,
            "clientInfo": { "name": "test", "version": "1" },
        });
        let begun = client
            .send_raw(Method::POST, &[], request("initialize", params).to_string())
            .await;
        assert_eq!(begun.status, 200, "{}", begun.text);
        assert_eq!(begun.result()["protocolVersion"], revision);
        if let Some(id) = begun.headers.get("mcp-session-id") {
            client.headers.insert("mcp-session-id", id.clone());
        }
        let version = HeaderValue::from_static(revision);
        client.headers.insert("mcp-protocol-version", version);
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(
            client.send_raw(Method::POST, &[], told.to_string()).await.status,
            202
        );
        client
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.without("x-api-key")
            .with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        self.without("authorization").with("x-api-key", key)
    }

    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        let value = HeaderValue::from_str(value).unwrap();
        other.headers.insert(HeaderName::from_static(name), value);
        other
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.headers.remove(name);
        other
    }

    pub(crate) fn with_capabilities(&self, capabilities: Value) -> Self {
        Self {
            capabilities,
            ..self.clone()
        }
    }

    /// The id of its session.
    pub(crate) fn session_id(&self) -> &str {
        self.headers
            .get("mcp-session-id")
            .map_or("", |id| id.to_str().unwrap())
    }

    /// The same client, of another server.
    pub(crate) fn moved_to(&self, server: &Server) -> Self {
        Self {
            url: format!("{}/mcp", server.url()),
            ..self.clone()
        }
    }

    /// As one that takes tasks and answers what people are asked.
    pub(crate) fn with_tasks(&self) -> Self {
        self.with_capabilities(json!({
            "elicitation": { "form": {} },
            "extensions": { "io.modelcontextprotocol/tasks": {} },
        }))
    }

    /// Calls a method, as the revision wants it.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Answer {
        let (headers, body) = self.prepare(method, params);
        self.send_raw(Method::POST, &headers, body).await
    }

    pub(crate) async fn call_tool(&self, name: &str, arguments: Value) -> Answer {
        self.call("tools/call", json!({ "name": name, "arguments": arguments }))
            .await
    }

    /// The headers and the body of a request.
    pub(crate) fn prepare(&self, method: &str, mut params: Value) -> (Vec<(&'static str, String)>, String) {
        let mut headers = Vec::new();
        if self.revision == STATELESS {
            headers.push(("mcp-protocol-version", STATELESS.to_owned()));
            headers.push(("mcp-method", method.to_owned()));
            let named_by = match method {
                "tools/call" | "prompts/get" => Some("name"),
                "resources/read" => Some("uri"),
                "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
                _ => None,
            };
            if let Some(name) = named_by.and_then(|key| params[key].as_str()) {
                headers.push(("mcp-name", name.to_owned()));
            }
            let mut meta = Map::new();
            meta.insert(format!("{META}protocolVersion"), json!(STATELESS));
            meta.insert(
                format!("{META}clientInfo"),
                json!({ "name": "test", "version": "1" }),
            );
            meta.insert(format!("{META}clientCapabilities"), self.capabilities.clone());
            let given = params.as_object_mut().unwrap().remove("_meta");
            meta.extend(
                given
                    .and_then(|given| given.as_object().cloned())
                    .unwrap_or_default(),
            );
            params["_meta"] = Value::Object(meta);
        }
        (headers, request(method, params).to_string())
    }

    /// Sends any body.
    pub(crate) async fn send_raw(
        &self,
        method: Method,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Answer {
        let response = self.send(method, headers, body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = timeout(PATIENCE, response.text()).await.unwrap().unwrap();
        let messages = if is_stream(&headers) {
            text.split("\n\n").filter_map(message_of).collect()
        } else {
            serde_json::from_str(&text).into_iter().collect()
        };
        Answer {
            status,
            headers,
            text,
            messages,
        }
    }

    /// Calls a method whose answer goes on.
    pub(crate) async fn open(&self, method: &str, params: Value) -> Stream {
        let (headers, body) = self.prepare(method, params);
        self.open_raw(Method::POST, &headers, body).await
    }

    /// Sends any body, for an answer that goes on.
    pub(crate) async fn open_raw(
        &self,
        method: Method,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Stream {
        let response = self.send(method, headers, body).await;
        assert_eq!(response.status(), 200);
        assert!(is_stream(response.headers()), "{:?}", response.headers());
        Stream {
            last_event_id: String::new(),
            response: response
                .bytes_stream()
                .take_while(|piece| std::future::ready(piece.is_ok()))
                .map(|piece| piece.unwrap().to_vec())
                .boxed(),
            ahead: String::new(),
        }
    }

    async fn send(
        &self,
        method: Method,
        headers: &[(&'static str, String)],
        body: String,
    ) -> reqwest::Response {
        let mut sent = self.headers.clone();
        for (name, value) in headers {
            sent.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let mut request = self.http.request(method.clone(), &self.url).headers(sent);
        if method == Method::POST {
            request = request.header("content-type", "application/json").body(body);
        }
        timeout(PATIENCE, request.send()).await.unwrap().unwrap()
    }
}

impl Answer {
    /// The result; fails when there is none.
    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        let last = self.messages.last().unwrap_or(&Value::Null);
        assert!(last["result"].is_object(), "{} {}", self.status, self.text);
        last["result"].clone()
    }

    /// The code of the error and the status.
    #[track_caller]
    pub(crate) fn refused(&self) -> (u16, i64) {
        let last = self.messages.last().unwrap_or(&Value::Null);
        let code = last["error"]["code"].as_i64();
        (
            self.status,
            code.unwrap_or_else(|| panic!("{} {}", self.status, self.text)),
        )
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The text of a tool's result.
    #[track_caller]
    pub(crate) fn tool_text(&self) -> String {
        self.result()["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Stream {
    /// Reads on until an event has an id.
    pub(crate) async fn begin(&mut self) {
        while self.last_event_id.is_empty() {
            let piece = timeout(PATIENCE, self.response.next())
                .await
                .expect("nothing came");
            self.ahead
                .push_str(std::str::from_utf8(&piece.expect("it ended")).unwrap());
            let id = self.ahead.lines().find_map(|line| line.strip_prefix("id: "));
            self.last_event_id = id.unwrap_or_default().to_owned();
        }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.ahead.split_once("\n\n") {
                let (message, rest) = (message_of(event), rest.to_owned());
                let id = event.lines().find_map(|line| line.strip_prefix("id: "));
                self.last_event_id = id.map_or(std::mem::take(&mut self.last_event_id), str::to_owned);
                self.ahead = rest;
                if message.is_some() {
                    return message;
                }
                continue;
            }
            let piece = timeout(PATIENCE, self.response.next())
                .await
                .expect("nothing came")?;
            self.ahead.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers
        .get("content-type")
        .is_some_and(|name| name.to_str().unwrap().starts_with("text/event-stream"))
}

/// The message of one event; comments and events without data have none.
fn message_of(event: &str) -> Option<Value> {
    let data: Vec<_> = event
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim_start)
        .collect();
    serde_json::from_str(&data.join("\n")).ok()
}

/// A request with an id of its own.
pub(crate) fn request(method: &str, params: Value) -> Value {
    let id = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}
