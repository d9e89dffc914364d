//! From errors to answers: the one place that knows which status belongs to which kind of error.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::{Detail, Error, ErrorCode, ErrorKind};
use serde::Serialize;

/// The media type of every JSON answer.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a caller without a good credential is told what is taken (RFC 6750 §3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"mcp-server\"");
const CHALLENGE_INVALID_TOKEN: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"mcp-server\", error=\"invalid_token\"");

/// How long to wait when the error doesn't say.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// An error on its way to the caller.
///
/// As a response it has only its status: the edge, which knows the request's id, gives it its body and
/// headers and writes it to the log, once.
#[derive(Clone, Debug)]
pub struct Failure {
    error: Arc<Error>,
    challenge: Option<HeaderValue>,
}

/// The body of every failure: `{"ok":false,"error":{…}}`.
#[derive(Debug, Serialize)]
pub struct FailureEnvelope<'a> {
    /// Always false.
    pub ok: bool,
    /// What went wrong.
    pub error: FailureView<'a>,
}

/// What went wrong, for programs and for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureView<'a> {
    /// One of the closed list of codes.
    pub code: ErrorCode,
    /// For people; may change between versions.
    pub message: &'a str,
    /// The fields that are not acceptable, at most twenty; left out when there are none.
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    pub details: &'a [Detail],
    /// Leads to this request in the log.
    pub request_id: &'a str,
}

impl Failure {
    /// The error behind it.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Tells the caller in these words, rather than in the usual ones, what credential is taken.
    #[must_use]
    pub fn with_challenge(self, challenge: HeaderValue) -> Self {
        Self {
            challenge: Some(challenge),
            ..self
        }
    }

    /// The status that fits.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        status_of(self.error.kind())
    }

    /// The body for the caller.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        serde_json::to_vec(&self.envelope(request_id)).unwrap_or_default()
    }

    /// The body for the caller, before it is written down.
    #[must_use]
    pub fn envelope<'a>(&'a self, request_id: &'a str) -> FailureEnvelope<'a> {
        let error = FailureView {
            code: self.error.code(),
            message: self.error.message(),
            details: self.error.details(),
            request_id,
        };
        FailureEnvelope { ok: false, error }
    }

    /// Adds the headers that say what to do next: sign in, wait.
    pub fn fill_headers(&self, headers: &mut HeaderMap) {
        if let Some(challenge) = &self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
        } else if self.error.kind() == ErrorKind::Unauthenticated {
            let is_token = self.error.code() == ErrorCode::InvalidToken;
            headers.insert(
                header::WWW_AUTHENTICATE,
                if is_token {
                    CHALLENGE_INVALID_TOKEN
                } else {
                    CHALLENGE
                },
            );
        }
        let must_wait = matches!(self.error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable);
        if must_wait || self.error.wait().is_some() {
            headers.insert(
                header::RETRY_AFTER,
                whole_seconds(self.error.wait().unwrap_or(DEFAULT_WAIT)),
            );
        }
    }

    /// Tells whether the connection can't be used any further: the rest of the request was not read.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::TooLarge | ErrorKind::TooSlow)
    }

    /// The finished answer.
    #[must_use]
    pub fn into_answer(self, request_id: &str) -> Response {
        let mut response = Response::new(Body::from(self.body(request_id)));
        *response.status_mut() = self.status();
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        self.fill_headers(response.headers_mut());
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error: Arc::new(error),
            challenge: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

/// The status of each kind of error.
#[must_use]
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::TooSlow => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::PluginFailed | ErrorKind::PluginUnavailable => StatusCode::BAD_GATEWAY,
        // A cancelled call has nobody left to hear of it, unless it was this server that stopped.
        ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// A span in whole seconds, rounded up, at least one: the unit of `Retry-After` (RFC 9110 §10.2.3).
fn whole_seconds(span: Duration) -> HeaderValue {
    let seconds = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    HeaderValue::from(seconds.max(1))
}
