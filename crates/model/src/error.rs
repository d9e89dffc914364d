//! The one error type that crosses crates.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use serde::Serialize;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of thing went wrong; decides the status of an answer and whether a retry can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can't be read.
    Malformed,
    /// No credential, or none that is accepted.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// There is no such thing, or it is not the caller's.
    NotFound,
    /// The thing exists and doesn't support the method.
    MethodNotAllowed,
    /// The state of things does not permit it now.
    Conflict,
    /// The request is larger than the limit.
    TooLarge,
    /// The request arrived too slowly.
    TooSlow,
    /// The body has another media type than those accepted.
    UnsupportedMediaType,
    /// The request was sent to a host name that isn't this server's.
    Misdirected,
    /// The request can be read, and its content is not acceptable.
    Invalid,
    /// The caller asked too often.
    RateLimited,
    /// Something that this server needs does not answer, or is overloaded. A retry can help.
    Unavailable,
    /// A plugin failed in a way that a retry won't change.
    PluginFailed,
    /// A plugin, or what it depends on, failed in a way that a retry can change.
    PluginUnavailable,
    /// The work took longer than its limit.
    TimedOut,
    /// The caller went away or asked to stop.
    Cancelled,
    /// A defect of this server.
    Bug,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// What went wrong, as a caller's program sees it. The list is closed and documented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in the order of documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text of the code in answers and in the history.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The sort of failure that the code belongs to.
            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

error_codes! {
    /// The body is not JSON, or JSON that is refused (duplicate keys, too deep).
    MalformedJson = "malformed_json", Malformed;
    /// Another part of the request can't be read.
    MalformedRequest = "malformed_request", Malformed;
    /// Two credentials of different owners came with one request.
    ConflictingCredentials = "conflicting_credentials", Malformed;
    /// A credential is needed and none came.
    Unauthenticated = "unauthenticated", Unauthenticated;
    /// The token or key is not valid: unknown, expired, revoked, or its owner is gone.
    InvalidToken = "invalid_token", Unauthenticated;
    /// E-mail and password don't open an account.
    InvalidCredentials = "invalid_credentials", Unauthenticated;
    /// The caller's role does not allow it.
    Forbidden = "forbidden", Forbidden;
    /// The key's scopes do not allow it; the message names the scope needed.
    InsufficientScope = "insufficient_scope", Forbidden;
    /// This needs another kind of credential; the message names it.
    WrongCredential = "wrong_credential", Forbidden;
    /// A browser's page of a foreign origin sent the request.
    OriginNotAllowed = "origin_not_allowed", Forbidden;
    /// There is no such thing, or it isn't yours.
    NotFound = "not_found", NotFound;
    /// The path exists and does not support the method.
    MethodNotAllowed = "method_not_allowed", MethodNotAllowed;
    /// The state of the thing does not permit this now.
    Conflict = "conflict", Conflict;
    /// Something with this unique value exists already.
    AlreadyExists = "already_exists", Conflict;
    /// The last active admin can't be removed.
    LastAdmin = "last_admin", Conflict;
    /// As many of these exist as are allowed.
    LimitReached = "limit_reached", Conflict;
    /// The idempotency key was used with another request.
    IdempotencyKeyReused = "idempotency_key_reused", Conflict;
    /// The first request with this idempotency key has no recorded answer (yet).
    IdempotencyKeyInUse = "idempotency_key_in_use", Conflict;
    /// The body is larger than the limit.
    PayloadTooLarge = "payload_too_large", TooLarge;
    /// The body did not arrive in time.
    BodyTimedOut = "body_timed_out", TooSlow;
    /// The body's media type is not accepted.
    UnsupportedMediaType = "unsupported_media_type", UnsupportedMediaType;
    /// The host name of the request is not one of this server.
    HostNotAllowed = "host_not_allowed", Misdirected;
    /// The content is not acceptable; the details name each field.
    ValidationFailed = "validation_failed", Invalid;
    /// Too many requests in the window, or too many failed sign-ins.
    RateLimited = "rate_limited", RateLimited;
    /// Something that this server needs does not answer.
    Unavailable = "unavailable", Unavailable;
    /// As much is waiting as can be held.
    Overloaded = "overloaded", Unavailable;
    /// The plugin failed, and would again.
    PluginFailed = "plugin_failed", PluginFailed;
    /// The plugin, or what it depends on, is not available now.
    PluginUnavailable = "plugin_unavailable", PluginUnavailable;
    /// The plugin took longer than its limit.
    PluginTimedOut = "plugin_timed_out", TimedOut;
    /// The request took longer than its limit.
    RequestTimedOut = "request_timed_out", TimedOut;
    /// The caller went away before the end.
    Cancelled = "cancelled", Cancelled;
    /// The server stopped before the end was recorded.
    Interrupted = "interrupted", Unavailable;
    /// The task took its worker down with it too often.
    WorkerLost = "worker_lost", Unavailable;
    /// A task that this one depends on failed or was cancelled.
    DependencyFailed = "dependency_failed", Conflict;
    /// The action asks something first, and here nobody can answer; the details name each question.
    InputRequired = "input_required", Conflict;
    /// A defect of this server; the request id leads to its log entry.
    Internal = "internal", Bug;
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One field that is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Where: names joined by dots, elements by index (`payload.data.3`); empty for the whole.
    pub path: String,
    /// What is accepted there.
    pub message: String,
}

