//! The route table, and the OpenAPI document that follows from it.
//!
//! A path is written once, beside its handler. What stands under `/api/v1` also answers under `/api`; the
//! document names the first. Everything under `/mcp` and the routes that are no part of the interface stand alone.

use axum::{Extension, Router};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{openapi, rest::docs::Docs, state::AppState};

mod user;
mod auth;
mod security_event;
mod key;
pub(crate) mod execution;
mod plugin;
pub(crate) mod task;
mod health;
mod metrics;
mod docs;
pub(crate) mod protected_resource;
mod setup;

/// Every route, without the layers around them.
pub fn router() -> Router<AppState> {
    let api: Router<AppState> = interface().into();
    let others: Router<AppState> = tools().merge(operations()).into();
    let pages: Router<AppState> = pages().into();
    others
        .nest("/api/v1", api.clone())
        .nest("/api", api)
        .merge(pages.layer(Extension(Docs::new(openapi))))
}

/// The routes for machines that look after the server, and no others: those of a process that answers no callers.
pub fn watching() -> Router<AppState> {
    operations().into()
}

/// The OpenAPI document. It takes some milliseconds and megabytes to draw.
#[must_use]
pub fn openapi() -> Value {
    let drawn = OpenApiRouter::default()
        .nest("/api/v1", interface())
        .merge(tools())
        .merge(operations())
        .merge(pages());
    openapi::complete(drawn.into_openapi())
}

/// What stands under `/api/v1` and `/api`.
fn interface() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(auth::register))
        .routes(routes!(auth::log_in))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::log_out))
        .routes(routes!(auth::log_out_everywhere))
        .routes(routes!(auth::read_profile, auth::update_profile))
        .routes(routes!(auth::change_password))
        .routes(routes!(security_event::list))
        .routes(routes!(key::generate))
        .routes(routes!(key::read_presented))
        .routes(routes!(key::list))
        .routes(routes!(key::update, key::revoke))
        .routes(routes!(user::list))
        .routes(routes!(user::overview))
        .routes(routes!(user::read, user::update, user::delete))
        .routes(routes!(task::list, task::create))
        .routes(routes!(task::create_many))
        .routes(routes!(task::stats))
        .routes(routes!(task::read, task::update, task::delete))
        .routes(routes!(task::execute))
        .routes(routes!(task::cancel))
        .routes(routes!(task::answer))
        .routes(routes!(task::retry))
        .routes(routes!(task::pause))
        .routes(routes!(task::resume))
        .routes(routes!(task::attempts))
}

/// What stands under `/mcp`; the bare path belongs to the protocol of that name.
fn tools() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(plugin::execute))
        .routes(routes!(plugin::list))
        .routes(routes!(plugin::read))
        .routes(routes!(execution::list))
        .routes(routes!(execution::read))
}

/// What machines ask that look after the server. Not counted against any limit.
fn operations() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(health::overview))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::database))
        .routes(routes!(health::cache))
        .routes(routes!(metrics::read))
}

/// What people open in a browser.
fn pages() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(docs::document))
        .routes(routes!(docs::redirect))
        .routes(routes!(docs::page))
        .routes(routes!(docs::file))
        .routes(routes!(protected_resource::read))
        .routes(routes!(protected_resource::read_root))
        .routes(routes!(setup::show, setup::submit))
        .routes(routes!(setup::style))
}
