//! Guards: from the credential of a request to its principal.
//!
//! A handler names one guard, before everything else that it takes from the request. The guard reads the
//! credential, counts the request and passes or refuses. The five forms: [`TokenOrKey`], [`TokenOnly`], [`KeyOnly`],
//! [`WithRole`], [`Optional`]. Two more only count: [`Anonymous`] for routes that look at no credential, and
//! [`Counted`] for answers that are the same whoever asks. A route without a guard is not counted.

use std::{marker::PhantomData, sync::Arc};

use axum::extract::FromRequestParts;
use engine::Presented;
use http::{HeaderMap, HeaderName, header, request::Parts};
use model::{CredentialRule, Decision, Error, ErrorCode, ErrorKind, Principal, Role};

use crate::{address::client_address, failure::Failure, request::RequestContext, state::AppState};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Passes with an access token or an API key.
#[derive(Clone, Debug)]
pub struct TokenOrKey(pub Arc<Principal>);

/// Passes with an access token.
#[derive(Clone, Debug)]
pub struct TokenOnly(pub Arc<Principal>);

/// Passes with an API key.
#[derive(Clone, Debug)]
pub struct KeyOnly(pub Arc<Principal>);

/// Passes with an access token or an API key of a principal with at least the role `R`.
#[derive(Clone, Debug)]
pub struct WithRole<R>(pub Arc<Principal>, PhantomData<R>);

/// Passes without a credential, too; refuses one that isn't accepted.
#[derive(Clone, Debug)]
pub struct Optional(pub Option<Arc<Principal>>);

/// Looks at no credential: signing in must work with an expired token beside it. Counts against the address.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

/// Counts the request against its principal, or its address when its credential isn't accepted.
#[derive(Clone, Copy, Debug)]
pub struct Counted;

/// A role as a type, for [`WithRole`].
pub trait LeastRole: Send {
    /// The role.
    const ROLE: Role;
}

/// The role `developer`.
#[derive(Clone, Copy, Debug)]
pub struct Developer;

/// The role `admin`.
#[derive(Clone, Copy, Debug)]
pub struct Admin;

impl LeastRole for Developer {
    const ROLE: Role = Role::Developer;
}

impl LeastRole for Admin {
    const ROLE: Role = Role::Admin;
}

impl FromRequestParts<AppState> for TokenOrKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        require(admit(parts, state).await?, CredentialRule::TokenOrKey).map(Self)
    }
}

impl FromRequestParts<AppState> for TokenOnly {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        require(admit(parts, state).await?, CredentialRule::TokenOnly).map(Self)
    }
}

impl FromRequestParts<AppState> for KeyOnly {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        require(admit(parts, state).await?, CredentialRule::KeyOnly).map(Self)
    }
}

impl<R: LeastRole> FromRequestParts<AppState> for WithRole<R> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let principal = require(admit(parts, state).await?, CredentialRule::TokenOrKey)?;
        if principal.role < R::ROLE {
            let message = format!("this needs the role {}", R::ROLE);
            return Err(Error::new(ErrorCode::Forbidden, message).into());
        }
        Ok(Self(principal, PhantomData))
    }
}

impl FromRequestParts<AppState> for Optional {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        admit(parts, state).await.map(Self)
    }
}

impl FromRequestParts<AppState> for Anonymous {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        count(None, parts, state).await?;
        Ok(Self)
    }
}

impl FromRequestParts<AppState> for Counted {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        match admit(parts, state).await {
            Err(failure) if failure.error().kind() == ErrorKind::Unauthenticated => Ok(Self),
            Err(failure) => Err(failure),
            Ok(_) => Ok(Self),
        }
    }
}

/// Passes when there is a principal that showed the kind of credential asked for.
fn require(principal: Option<Arc<Principal>>, rule: CredentialRule) -> Result<Arc<Principal>, Failure> {
    let message = "this needs a credential: Authorization: Bearer <token>, or X-API-Key: <key>";
    let principal = principal.ok_or_else(|| Error::new(ErrorCode::Unauthenticated, message))?;
    principal.require_credential(rule)?;
    Ok(principal)
}

