//! How a client is told which credential would do (RFC 6750 §3, RFC 9728 §5.1).

use http::HeaderValue;
use model::{Error, ErrorCode, ErrorKind};

use super::caller::Lack;
use crate::{failure::Failure, place::Place, rest::protected_resource};

/// The scopes with which a client gets most out of this server; more is asked for when it is needed.
const USUAL_SCOPES: &str = "plugins:execute tasks:read tasks:write";

/// Lets a refusal for want of a good credential say where to get one.
pub(super) fn refuse(failure: Failure, place: &Place<'_>) -> Failure {
    if failure.error().kind() != ErrorKind::Unauthenticated {
        return failure;
    }
    let is_wrong = failure.error().code() == ErrorCode::InvalidToken;
    let error = if is_wrong { "error=\"invalid_token\", " } else { "" };
    let metadata = metadata(place);
    let text = format!("Bearer {error}resource_metadata=\"{metadata}\", scope=\"{USUAL_SCOPES}\"");
    challenged(failure, &text)
}

/// The refusal of a request whose credential lacks a scope.
pub(super) fn refuse_for_lack(lack: Lack, place: &Place<'_>) -> Failure {
    let Lack { scopes, message } = lack;
    let metadata = metadata(place);
    // The message is one of ours about a scope, in which nothing can be quoted.
    let text = format!(
        "Bearer error=\"insufficient_scope\", scope=\"{scopes}\", resource_metadata=\"{metadata}\", \
         error_description=\"{message}\""
    );
    challenged(Error::new(ErrorCode::InsufficientScope, message).into(), &text)
}

fn metadata(place: &Place<'_>) -> String {
    format!("{}{}", place.url(), protected_resource::PATH)
}

fn challenged(failure: Failure, text: &str) -> Failure {
    match HeaderValue::from_str(text) {
        Ok(challenge) => failure.with_challenge(challenge),
        Err(_) => failure,
    }
}
