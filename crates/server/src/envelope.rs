//! The form of every successful JSON answer: one thing, or a page of a list.

use axum::response::{IntoResponse, Response};
use engine::Listing;
use http::{HeaderValue, StatusCode, header};
use model::PageLimit;
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

/// A successful answer: 200, 201 for something new, or 202 for what goes on.
#[derive(Debug)]
pub struct Success<T> {
    status: StatusCode,
    place: Option<String>,
    data: T,
}

impl<T> Success<T> {
    /// Answers with what was asked for.
    pub const fn ok(data: T) -> Self {
        Self::new(StatusCode::OK, data)
    }

    /// Answers with what was made.
    pub const fn created(data: T) -> Self {
        Self::new(StatusCode::CREATED, data)
    }

    /// Answers with what goes on after the answer.
    pub const fn accepted(data: T) -> Self {
        Self::new(StatusCode::ACCEPTED, data)
    }

    /// Says at which path it is: visible ASCII.
    #[must_use]
    pub fn at(self, path: String) -> Self {
        Self {
            place: Some(path),
            ..self
        }
    }

    const fn new(status: StatusCode, data: T) -> Self {
        Self {
            status,
            place: None,
            data,
        }
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        let envelope = Envelope {
            ok: true,
            data: self.data,
        };
        let mut response = json_response(self.status, &envelope);
        if let Some(place) = self.place.and_then(|path| HeaderValue::try_from(path).ok()) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        response
    }
}

/// One page of a list as an answer.
#[derive(Debug)]
pub struct List<T>(ListEnvelope<T>);

impl<T> List<T> {
    /// Shows each entry of a list that has one page only, of up to 100 entries.
    pub fn whole<U>(items: Vec<U>, view: impl FnMut(U) -> T) -> Self {
        let page = PageView {
            limit: PageLimit::MAX,
            next_cursor: None,
            total: u64::try_from(items.len()).unwrap_or(u64::MAX),
        };
        Self(ListEnvelope {
            ok: true,
            data: items.into_iter().map(view).collect(),
            page,
        })
    }

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
