//! Access and refresh tokens: JSON Web Tokens (RFC 7519) that only this server makes and reads.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use model::{Error, ErrorCode, Ids, Result, Secret, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// The most bytes of a token. Ours have some 400; what is longer isn't looked at.
pub(crate) const MAX_TOKEN_BYTES: usize = 4096;

/// How much longer than it says a token is accepted.
const LEEWAY: Duration = Duration::from_secs(1);

/// By how much the clock of the machine that made a token may be ahead of ours. Nobody but us makes tokens, so that one
/// which isn't valid yet harms nobody; but whoever signed in there a moment ago must be served here.
const AHEAD: Duration = Duration::from_secs(30);

/// Who makes the tokens.
const ISSUER: &str = "mcp-server";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenUse {
    /// Sent with each request.
    Access,
    /// Sent once, for the next pair.
    Refresh,
}

impl TokenUse {
    /// The header's `typ`; the one of access tokens is that of RFC 9068 §2.1.
    fn header_type(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }

    fn audience(self) -> &'static str {
        match self {
            Self::Access => "mcp-server:access",
            Self::Refresh => "mcp-server:refresh",
        }
    }
}

/// What a token says once its signature and times are found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    /// Whose it is.
    pub(crate) user_id: UserId,
    /// The session that it belongs to.
    pub(crate) session_id: SessionId,
    /// The first moment at which it isn't accepted any more.
    pub(crate) accepted_until: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Makes and reads the tokens of one use. HMAC-SHA-256 with a secret of its own, and nothing else, is accepted.
pub(crate) struct Tokens {
    used_for: TokenUse,
    lifetime: Duration,
    header: Header,
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub(crate) fn new(used_for: TokenUse, secret: &Secret, lifetime: Duration) -> Self {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(used_for.header_type().to_owned());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[used_for.audience()]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        // The library reads the machine's clock; times are compared with ours below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            used_for,
            lifetime,
            header,
            signing: EncodingKey::from_secret(secret.expose().as_bytes()),
            checking: DecodingKey::from_secret(secret.expose().as_bytes()),
            validation,
        }
    }

    /// The moment at which a token made now expires; whole seconds, as in the token.
    pub(crate) fn expiry(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.plus(self.lifetime).as_secs().saturating_mul(1000))
    }

    /// Makes a token; no two are the same.
    ///
    /// # Errors
    /// `Bug` when the library refuses, which it has no reason to.
    pub(crate) fn issue(
        &self,
        user_id: UserId,
        session_id: SessionId,
        ids: &dyn Ids,
        now: Timestamp,
    ) -> Result<Secret> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: self.used_for.audience().to_owned(),
            sub: user_id,
            sid: session_id,
            jti: ids.next().simple().to_string(),
            iat: now.as_secs(),
            nbf: now.as_secs(),
            exp: self.expiry(now).as_secs(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
            .map(Secret::new)
            .map_err(Error::bug)
    }

    /// Reads a token that this server made for this use and that is valid at `now`, by a clock that may differ a little.
    ///
    /// # Errors
    /// `InvalidToken`, whatever the reason; the log sees it.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Result<TokenFacts> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refused().source("the token is too long"));
        }
        let read = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation)
            .map_err(|error| refused().source(error))?;
        // Exactly what we write: so no `crit`, `jwk`, `jku`, `kid`, `x5u` or anything else to be followed.
        if read.header != self.header {
            return Err(refused().source("the token's header isn't ours"));
        }
        let Claims {
            sub, sid, nbf, exp, ..
        } = read.claims;
        let accepted_from = Timestamp::from_millis(nbf.saturating_mul(1000)).minus(AHEAD);
        let accepted_until = Timestamp::from_millis(exp.saturating_mul(1000)).plus(LEEWAY);
        if now < accepted_from || now >= accepted_until {
            return Err(refused().source("the token is expired or not yet valid"));
        }
        Ok(TokenFacts {
            user_id: sub,
            session_id: sid,
            accepted_until,
        })
    }
}

