//! From the wire to typed values: bodies, query strings, path segments.
//!
//! What can't be read is refused with 400 and its position; what can be read and isn't acceptable with 422 and
//! its path. Nothing is ignored: unknown fields and parameters are refused whatever the target type says.

mod body;
mod decode;
mod json;
mod query;
mod query_limit;
mod list;

use std::str::FromStr;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
};
use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use model::{Error, ErrorCode};
use serde::de::DeserializeOwned;

use crate::{config::Edge, failure::Failure, state::AppState};

pub use self::json::MAX_DEPTH;
pub use self::query_limit::Limit;

pub(crate) use self::list::{ListQuery, NoFilter};

/// A JSON body, which must be there.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// A JSON body, or none.
#[derive(Clone, Copy, Debug)]
pub struct OptionalJson<T>(pub Option<T>);

/// A JSON body together with its bytes, for requests that can be repeated.
#[derive(Clone, Debug)]
pub(crate) struct RawJson<T> {
    /// What it says.
    pub(crate) value: Option<T>,
    /// How it says it.
    pub(crate) bytes: Bytes,
}

/// The bytes of a JSON body that another reader takes apart: of the right kind, within the limits of size and time;
/// empty when there is none.
///
/// # Errors
/// `UnsupportedMediaType`, `TooLarge`, `TooSlow`, `Malformed` when it breaks off.
pub(crate) async fn json_bytes(headers: &HeaderMap, body: Body, edge: &Edge) -> model::Result<Bytes> {
    if !http_body::Body::is_end_stream(&body) {
        body::require_json(headers)?;
    }
    body::read(body, edge).await
}

/// The query string.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

/// The one variable segment of the path; what can't be read leads nowhere, so it is not found.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        match RawJson::read(request, state).await?.value {
            Some(value) => Ok(Self(value)),
            None => Err(Error::new(ErrorCode::MalformedJson, "the body is empty; JSON is needed").into()),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        RawJson::read(request, state).await.map(|raw| Self(raw.value))
    }
}

impl<T: DeserializeOwned> RawJson<T> {
    /// Reads a body; an empty one has no value.
    pub(crate) async fn read(request: Request, state: &AppState) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = json_bytes(&parts.headers, body, state.edge()).await?;
        if bytes.is_empty() {
            return Ok(Self { value: None, bytes });
        }
        let value = decode::from_value(json::parse(&bytes)?)?;
        Ok(Self {
            value: Some(value),
            bytes,
        })
    }
}

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Failure> {
        let pairs = query::pairs(parts.uri.query().unwrap_or_default())?;
        Ok(Self(decode::from_pairs(pairs, &[])?))
    }
}

impl<T: FromStr> FromRequestParts<AppState> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let first = params.as_ref().and_then(|params| params.iter().next());
        let parsed = first.and_then(|(_, text)| text.parse().ok());
        parsed.map(Self).ok_or_else(|| Error::not_found("thing").into())
    }
}
