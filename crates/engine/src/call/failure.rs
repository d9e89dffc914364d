//! How plugins fail, as callers see it.

use std::time::Duration;

use model::{Error, ErrorCode, ErrorKind};

/// The most characters of a plugin's error message that are kept and shown.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// Says that a plugin took too long.
pub(super) fn timed_out(limit: Duration) -> Error {
    let message = format!("the action took longer than its limit of {limit:?}");
    Error::new(ErrorCode::PluginTimedOut, message)
}

/// Lets a plugin fail as a plugin, and as nothing else: what it says of credentials, limits or the like is
/// about its own dealings, never about the caller's with this server. What it refuses lies below `subject`.
pub(super) fn as_plugin_failure(error: Error, subject: &str) -> Error {
    let code = match error.kind() {
        ErrorKind::Invalid => return bounded(error).under(subject),
        ErrorKind::NotFound | ErrorKind::PluginFailed | ErrorKind::PluginUnavailable | ErrorKind::Bug => {
            return bounded(error);
        }
        ErrorKind::TimedOut => ErrorCode::PluginTimedOut,
        ErrorKind::Unavailable | ErrorKind::RateLimited => ErrorCode::PluginUnavailable,
        ErrorKind::Malformed
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::TooSlow
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Misdirected
        | ErrorKind::Cancelled => ErrorCode::PluginFailed,
    };
    recast(error, code)
}

fn bounded(error: Error) -> Error {
    let is_long = |text: &str| text.chars().nth(MAX_MESSAGE_CHARS).is_some();
    let is_bounded = !is_long(error.message())
        && error
            .details()
            .iter()
            .all(|detail| !is_long(&detail.path) && !is_long(&detail.message));
    if is_bounded {
        return error;
    }
    if error.kind() == ErrorKind::Invalid {
        return Error::invalid("", "is refused by the plugin, with more words than can be shown");
    }
    let code = error.code();
    recast(error, code)
}

fn recast(error: Error, code: ErrorCode) -> Error {
    let message: String = error.message().chars().take(MAX_MESSAGE_CHARS).collect();
    let recast = Error::new(code, message);
    let recast = match error.wait() {
        Some(wait) => recast.retry_after(wait),
        None => recast,
    };
    recast.source(error)
}
