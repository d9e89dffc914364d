//! Reads refusals and broken connections.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

use super::{
    endpoint::Endpoint,
    fault::{Fault, ProviderError},
};

/// The longest wait that a provider can ask for.
const MAX_WAIT_SECS: f64 = 86_400.0;

/// How much of a refusal is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// The body of a failure.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: ProviderError,
}

/// Turns an answer with a status other than success into a fault.
pub(super) async fn of_response(endpoint: &Endpoint, mut response: Response) -> Fault {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    // What can't be read of a refusal is not needed to tell of it.
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > MAX_REFUSAL_BYTES {
            break;
        }
    }
    of_status(endpoint, status, &headers, &String::from_utf8_lossy(&body))
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

fn of_status(endpoint: &Endpoint, status: StatusCode, headers: &HeaderMap, body: &str) -> Fault {
    let said = serde_json::from_str::<ErrorBody>(&endpoint.without_key(body))
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