/// A failure: a code, a message for the caller, and a source for the log.
///
/// The message says what to do and holds no internals; `Display` prints only it. The source is never
/// shown to a caller.
#[derive(Debug)]
pub struct Error {
    code: ErrorCode,
    message: Cow<'static, str>,
    details: Vec<Detail>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// How many details an error carries at most; further ones are dropped.
    pub const MAX_DETAILS: usize = 20;

    /// Makes an error from a code and a message for the caller.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            retry_after: None,
            source: None,
        }
    }

    /// Refuses one field of a request.
    #[must_use]
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        let detail = Detail {
            path: path.into(),
            message: message.into(),
        };
        Self::invalid_fields(vec![detail])
    }

    /// Refuses several fields of a request.
    #[must_use]
    pub fn invalid_fields(mut details: Vec<Detail>) -> Self {
        details.truncate(Self::MAX_DETAILS);
        let message = match details.as_slice() {
            [only] if only.path.is_empty() => only.message.clone(),
            [only] => format!("{} {}", only.path, only.message),
            several => format!("{} fields are not acceptable", several.len()),
        };
        Self {
            details,
            ..Self::new(ErrorCode::ValidationFailed, message)
        }
    }

    /// Says that there is no such thing, or that it isn't the caller's; the two are not told apart.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no such {what}"))
    }

    /// Says that something this server needs does not answer; a retry can help.
    #[must_use]
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1))
    }

    /// Marks a defect of this server: the caller sees no more than that, the log sees `source`.
    #[must_use]
    pub fn bug(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            ErrorCode::Internal,
            "an internal error occurred; quote the request id when you report it",
        )
        .source(source)
    }

    /// Adds what the log should show of the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds how long the caller should wait before it tries again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Names a field that the failure is about; beyond [`Self::MAX_DETAILS`] it is dropped.
    #[must_use]
    pub fn detail(mut self, path: impl Into<String>, message: impl Into<String>) -> Self {
        if self.details.len() < Self::MAX_DETAILS {
            self.details.push(Detail {
                path: path.into(),
                message: message.into(),
            });
        }
        self
    }

    /// Puts `prefix` and a dot before the path of each detail.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for detail in &mut self.details {
            let separator = if detail.path.is_empty() { "" } else { "." };
            detail.path = format!("{prefix}{separator}{}", detail.path);
        }
        if let [only] = self.details.as_slice() {
            self.message = format!("{} {}", only.path, only.message).into();
        }
        self
    }

    /// What went wrong, for programs.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.code.kind()
    }

    /// What went wrong, for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields that are not acceptable, at most [`Self::MAX_DETAILS`].
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.details
    }

    /// How long the caller should wait before it tries again, when that is known.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Tells whether the same request may succeed later without being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::RateLimited
                | ErrorKind::Unavailable
                | ErrorKind::PluginUnavailable
                | ErrorKind::TimedOut
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
