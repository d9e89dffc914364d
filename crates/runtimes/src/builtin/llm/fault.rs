//! How a provider can fail, and what a caller is told of it.

use std::time::Duration;

use model::{Error, ErrorCode};
use serde::Deserialize;
use serde_json::Value;

/// How many characters of a provider's own words a caller is shown.
const MAX_WORDS: usize = 300;

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
    code: Option<Value>,
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

    /// Whether the account behind the key has used up what it may use.
    pub(super) fn is_out_of_quota(&self) -> bool {
        let quota = "insufficient_quota";
        self.kind.as_deref() == Some(quota) || self.code.as_ref().is_some_and(|code| code == quota)
    }

    /// The provider's own words after a colon, on one line and cut to a bearable length.
    pub(super) fn words(&self) -> String {
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
