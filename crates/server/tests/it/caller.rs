//! Callers of the server: each with its credential, each answer held against the OpenAPI document.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::{contract, fixture::Server};

/// The password of everyone.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Someone who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    base: String,
    http: reqwest::Client,
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null when it isn't JSON.
    pub(crate) body: Value,
}

/// An account that is signed in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
    /// Calls with the access token.
    pub(crate) caller: Caller,
}

impl Caller {
    /// Someone without a credential.
    pub(crate) fn stranger(server: &Server) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            base: server.url(),
            http,
            headers: HeaderMap::new(),
        }
    }

    /// The operator, with the key of the configuration.
    pub(crate) fn operator(server: &Server) -> Self {
        Self::stranger(server).with_key(crate::fixture::ADMIN_API_KEY)
    }

    pub(crate) fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        other
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        let mut other = self.clone();
        other.headers.remove("x-api-key");
        other.with_header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        let mut other = self.clone();
        other.headers.remove("authorization");
        other.with_header("x-api-key", key)
    }

    /// The key that is sent; empty when none is.
    pub(crate) fn key(&self) -> &str {
        self.headers
            .get("x-api-key")
            .map_or("", |key| key.to_str().unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await
    }

    /// Sends a request, with a JSON body or none.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string().into_bytes());
        self.send_raw(method, path, body.map(|body| ("application/json", body)))
            .await
    }

    /// Sends a request with any body.
    pub(crate) async fn send_raw(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Reply {
        let url = format!("{}{path}", self.base);
        let mut request = self
            .http
            .request(method.clone(), url)
            .headers(self.headers.clone());
        if let Some((media_type, body)) = body {
            request = request.header("content-type", media_type).body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        contract::check(method.as_str(), path, status, &headers, &body);
        Reply {
            status,
            headers,
            text,
            body,
        }
    }

    /// Signs in.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Reply {
        self.post(
            "/api/v1/auth/login",
            json!({ "email": email, "password": password }),
        )
        .await
    }

    /// Makes an account and signs it in.
    pub(crate) async fn register(&self, name: &str, role: Option<&str>) -> Reply {
        let mut body =
            json!({ "email": format!("{name}@example.org"), "username": name, "password": PASSWORD });
        if let Some(role) = role {
            body["role"] = json!(role);
        }
        self.post("/api/v1/auth/register", body).await
    }

    /// Calls `sample.echo`.
    pub(crate) async fn echo(&self, message: &str) -> Reply {
        let payload = json!({ "message": message });
        self.post(
            "/mcp/execute",
            json!({ "plugin": "sample", "action": "echo", "payload": payload }),
        )
        .await
    }
}

impl Person {
    /// Makes an account with a role.
    pub(crate) async fn new(server: &Server, name: &str, role: &str) -> Self {
        let data = Caller::operator(server)
            .register(name, Some(role))
            .await
            .expect(201)
            .data();
        Self::of(&Caller::stranger(server), &data)
    }

    /// Whoever has signed in with this answer.
    pub(crate) fn of(stranger: &Caller, data: &Value) -> Self {
        let text = |place: &str| data.pointer(place).unwrap().as_str().unwrap().to_owned();
        Self {
            id: text("/user/id"),
            email: text("/user/email"),
            token: text("/token"),
            refresh: text("/refreshToken"),
            caller: stranger.with_token(&text("/token")),
        }
    }

    /// The same account in another session.
    pub(crate) async fn again(&self) -> Self {
        let mut stranger = self.caller.clone();
        stranger.headers.clear();
        let data = stranger.log_in(&self.email, PASSWORD).await.expect(200).data();
        Self::of(&stranger, &data)
    }

    /// Makes a key of this account; gives its id and someone who calls with it.
    pub(crate) async fn key(&self, scopes: &[&str]) -> (String, Caller) {
        let made = self
            .caller
            .post("/api/v1/auth/api-key/generate", json!({ "scopes": scopes }))
            .await;
        let data = made.expect(201).data();
        let caller = self.caller.with_key(data["key"].as_str().unwrap());
        (data["id"].as_str().unwrap().to_owned(), caller)
    }
}

impl Reply {
    /// Fails unless the answer has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Fails unless the answer is a failure with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }

    /// What was asked for.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.body["ok"], true, "{}", self.text);
        self.body["data"].clone()
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// The paths of the fields that were refused.
    pub(crate) fn refused_fields(&self) -> Vec<&str> {
        let details = self.body["error"]["details"].as_array();
        details
            .into_iter()
            .flatten()
            .map(|detail| detail["path"].as_str().unwrap())
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
