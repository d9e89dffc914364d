//! Responses in the few forms that there are.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    body::Body,
    error::{ErrorCode, RpcError},
    jsonrpc::{Id, error_message},
    revision::Revision,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The status of an error in the stateless revision. Wrong parameters and failures are answers like any other: a status would
/// keep clients from reading what is wrong.
pub(crate) const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Parse
        | ErrorCode::InvalidRequest
        | ErrorCode::HeaderMismatch
        | ErrorCode::MissingCapability
        | ErrorCode::UnsupportedVersion => StatusCode::BAD_REQUEST,
        ErrorCode::MethodNotFound => StatusCode::NOT_FOUND,
        ErrorCode::InvalidParams | ErrorCode::Internal | ErrorCode::ResourceNotFound => StatusCode::OK,
    }
}

/// One message.
pub(crate) fn json(status: StatusCode, message: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(message));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// An error that is told before anything is called.
pub(crate) fn refused(
    status: StatusCode,
    id: Option<&Id>,
    error: &RpcError,
    revision: Revision,
) -> Response<Body> {
    json(status, error_message(id, error, revision))
}

/// A stream of events.
pub(crate) fn stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENTS);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // Proxies must not keep events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Nothing to say about what wants no answer.
pub(crate) fn taken() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Nothing that the client takes can be sent.
pub(crate) fn not_acceptable(id: Option<&Id>, message: &str) -> Response<Body> {
    let error = RpcError::new(ErrorCode::InvalidRequest, message);
    refused(StatusCode::NOT_ACCEPTABLE, id, &error, Revision::V2026_07_28)
}

/// The verb has no meaning here.
pub(crate) fn verb_not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
