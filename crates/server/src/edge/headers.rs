//! The headers that every answer has, and the id that every request has.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use model::{Decision, Ids};
use uuid::fmt::Hyphenated;

/// Names a request; kept when the caller's is sane.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Longest request id of a caller that is kept, in bytes.
const MAX_ID_BYTES: usize = 128;

/// How many headers an answer has, about: room is made for them at once.
const USUAL_HEADERS: usize = 24;

/// What helmet 8 sets by default. A route that needs another policy sets its own.
const SECURITY: [(HeaderName, HeaderValue); 12] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
             frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';script-src-attr 'none';\
             style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
        ),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("origin-agent-cluster"),
        HeaderValue::from_static("?1"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000; includeSubDomains"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off")),
    (
        HeaderName::from_static("x-download-options"),
        HeaderValue::from_static("noopen"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
    (
        HeaderName::from_static("x-permitted-cross-domain-policies"),
        HeaderValue::from_static("none"),
    ),
    (header::X_XSS_PROTECTION, HeaderValue::from_static("0")),
];

/// The caller's id of the request when it is sane (1 to 128 letters, digits, dots, underscores, hyphens), else a new one.
pub(super) fn request_id(headers: &HeaderMap, ids: &dyn Ids) -> HeaderValue {
    let given = headers.get(X_REQUEST_ID).filter(|id| is_sane(id.as_bytes()));
    given.cloned().unwrap_or_else(|| {
        let mut text = [0; Hyphenated::LENGTH];
        let id = ids.next().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("unknown"))
    })
}

fn is_sane(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(is_plain)
}

/// Sets what every answer has; what the route has set stays.
pub(super) fn complete(headers: &mut HeaderMap, id: HeaderValue) {
    headers.reserve(USUAL_HEADERS);
    for (name, value) in SECURITY {
        headers.entry(name).or_insert(value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    headers.insert(X_REQUEST_ID, id);
}

/// Tells how many requests are left.
pub(super) fn tell_limit(headers: &mut HeaderMap, decision: &Decision) {
    let reset = decision.reset_after;
    let seconds = reset
        .as_secs()
        .saturating_add(u64::from(reset.subsec_nanos() > 0));
    headers.insert(RATE_LIMIT_LIMIT, decision.limit.into());
    headers.insert(RATE_LIMIT_REMAINING, decision.remaining.into());
    headers.insert(RATE_LIMIT_RESET, seconds.into());
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", true)]
    #[case("0199c0de-0000-7000-8000-00000000abcd", true)]
    #[case("Root=1.2_3-x", false)]
    #[case("", false)]
    #[case("a b", false)]
    #[case("a\tb", false)]
    #[case("é", false)]
    fn c11_only_a_sane_request_id_is_kept(#[case] id: &str, #[case] is_kept: bool) {
        assert_eq!(is_sane(id.as_bytes()), is_kept);
        assert!(is_sane(&[b'a'; MAX_ID_BYTES]) && !is_sane(&[b'a'; MAX_ID_BYTES + 1]));
    }
}
