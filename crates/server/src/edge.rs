//! The edge: from a socket to the routes, and back.
//!
//! A connection goes through a strict reader (`socket`) into HTTP (`connection`), a request through one layer
//! (`layer`) that gives it an id, refuses foreign hosts and origins, bounds its time, catches panics, and sets the
//! headers that every answer has.

mod framing;
mod socket;
mod connection;
mod origin;
mod headers;
mod exchange;
mod layer;
mod listener;

use std::time::Duration;

use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use model::{Error, ErrorCode};
use tokio::net::TcpListener;

use crate::{failure::Failure, principal::Counted, state::AppState};

/// Serves routes until the state's `stopping` is cancelled; then waits up to `grace` for requests in flight, and ends
/// what is left.
pub async fn serve(listener: TcpListener, routes: Router<AppState>, state: AppState, grace: Duration) {
    let router = dress(routes, state.clone());
    listener::run(listener, router, &state, grace).await;
}

/// Puts the edge around routes, and answers for the paths and methods that have none.
fn dress(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .fallback(unmatched)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(layer::Edge::new(state.clone()))
        .with_state(state)
}

async fn unmatched(_: Counted) -> Failure {
    Error::new(ErrorCode::NotFound, "there is nothing at this path").into()
}

/// The router adds `Allow` to whatever this answers.
async fn method_not_allowed(_: Counted, method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let message = "this path does not support the method; Allow names those that it does";
    Failure::from(Error::new(ErrorCode::MethodNotAllowed, message)).into_response()
}
