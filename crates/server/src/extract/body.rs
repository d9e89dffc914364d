//! Bodies: of the right kind, within their limits of size and time.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use model::{Error, ErrorCode, Result};
use tokio::time::timeout;

use crate::config::Edge;

/// Passes when the body is JSON in UTF-8, neither compressed nor otherwise encoded.
pub(super) fn require_json(headers: &HeaderMap) -> Result<()> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported(
            "the body must not be compressed: leave out Content-Encoding",
        ));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).into_iter();
    let is_json = match (types.next(), types.next()) {
        (Some(only), None) => only.to_str().is_ok_and(is_json_type),
        _ => false,
    };
    if is_json {
        Ok(())
    } else {
        Err(unsupported(
            "the body must be sent with Content-Type: application/json",
        ))
    }
}

/// Reads a whole body of at most `max_body_bytes`, within half of the time that a request has.
pub(super) async fn read(body: Body, edge: &Edge) -> Result<Bytes> {
    let limit = edge.max_body_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let collected = timeout(edge.request_timeout / 2, collect(body, limit)).await;
    collected.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorCode::BodyTimedOut,
            "the body did not arrive in time",
        ))
    })
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes> {
    let Some(first) = next_piece(&mut body).await? else {
        return Ok(Bytes::new());
    };
    // Nearly every body comes in one piece, and is not copied then.
    if first.len() <= limit && body.is_end_stream() {
        return Ok(first);
    }
    let mut all = BytesMut::from(first);
    loop {
        if all.len() > limit {
            return Err(too_large(limit));
        }
        let Some(piece) = next_piece(&mut body).await? else {
            return Ok(all.freeze());
        };
        all.extend_from_slice(&piece);
    }
}

/// The next piece with data; trailers are passed over.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Error::new(
                ErrorCode::MalformedRequest,
                "the body broke off or is not framed well",
            )
            .source(error)
        })?;
        match frame.into_data() {
            Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
            _ => {}
        }
    }
    Ok(None)
}

/// `application/json`, or any `application/…+json`; the only charset is UTF-8.
fn is_json_type(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = essence
        .strip_prefix("application/")
        .is_some_and(|kind| kind == "json" || (kind.len() > "+json".len() && kind.ends_with("+json")));
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    is_json && parts.all(is_utf8)
}

fn too_large(limit: usize) -> Error {
    Error::new(
        ErrorCode::PayloadTooLarge,
        format!("the body must have at most {limit} bytes"),
    )
}

fn unsupported(message: &'static str) -> Error {
    Error::new(ErrorCode::UnsupportedMediaType, message)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("application/json", true)]
    #[case("Application/JSON; charset=UTF-8", true)]
    #[case("application/json;charset=\"utf-8\"", true)]
    #[case("application/problem+json", true)]
    #[case("application/json; charset=utf-16", false)]
    #[case("application/+json", false)]
    #[case("text/json", false)]
    #[case("application/x-www-form-urlencoded", false)]
    #[case("application/jsonp", false)]
    #[case("", false)]
    fn c04_only_json_in_utf_8_is_read(#[case] value: &str, #[case] is_read: bool) {
        assert_eq!(is_json_type(value), is_read);
    }
}
