//! From the errors of verbs to what the protocol makes of them: errors of a request, or results that tell of a failure.

use std::error::Error as _;
use std::fmt::Write as _;

use model::{Detail, Error, ErrorCode, ErrorKind};
use protocol::{Content, RpcError, ToolResult};
use serde_json::json;

/// What verbs put before the path of each argument.
const PAYLOAD: &str = "payload";

/// The error of a request that a verb refused, or failed at. Defects are logged here, once.
pub(super) fn request_error(error: &Error) -> RpcError {
    log(error);
    match error.kind() {
        ErrorKind::Bug => RpcError::internal(),
        ErrorKind::Unavailable
        | ErrorKind::RateLimited
        | ErrorKind::TooSlow
        | ErrorKind::TimedOut
        | ErrorKind::Cancelled
        | ErrorKind::PluginFailed
        | ErrorKind::PluginUnavailable => {
            RpcError::new(protocol::ErrorCode::Internal, error.message()).with_data(facts(error))
        }
        ErrorKind::Malformed
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Misdirected
        | ErrorKind::Invalid => {
            let text = told(error);
            RpcError::invalid_params(text).with_data(facts(error))
        }
    }
}

/// The result that tells of a failure of the tool, or of arguments that it doesn't take: the model that called it can do
/// something about either. A defect of the server is none; it is an error of the request.
pub(super) fn tool_result(error: &Error) -> Result<ToolResult, RpcError> {
    if error.kind() == ErrorKind::Bug {
        return Err(request_error(error));
    }
    log(error);
    Ok(failed(told(error)))
}

/// A result that tells of a failure.
pub(super) fn failed(text: impl Into<String>) -> ToolResult {
    ToolResult {
        content: vec![Content::text(text)],
        structured: None,
        is_error: true,
    }
}

/// What went wrong, in words for a model: each argument that isn't acceptable in a line of its own.
fn told(error: &Error) -> String {
    if error.kind() != ErrorKind::Invalid || error.details().is_empty() {
        return match error.wait() {
            Some(wait) if error.is_retryable() => {
                format!("{} (try again in {} s)", error.message(), wait.as_secs().max(1))
            }
            _ => error.message().to_owned(),
        };
    }
    let mut text = "The arguments are not acceptable:".to_owned();
    for Detail { path, message } in error.details() {
        // Writing to a text can't fail.
        let _ = match argument(path) {
            "" => write!(text, "\n- {message}"),
            path => write!(text, "\n- {path}: {message}"),
        };
    }
    text
}

/// The path of an argument without what verbs put before it.
fn argument(path: &str) -> &str {
    match path.strip_prefix(PAYLOAD) {
        Some("") => "",
        Some(rest) => rest.strip_prefix('.').unwrap_or(path),
        None => path,
    }
}

fn facts(error: &Error) -> serde_json::Value {
    match error.wait() {
        Some(wait) => {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            json!({ "code": error.code(), "retryAfterMs": millis })
        }
        None => json!({ "code": error.code() }),
    }
}

/// Writes what someone must act on to the log, with its causes.
fn log(error: &Error) {
    let code = error.code().as_str();
    let cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    if error.kind() == ErrorKind::Bug {
        tracing::error!(code, cause, "an MCP request failed by a defect");
    } else if error.kind() == ErrorKind::Unavailable && error.code() != ErrorCode::Overloaded {
        tracing::warn!(code, cause, "an MCP request could not be served");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(result: ToolResult) -> String {
        serde_json::to_value(result.content).unwrap()[0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn each_argument_that_is_not_acceptable_is_named_as_the_caller_wrote_it() {
        let details = ["data.3", ""].map(|path| Detail {
            path: path.to_owned(),
            message: "must be a number".to_owned(),
        });
        let error = Error::invalid_fields(details.into()).under("payload");
        let result = tool_result(&error).unwrap();
        assert!(result.is_error);
        assert_eq!(
            text_of(result),
            "The arguments are not acceptable:\n- data.3: must be a number\n- must be a number"
        );
    }

    #[test]
    fn a_defect_is_an_error_of_the_request_that_shows_nothing() {
        let told = tool_result(&Error::bug("the password is swordfish")).unwrap_err();
        assert_eq!(told, RpcError::internal());
    }

    #[test]
    fn a_failure_that_may_pass_says_when_to_try_again() {
        let error = Error::new(ErrorCode::PluginUnavailable, "the model is busy")
            .retry_after(std::time::Duration::from_secs(7));
        assert_eq!(
            text_of(tool_result(&error).unwrap()),
            "the model is busy (try again in 7 s)"
        );
    }
}
