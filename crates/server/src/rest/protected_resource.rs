//! What clients of the protocol under `/mcp` are told about signing in (RFC 9728).

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use model::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    envelope::json_response, failure::Failure, place::Place, request::RequestContext, state::AppState,
};

/// The path of the document about `/mcp`; the form without `/mcp` is answered alike.
pub(crate) const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

/// The scopes of what clients do under `/mcp`.
const SCOPES: [Scope; 4] = [
    Scope::PluginsExecute,
    Scope::TasksRead,
    Scope::TasksWrite,
    Scope::HistoryRead,
];

/// What is protected, and how a credential is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProtectedResource {
    /// What tokens are for.
    resource: String,
    #[schema(example = "MCP Server")]
    resource_name: &'static str,
    /// What a credential can be narrowed to that is of use there.
    #[schema(value_type = Vec<String>)]
    scopes_supported: Vec<String>,
    /// Never in the query string.
    #[schema(value_type = Vec<String>)]
    bearer_methods_supported: [&'static str; 1],
    /// For people.
    resource_documentation: String,
}

/// Read how to sign in to `/mcp`
///
/// Protected Resource Metadata (RFC 9728). No authorization server is named: tokens come of signing in to this server's
/// REST interface, keys are made there.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource/mcp", tag = "Pages", operation_id = "readProtectedResource",
    responses((status = 200, description = "The metadata", body = ProtectedResource)),
)]
pub(crate) async fn read(State(state): State<AppState>, request: Request) -> Result<Response, Failure> {
    describe(&state, request)
}

/// Read how to sign in to this server
///
/// The same as below `/mcp`, for clients that look here.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource", tag = "Pages", operation_id = "readProtectedRoot",
    responses((status = 200, description = "The metadata", body = ProtectedResource)),
)]
pub(crate) async fn read_root(State(state): State<AppState>, request: Request) -> Result<Response, Failure> {
    describe(&state, request)
}

fn describe(state: &AppState, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let peer = RequestContext::of(&parts)?.peer();
    let base = Place::of(&parts.uri, &parts.headers, peer, state.edge()).url();
    let document = ProtectedResource {
        resource: format!("{base}/mcp"),
        resource_name: "MCP Server",
        scopes_supported: SCOPES.iter().map(ToString::to_string).collect(),
        bearer_methods_supported: ["header"],
        resource_documentation: format!("{base}/docs/"),
    };
    Ok(json_response(StatusCode::OK, &document))
}