/// The one refusal of every credential, so that nobody learns why.
pub(crate) fn refused() -> Error {
    Error::new(
        ErrorCode::InvalidToken,
        "the token or key is not valid; sign in again or use another key",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    const SECRET: &str = "an access secret of thirty-two bytes or more";
    const LIFETIME: Duration = Duration::from_secs(600);

    struct Counting(AtomicU64);

    impl Ids for Counting {
        fn next(&self) -> Uuid {
            Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
        }
    }

    fn tokens(used_for: TokenUse) -> Tokens {
        Tokens::new(used_for, &Secret::new(SECRET), LIFETIME)
    }

    fn now() -> Timestamp {
        "2026-06-01T12:00:00.500Z".parse().unwrap()
    }

    fn user() -> UserId {
        UserId::from_uuid(Uuid::from_u128(1))
    }

    fn session() -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(2))
    }

    fn issue(used_for: TokenUse) -> String {
        let ids = Counting(AtomicU64::new(0));
        let token = tokens(used_for).issue(user(), session(), &ids, now()).unwrap();
        token.expose().to_owned()
    }

    fn is_accepted(token: &str, at: Timestamp) -> bool {
        tokens(TokenUse::Access).read(token, at).is_ok()
    }

    /// A token with a right signature over whatever header and claims.
    fn forged(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    fn header() -> Value {
        json!({"typ": "at+jwt", "alg": "HS256"})
    }

    fn claims() -> Value {
        let at = now().as_secs();
        json!({
            "iss": "mcp-server", "aud": "mcp-server:access", "sub": user(), "sid": session(), "jti": "1",
            "iat": at, "nbf": at, "exp": at + 600,
        })
    }

    fn with(mut object: Value, key: &str, value: Value) -> Value {
        object[key] = value;
        object
    }

    #[test]
    fn a_token_says_whose_it_is_until_it_expires() {
        let facts = tokens(TokenUse::Access)
            .read(&issue(TokenUse::Access), now())
            .unwrap();
        assert_eq!((facts.user_id, facts.session_id), (user(), session()));
        assert!(
            is_accepted(&forged(&header(), &claims()), now()),
            "the forger works"
        );
    }

    #[test]
    fn a10_a_token_is_refused_a_second_after_it_expired_and_long_before_it_is_valid() {
        let token = issue(TokenUse::Access);
        let expiry = tokens(TokenUse::Access).expiry(now());
        assert!(is_accepted(&token, expiry.plus(Duration::from_millis(999))));
        assert!(!is_accepted(&token, expiry.plus(Duration::from_secs(1))));
        let issued = Timestamp::from_millis(now().as_secs() * 1000);
        assert!(!is_accepted(&token, issued.minus(Duration::from_millis(30_001))));
    }

    #[test]
    fn g07_a_token_of_a_machine_whose_clock_is_half_a_minute_ahead_is_accepted() {
        let issued = Timestamp::from_millis(now().as_secs() * 1000);
        assert!(is_accepted(&issue(TokenUse::Access), issued.minus(AHEAD)));
    }

    #[test]
    fn a11_a_refresh_token_is_no_access_token_nor_the_reverse() {
        assert!(!is_accepted(&issue(TokenUse::Refresh), now()));
        let access = issue(TokenUse::Access);
        assert!(tokens(TokenUse::Refresh).read(&access, now()).is_err());
    }

    #[rstest]
    #[case(with(header(), "alg", json!("none")))]
    #[case(with(header(), "alg", json!("None")))]
    #[case(with(header(), "alg", json!("HS512")))]
    #[case(with(header(), "alg", json!("RS256")))]
    #[case(with(header(), "alg", json!(["HS256"])))]
    #[case(with(header(), "typ", json!("JWT")))]
    #[case(with(header(), "typ", json!("rt+jwt")))]
    #[case(json!({"alg": "HS256"}))]
    #[case(with(header(), "kid", json!("../../../../dev/null")))]
    #[case(with(header(), "kid", json!("' OR 1=1 --")))]
    #[case(with(header(), "jku", json!("http://127.0.0.1:1/keys")))]
    #[case(with(header(), "x5u", json!("http://127.0.0.1:1/cert")))]
    #[case(with(header(), "jwk", json!({"kty": "oct", "k": "AAAA"})))]
    #[case(with(header(), "crit", json!(["exp"])))]
    #[case(with(header(), "anything", json!(true)))]
    #[case(json!([]))]
    fn a09_any_other_header_is_refused(#[case] header: Value) {
        assert!(!is_accepted(&forged(&header, &claims()), now()));
    }

    #[rstest]
    #[case("iss", json!("another"))]
    #[case("iss", json!(["mcp-server"]))]
    #[case("aud", json!("another"))]
    #[case("aud", json!(["mcp-server:access"]))]
    #[case("sub", json!("someone"))]
    #[case("sub", Value::Null)]
    #[case("sid", json!(7))]
    #[case("exp", json!("tomorrow"))]
    #[case("exp", json!(1e300))]
    #[case("exp", json!(i64::MIN))]
    #[case("nbf", json!(i64::MAX))]
    #[case("role", json!("admin"))]
    fn a10_any_other_claim_is_refused(#[case] name: &str, #[case] value: Value) {
        assert!(!is_accepted(
            &forged(&header(), &with(claims(), name, value)),
            now()
        ));
    }

    proptest! {
        #[test]
        fn a09_texts_in_the_form_of_a_token_are_refused(text in r"[A-Za-z0-9_-]{0,60}(\.[A-Za-z0-9_=-]{0,80}){0,4}") {
            prop_assert!(!is_accepted(&text, now()));
        }

        #[test]
        fn a09_a_token_with_any_bit_changed_is_refused(position: prop::sample::Index, bit in 0_u8..7) {
            let mut bytes = issue(TokenUse::Access).into_bytes();
            let position = position.index(bytes.len());
            bytes[position] ^= 1_u8 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(!is_accepted(&changed, now()), "{}", changed);
        }
    }

    #[test]
    fn a09_what_is_no_token_of_ours_is_refused() {
        let token = issue(TokenUse::Access);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let other = Tokens::new(
            TokenUse::Access,
            &Secret::new("another secret, as long as it must be"),
            LIFETIME,
        );
        assert!(other.read(&token, now()).is_err(), "another secret");
        for text in [
            String::new(),
            "..".into(),
            header.into(),
            message.into(),
            format!("{message}."),
            format!("{header}{claims}{signature}"),
            format!("{token}."),
            format!("{token}="),
            format!(" {token}"),
            format!("{header}.{claims}A.{signature}"),
            "a".repeat(1_000_000),
            format!("{token}{}", "A".repeat(1_000_000)),
        ] {
            assert!(!is_accepted(&text, now()), "{text:.80}");
        }
    }
}
