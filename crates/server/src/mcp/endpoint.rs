//! `/mcp` over HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, on},
};
use bytes::Bytes;
use http::{Method, header};
use http_body_util::BodyExt as _;
use protocol::{Host, McpService};

use super::{
    caller::Caller,
    challenge,
    door::Door,
    host::{Terms, host},
    sessions::{Shared, SharedSessions},
};
use crate::{
    extract::json_bytes,
    failure::Failure,
    place::Place,
    principal::TokenOrKey,
    request::{RequestContext, Sender},
    state::AppState,
};

/// The path.
pub const PATH: &str = "/mcp";

/// How much longer than others a request may take.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// The route of the protocol, behind the same guard and limits as all others. Where processes share a memory, sessions
/// are theirs together, and one of the state's tasks hears of the others.
///
/// # Errors
/// `Bug` when its keys can't be derived.
pub fn routes(state: &AppState, terms: Terms) -> model::Result<Router<AppState>> {
    let tasks = state.tasks().clone();
    let mut host = Host {
        cut_off: state.cutting_off().clone(),
        ..host(state.engine(), terms, tasks, state.stopping().clone())?
    };
    if let Some(memory) = state.cache().memory() {
        let bus = state.cache().bus();
        let (clock, random) = (Arc::clone(&host.clock), Arc::clone(&host.random));
        let sessions = Arc::new(SharedSessions::new(Shared { memory, bus }, clock, random));
        let attending = Arc::clone(&sessions).attend(host.stop.clone(), host.cut_off.clone());
        drop(state.tasks().spawn(attending));
        host.sessions = sessions;
    }
    let service = McpService::new(host);
    let methods = MethodFilter::POST.or(MethodFilter::GET).or(MethodFilter::DELETE);
    Ok(Router::new()
        .route(PATH, on(methods, serve))
        .layer(Extension(service)))
}

async fn serve(
    State(state): State<AppState>,
    Extension(service): Extension<McpService<Door>>,
    request: Request,
) -> Response {
    let answered = answer(&state, &service, request).await;
    answered.unwrap_or_else(Failure::into_response)
}

async fn answer(state: &AppState, service: &McpService<Door>, request: Request) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let context = Arc::clone(RequestContext::of(&parts)?);
    let peer = context.peer();
    // A call has a limit of its own, and a client may ask to wait for a task.
    context.note_wait(LONGEST_CALL);
    let place = Place::of(&parts.uri, &parts.headers, peer, state.edge());
    let admitted = TokenOrKey::from_request_parts(&mut parts, state).await;
    let TokenOrKey(principal) = admitted.map_err(|failure| challenge::refuse(failure, &place))?;
    let Sender(client) = Sender::from_request_parts(&mut parts, state).await?;
    let bytes = if parts.method == Method::POST {
        json_bytes(&parts.headers, body, state.edge()).await?
    } else {
        Bytes::new()
    };
    if parts.method == Method::HEAD {
        // Answered as GET is; the router takes the body away, and with it the stream ends.
        parts.method = Method::GET;
    }
    context.note_message(&bytes);
    // What a batch lacks, its parts tell each for itself: others of them may have been carried out.
    let is_batch = bytes.trim_ascii_start().starts_with(b"[");
    let caller = Caller::new(principal, client);
    let response = service
        .handle(caller.clone(), http::Request::from_parts(parts, bytes))
        .await;
    match caller.lack() {
        Some(lack) if !is_batch && !is_stream(&response) => Err(challenge::refuse_for_lack(lack, &place)),
        _ if is_stream(&response) => Ok(response.map(Body::new)),
        _ => Ok(noted(&context, response).await),
    }
}

/// An answer that is known as a whole, after a look at what it says.
async fn noted(context: &RequestContext, response: http::Response<protocol::Body>) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await;
    let message = whole.to_bytes();
    context.note_response(&message);
    Response::from_parts(parts, Body::from(message))
}

/// Tells whether the answer began to be sent before it was known.
fn is_stream(response: &http::Response<protocol::Body>) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE);
    media_type.is_some_and(|name| name.as_bytes().starts_with(b"text/event-stream"))
}
