//! The form of every successful JSON answer: one thing, or a page of a list.

use axum::response::{IntoResponse, Response};
use engine::Listing;
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::{Failure, JSON};

/// The body of a successful answer: `{"ok":true,"data":…}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always true.
    ok: bool,
    /// What was asked for.
    data: T,
}

/// The body of a list: `{"ok":true,"data":[…],"page":{…}}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListEnvelope<T> {
    /// Always true.
    ok: bool,
    /// The entries of this page, in the order asked for.
    data: Vec<T>,
    /// Which part of the list this is.
    page: PageView,
}

/// Which part of a list an answer holds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageView {
    /// How many entries a page holds at most.
    #[schema(minimum = 1, maximum = 100)]
    limit: u16,
    /// Leads to the next page, sent as `cursor`; null on the last one.
    next_cursor: Option<String>,
    /// How many entries all pages together hold.
    #[schema(minimum = 0)]
    total: u64,
}

/// A successful answer: 200, or 201 for something new.
#[derive(Debug)]
pub struct Success<T> {
    status: StatusCode,
    data: T,
}

impl<T> Success<T> {
    /// Answers with what was asked for.
    pub const fn ok(data: T) -> Self {
        Self {
            status: StatusCode::OK,
            data,
        }
    }

    /// Answers with what was made.
    pub const fn created(data: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            data,
        }
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        json_response(
            self.status,
            &Envelope {
                ok: true,
                data: self.data,
            },
        )
    }
}

/// One page of a list as an answer.
#[derive(Debug)]
pub struct List<T>(ListEnvelope<T>);

impl<T> List<T> {
    /// Shows each entry of a listing by `view`.
    pub fn of<U>(listing: Listing<U>, view: impl FnMut(U) -> T) -> Self {
        let page = PageView {
            limit: listing.limit.get(),
            next_cursor: listing.next_cursor,
            total: listing.total,
        };
        Self(ListEnvelope {
            ok: true,
            data: listing.items.into_iter().map(view).collect(),
            page,
        })
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        json_response(StatusCode::OK, &self.0)
    }
}

/// Answers with `body` as JSON, bare: callers put an envelope around it.
pub(crate) fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, JSON)], bytes).into_response(),
        Err(error) => Failure::from(model::Error::bug(error)).into_response(),
    }
}
