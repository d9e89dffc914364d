//! How a provider can fail, and what a caller is told of it.

use std::time::Duration;

use model::{Error, ErrorCode};
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

use super::endpoint::Endpoint;

/// The longest wait that a provider can ask for.
const MAX_WAIT_SECS: f64 = 86_400.0;

/// How many characters of a provider's own words a caller is shown.
const MAX_WORDS: usize = 300;

/// Keys shorter than this are place-holders for servers that need none, and may be part of any word.
const SHORTEST_KEY: usize = 8;

/// A failed try.
#[derive(Debug)]
pub(super) struct Fault {
    /// What the caller is told when there is no other try.
    pub(super) error: Error,
    /// Whether the same request may be sent again: it had no effect, and it may have one later.
    pub(super) can_resend: bool,
    /// How long the provider asked to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Fault {
    /// A failure that stays.
    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self {
            error: Error::new(ErrorCode::PluginFailed, message.into()),
            can_resend: false,
            retry_after: None,
        }
    }

    /// A failure that may pass, but after the request had its effect.
    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self {
            error: Error::new(ErrorCode::PluginUnavailable, message.into()),
            can_resend: false,
            retry_after: None,
        }
    }

    pub(super) fn resend(mut self) -> Self {
        self.can_resend = true;
        self
    }

    pub(super) fn source(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.error = self.error.source(cause);
        self
    }

    /// The answer has another form than the wire format says.
    pub(super) fn unreadable(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::permanent("the provider's answer can't be read").source(cause)
    }

    /// The answer ended before its end.
    pub(super) fn broken_off() -> Self {
        Self::passing("the provider's answer broke off")
    }
}

/// What providers of both formats say about a failure.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ProviderError {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

/// The body of a failure.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) error: ProviderError,
}

impl ProviderError {
    /// Turns a failure that is reported within a stream into a fault.
    pub(super) fn in_stream(&self) -> Fault {
        let kind = self.kind.as_deref().unwrap_or_default();
        let is_passing = [
            "overloaded_error",
            "api_error",
            "rate_limit_error",
            "timeout_error",
            "server_error",
        ]
        .contains(&kind);
        let message = format!("the provider failed while it answered{}", self.words());
        if is_passing {
            Fault::passing(message)
        } else {
            Fault::permanent(message)
        }
    }

    fn is_out_of_quota(&self) -> bool {
        let quota = "insufficient_quota";
        self.kind.as_deref() == Some(quota) || self.code.as_ref().is_some_and(|code| code == quota)
    }

    /// The provider's own words after a colon, on one line and cut to a bearable length.
    fn words(&self) -> String {
        let words = self.message.as_deref().unwrap_or_default();
        let words: String = words
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(MAX_WORDS)
            .collect();
        let words = words.trim();
        if words.is_empty() {
            String::new()
        } else {
            format!(": {words}")
        }
    }
}

/// Turns an answer with a status other than success into a fault.
pub(super) fn of_status(endpoint: &Endpoint, status: StatusCode, headers: &HeaderMap, body: &str) -> Fault {
    let said = serde_json::from_str::<ErrorBody>(&without_key(endpoint, body))
        .unwrap_or_default()
        .error;
    let (number, words) = (status.as_u16(), said.words());
    let variable = endpoint.provider().key_variable();
    match number {
        401 => Fault::permanent(format!("the provider refused the API key; check {variable}")),
        403 => Fault::permanent(format!(
            "the provider does not allow this with the key of {variable}{words}"
        )),
        429 if said.is_out_of_quota() => Fault::permanent(format!(
            "the account of {variable} has no quota left at the provider"
        )),
        429 => waiting(
            headers,
            "the provider has too many requests of this server".to_owned(),
        ),
        408 | 500 | 502..=599 => waiting(
            headers,
            format!("the provider is not available (status {number}){words}"),
        ),
        300..=399 => Fault::permanent(format!(
            "the provider's address has moved (status {number}); check {}",
            endpoint.provider().base_url_variable()
        )),
        _ => Fault::permanent(format!(
            "the provider refused the request (status {number}){words}"
        )),
    }
}

/// Turns a failure below the protocol into a fault.
pub(super) fn of_connection(cause: reqwest::Error) -> Fault {
    let cause = cause.without_url();
    if cause.is_connect() {
        Fault::passing("the provider can't be reached")
            .resend()
            .source(cause)
    } else if cause.is_timeout() {
        Fault::passing("the provider fell silent").source(cause)
    } else if cause.is_builder() {
        Fault::permanent("the request to the provider can't be made").source(cause)
    } else {
        Fault::passing("the connection to the provider broke")
            .resend()
            .source(cause)
    }
}

/// Turns a failure in the middle of an answer into a fault.
pub(super) fn of_body(cause: reqwest::Error) -> Fault {
    if cause.is_timeout() {
        return Fault::passing("the provider fell silent").source(cause.without_url());
    }
    Fault::broken_off().source(cause.without_url())
}

fn waiting(headers: &HeaderMap, message: String) -> Fault {
    let wait = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok())
        .filter(|seconds| (0.0..=MAX_WAIT_SECS).contains(seconds))
        .map(Duration::from_secs_f64);
    let mut fault = Fault::passing(message).resend();
    fault.retry_after = wait;
    fault
}

/// Takes the key out of a provider's answer: some repeat it.
fn without_key(endpoint: &Endpoint, body: &str) -> String {
    match endpoint.key() {
        Some(key) if key.expose().len() >= SHORTEST_KEY => body.replace(key.expose(), "***"),
        _ => body.to_owned(),
    }
}
