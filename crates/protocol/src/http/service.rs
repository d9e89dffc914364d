//! The service of one address.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method as Verb, Request, Response, StatusCode};

use crate::{
    accepted::Accepted,
    answer,
    body::Body,
    error::{ErrorCode, RpcError},
    handler::Handler,
    http::{
        headers::{PROTOCOL_VERSION, named_version, says_json},
        stateless::{self, Posted},
    },
    jsonrpc::{self, Id, Message, Refusal},
    legacy,
    revision::Revision,
    shared::{Host, Shared},
    stateless::{VERSION_KEY, declared_version},
};

const STATELESS: Revision = Revision::V2026_07_28;

/// Serves a handler over Streamable HTTP, in every revision.
///
/// The host has checked by now who calls, the `Origin` and the `Host`, and how long the body is. As a [`tower::Service`] it
/// takes the caller out of the request's extensions, where the host has put it.
pub struct McpService<H: Handler> {
    shared: Arc<Shared<H>>,
}

impl<H: Handler> McpService<H> {
    /// Serves what a host brings. Asks the handler once to describe itself.
    #[must_use]
    pub fn new(host: Host<H>) -> Self {
        Self {
            shared: Arc::new(Shared::new(host)),
        }
    }

    /// Answers one request of a caller. Dropping the future, or the body of its response, cancels what was asked for in the
    /// stateless revision.
    pub async fn handle(&self, caller: H::Caller, request: Request<Bytes>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        if parts.method != Verb::POST {
            // Streams and ends of sessions belong to the older revisions.
            return match named_version(headers) {
                Ok(Some(version)) if is_stateless(version) => answer::verb_not_allowed("POST"),
                Ok(_) | Err(_) => legacy::handle(&self.shared, caller, &parts, body).await,
            };
        }
        if !says_json(headers) {
            let error = RpcError::new(ErrorCode::InvalidRequest, "the body must be application/json");
            return answer::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, &error, STATELESS);
        }
        let accepted = Accepted::read(headers);
        if !accepted.json && !accepted.stream {
            let message = "send `Accept: application/json, text/event-stream`";
            return answer::not_acceptable(id_of(&body).as_ref(), message);
        }
        match choose_era(headers, &body) {
            Err(Refusal { id, error }) => {
                answer::refused(StatusCode::BAD_REQUEST, id.as_ref(), &error, STATELESS)
            }
            Ok(Era::Older) => legacy::handle(&self.shared, caller, &parts, body).await,
            Ok(Era::Stateless(message)) => {
                let posted = Posted {
                    caller,
                    headers,
                    accepted,
                    body,
                };
                stateless::answer(&self.shared, posted, message).await
            }
        }
    }
}

/// Who answers.
enum Era {
    /// The older revisions, which read the body themselves.
    Older,
    /// The stateless one.
    Stateless(Message),
}

/// Chooses by what the request says of itself: a version in `_meta` makes it stateless whatever its headers are; then the
/// version in the headers counts; `initialize`, and anything without a version, belongs to the older revisions.
fn choose_era(headers: &HeaderMap, body: &[u8]) -> Result<Era, Refusal> {
    let named = named_version(headers)
        .unwrap_or_default()
        .and_then(Revision::find);
    let is_unnamed = !headers.contains_key(PROTOCOL_VERSION);
    let may_be_older = is_unnamed || named.is_some_and(|revision| !revision.is_stateless());
    if may_be_older && !mentions_version(body) {
        return Ok(Era::Older);
    }
    let message = match jsonrpc::parse(body) {
        Ok(message) => message,
        Err(_) if may_be_older => return Ok(Era::Older),
        Err(refusal) => return Err(refusal),
    };
    let is_older = match &message {
        Message::Request(request) if declared_version(&request.params).is_some() => false,
        Message::Request(request) => may_be_older || (named.is_none() && request.method == "initialize"),
        Message::Notification(_) | Message::Response(_) => may_be_older,
    };
    Ok(if is_older {
        Era::Older
    } else {
        Era::Stateless(message)
    })
}

/// The id of the request in a body, as far as it can be read.
fn id_of(body: &[u8]) -> Option<Id> {
    match jsonrpc::parse(body) {
        Ok(Message::Request(request)) => Some(request.id),
        Ok(Message::Notification(_) | Message::Response(_)) => None,
        Err(refusal) => refusal.id,
    }
}

/// Tells whether the body may hold a version in `_meta`, without reading it as JSON.
fn mentions_version(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.contains(VERSION_KEY))
}

fn is_stateless(version: &str) -> bool {
    Revision::find(version).is_some_and(Revision::is_stateless)
}

impl<H: Handler> Clone for McpService<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<H: Handler> fmt::Debug for McpService<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("McpService")
    }
}

impl<H: Handler> tower::Service<Request<Bytes>> for McpService<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Bytes>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let Some(caller) = request.extensions_mut().remove::<H::Caller>() else {
                // The host forgot to say who calls.
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Ok(answer::refused(status, None, &RpcError::internal(), STATELESS));
            };
            Ok(service.handle(caller, request).await)
        })
    }
}