/// Finds out who asks, and counts the request: against the principal, or against the address when no credential
/// came or none was accepted.
async fn admit(parts: &Parts, state: &AppState) -> Result<Option<Arc<Principal>>, Failure> {
    let found = match Credentials::read(&parts.headers) {
        Ok(credentials) => credentials.authenticate(state).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(principal) => {
            if let Some(principal) = &principal {
                RequestContext::of(parts)?.note_principal(principal);
            }
            count(principal.as_deref(), parts, state).await?;
            Ok(principal)
        }
        Err(error) => {
            if error.kind() != ErrorKind::Unavailable {
                count(None, parts, state).await?;
            }
            Err(error.into())
        }
    }
}

/// Counts one request, and refuses it when there were too many.
async fn count(principal: Option<&Principal>, parts: &Parts, state: &AppState) -> Result<(), Failure> {
    let context = RequestContext::of(parts)?;
    let address = client_address(context.peer(), &parts.headers, &state.edge().trusted_proxies);
    let decision = state.engine().count_request(principal, address).await?;
    context.note_decision(decision);
    if decision.is_allowed {
        return Ok(());
    }
    state.metrics().count_rate_limited(principal.is_some());
    Err(too_many(&decision).into())
}

fn too_many(decision: &Decision) -> Error {
    let message = "too many requests; wait as long as Retry-After says";
    Error::new(ErrorCode::RateLimited, message).retry_after(decision.retry_after)
}

/// What a request shows.
struct Credentials<'h> {
    bearer: Option<&'h str>,
    api_key: Option<&'h str>,
}

impl<'h> Credentials<'h> {
    /// Reads both headers. The query string is never looked at: it ends up in logs and histories.
    fn read(headers: &'h HeaderMap) -> model::Result<Self> {
        let bearer = match only(headers, &header::AUTHORIZATION)? {
            Some(value) => Some(bearer_token(value)?),
            None => None,
        };
        Ok(Self {
            bearer,
            api_key: only(headers, &X_API_KEY)?,
        })
    }

    async fn authenticate(self, state: &AppState) -> model::Result<Option<Arc<Principal>>> {
        let engine = state.engine();
        match (self.bearer, self.api_key) {
            (None, None) => Ok(None),
            (None, Some(key)) => engine.authenticate(Presented::ApiKey(key)).await.map(Some),
            (Some(token), None) => engine.authenticate(Presented::Bearer(token)).await.map(Some),
            (Some(token), Some(key)) if token == key => {
                engine.authenticate(Presented::ApiKey(key)).await.map(Some)
            }
            (Some(token), Some(key)) => {
                let bearer = engine.authenticate(Presented::Bearer(token)).await?;
                let holder = engine.authenticate(Presented::ApiKey(key)).await?;
                if bearer.subject == holder.subject {
                    return Ok(Some(bearer));
                }
                let message = "Authorization and X-API-Key belong to different owners; send one of them";
                Err(Error::new(ErrorCode::ConflictingCredentials, message))
            }
        }
    }
}

/// The one value of a header that must not come twice.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> model::Result<Option<&'h str>> {
    let mut values = headers.get_all(name).into_iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        let message = format!("the header {name} was sent more than once");
        return Err(Error::new(ErrorCode::MalformedRequest, message));
    }
    let text = first
        .to_str()
        .map_err(|_| not_accepted("the credential holds characters that none has"))?;
    Ok(Some(text.trim()))
}

fn bearer_token(value: &str) -> model::Result<&str> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(not_accepted(
            "Authorization must be Bearer, followed by a token or key",
        )),
    }
}

fn not_accepted(message: &'static str) -> Error {
    Error::new(ErrorCode::InvalidToken, message)
}
