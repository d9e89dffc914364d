//! The headers that every answer has, and the id that every request has.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use model::{Decision, Ids};
use uuid::{Uuid, fmt::Hyphenated};

/// Names a request; kept when the caller's is sane.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const UNKNOWN: HeaderValue = HeaderValue::from_static("unknown");

/// Longest request id of a caller that is kept, in bytes.
const MAX_ID_BYTES: usize = 128;

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

/// What is prepared once for all answers.
#[derive(Debug)]
pub(super) struct Prepared {
    ids: RequestIds,
    headers: HeaderMap,
}

impl Prepared {
    /// The ids of requests follow those that `ids` hands out now.
    pub(super) fn new(ids: &dyn Ids) -> Self {
        let mut headers: HeaderMap = SECURITY.into_iter().collect();
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        headers.insert(X_REQUEST_ID, UNKNOWN);
        Self {
            ids: RequestIds::new(ids),
            headers,
        }
    }

    /// The caller's id of the request when it is sane (1 to 128 letters, digits, dots, underscores, hyphens), else a
    /// new one.
    pub(super) fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(X_REQUEST_ID).filter(|id| is_sane(id.as_bytes()));
        given.cloned().unwrap_or_else(|| {
            let mut text = [0; Hyphenated::LENGTH];
            let id = self.ids.next().hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(id).unwrap_or(UNKNOWN)
        })
    }

    /// Sets what every answer has; what the route has set stays.
    pub(super) fn complete(&self, headers: &mut HeaderMap, id: HeaderValue) {
        // Copying a filled map and adding the few others is cheaper than filling one.
        let own = std::mem::replace(headers, self.headers.clone());
        headers.extend(own);
        headers.insert(X_REQUEST_ID, id);
    }
}

/// Hands out ids for requests: unique and growing like those of [`Ids`], for a tenth of their cost.
///
/// They need not be hard to guess, so randomness is asked for only once.
#[derive(Debug)]
struct RequestIds {
    first: u128,
    started: Instant,
    count: AtomicU64,
}

impl RequestIds {
    fn new(ids: &dyn Ids) -> Self {
        Self {
            first: ids.next().as_u128(),
            started: Instant::now(),
            count: AtomicU64::new(0),
        }
    }

    /// A UUID of version 7 (RFC 9562 §5.7): the time, twelve bits of this process, and a count from a random start.
    fn next(&self) -> Uuid {
        const COUNT_BITS: u32 = 62;
        const TIME_SHIFT: u32 = 80;
        let elapsed = self.started.elapsed().as_millis() << TIME_SHIFT;
        let count = u128::from(self.count.fetch_add(1, Relaxed));
        let counted = (self.first + count) & ((1 << COUNT_BITS) - 1);
        Uuid::from_u128((self.first >> COUNT_BITS << COUNT_BITS) + elapsed + counted)
    }
}

fn is_sane(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(is_plain)
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
    use std::collections::HashSet;

    use rstest::rstest;

    use super::*;

    struct Fixed(Uuid);

    impl Ids for Fixed {
        fn next(&self) -> Uuid {
            self.0
        }
    }

    #[test]
    fn request_ids_are_of_version_7_and_never_the_same() {
        let first = "0199c0de-0000-7abc-bfff-ffffffffffff".parse().unwrap();
        let ids = RequestIds::new(&Fixed(first));
        let handed: HashSet<_> = (0..1_000).map(|_| ids.next()).collect();
        assert_eq!(handed.len(), 1_000);
        for id in handed {
            assert_eq!(
                (id.get_version_num(), id.get_variant()),
                (7, uuid::Variant::RFC4122),
                "{id}"
            );
            assert!(id.to_string().starts_with("0199c0de-"), "{id}");
        }
    }

    #[test]
    fn what_a_route_has_set_stays() {
        let prepared = Prepared::new(&Fixed(Uuid::nil()));
        let mut headers = HeaderMap::new();
        headers.append(header::VARY, HeaderValue::from_static("a"));
        headers.append(header::VARY, HeaderValue::from_static("b"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        prepared.complete(&mut headers, HeaderValue::from_static("id"));
        assert_eq!(headers.get_all(header::VARY).iter().count(), 2);
        assert_eq!(headers[header::CACHE_CONTROL], "max-age=60");
        assert_eq!(headers[X_REQUEST_ID], "id");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "SAMEORIGIN");
    }

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
