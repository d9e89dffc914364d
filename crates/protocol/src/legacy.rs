//! The older revisions over HTTP: sessions that begin with `initialize`, and streams that can be resumed.

mod session;
mod event_id;
mod ask;
mod call;
mod batch;
mod initialize;
mod replay;
mod listen;
mod exchange;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, Response, StatusCode, request::Parts};

use crate::{
    accepted::Accepted,
    answer,
    body::Body,
    error::{ErrorCode, RpcError},
    handler::Handler,
    jsonrpc::{self, Id, Message, Request, result_message},
    listeners::Crowded,
    revision::Revision,
    sessions::{ClientAnswer, Weight},
    shared::Shared,
};

pub(crate) use batch::respond_to_batch;
pub(crate) use call::{Desk, running_name};
pub(crate) use initialize::initialize;
pub(crate) use listen::Listener;
use listen::NotListening;

/// The header that names a session.
const SESSION_ID: &str = "mcp-session-id";
/// The header that names a revision.
const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The header that names the last event which a client saw.
const LAST_EVENT_ID: &str = "last-event-id";

/// Something that is said before a response.
#[derive(Debug)]
pub(crate) struct Said {
    /// What it is worth.
    pub(crate) weight: Weight,
    /// A message of JSON-RPC.
    pub(crate) message: Bytes,
}

/// Answers one HTTP request that speaks an older revision, or none yet.
pub(crate) async fn handle<H: Handler>(
    shared: &Arc<Shared<H>>,
    caller: H::Caller,
    parts: &Parts,
    body: Bytes,
) -> Response<Body> {
    let answered = match parts.method {
        Verb::POST => post(shared, caller, &parts.headers, &body).await,
        Verb::GET => get(shared, caller, &parts.headers).await,
        Verb::DELETE => delete(shared, caller, &parts.headers).await,
        _ => Ok(answer::verb_not_allowed("GET, POST, DELETE")),
    };
    answered.unwrap_or_else(|refused| refused.into_response())
}

/// Why an HTTP request has no better answer than its status.
struct Refused {
    status: StatusCode,
    id: Option<Id>,
    error: Box<RpcError>,
}

impl Refused {
    fn new(status: StatusCode, code: ErrorCode, message: &str) -> Self {
        let error = RpcError::new(code, message);
        Self {
            status,
            id: None,
            error: Box::new(error),
        }
    }

    /// As the answer to one request.
    fn answering(self, id: Id) -> Self {
        Self { id: Some(id), ..self }
    }

    fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, message)
    }

    fn into_response(self) -> Response<Body> {
        answer::refused(
            self.status,
            self.id.as_ref(),
            &self.error,
            Revision::LATEST_WITH_SESSIONS,
        )
    }
}

/// Opens the session that a request names.
async fn enter<H: Handler>(
    shared: &Arc<Shared<H>>,
    caller: H::Caller,
    headers: &HeaderMap,
) -> Result<Desk<H>, Refused> {
    if let Some(version) = headers.get(PROTOCOL_VERSION) {
        let revision = version.to_str().ok().and_then(Revision::find);
        if revision.is_none_or(Revision::is_stateless) {
            return Err(Refused::bad(
                "`MCP-Protocol-Version` names no revision with sessions that is spoken here",
            ));
        }
    }
    let id = headers.get(SESSION_ID);
    let id = id.ok_or_else(|| Refused::bad("`Mcp-Session-Id` is missing: begin with `initialize`"))?;
    let gone = || {
        let message = "Session not found: begin another with `initialize`";
        Refused::new(StatusCode::NOT_FOUND, ErrorCode::InvalidRequest, message)
    };
    let principal = shared.handler.principal_of(&caller);
    let id = id.to_str().map_err(|_| gone())?;
    let session = session::open(&*shared.seal, &principal, id, (shared.clock)()).ok_or_else(gone)?;
    let standing = shared.sessions.standing(session.key).await;
    if standing.ended {
        return Err(gone());
    }
    Ok(Desk {
        shared: Arc::clone(shared),
        session: Arc::new(session),
        caller,
        log_level: standing.log_level,
    })
}

async fn post<H: Handler>(
    shared: &Arc<Shared<H>>,
    caller: H::Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Body>, Refused> {
    let refuse = |refusal: jsonrpc::Refusal| Refused {
        status: StatusCode::BAD_REQUEST,
        id: refusal.id,
        error: refusal.error,
    };
    if jsonrpc::is_batch(body) {
        let desk = enter(shared, caller, headers).await?;
        if desk.session.revision != Revision::V2025_03_26 {
            return Err(Refused::bad("this revision has no batches: send one message"));
        }
        let batch = jsonrpc::parse_batch(body).map_err(refuse)?;
        return Ok(exchange::answer_batch(desk, batch, Accepted::read(headers)).await);
    }
    match jsonrpc::parse(body).map_err(refuse)? {
        Message::Request(request) if request.method == "initialize" => begin(shared, &caller, request),
        Message::Request(request) => {
            let entered = enter(shared, caller, headers).await;
            let desk = entered.map_err(|refused| refused.answering(request.id.clone()))?;
            Ok(exchange::answer(desk, request, Accepted::read(headers)).await)
        }
        message @ (Message::Notification(_) | Message::Response(_)) => {
            let desk = enter(shared, caller, headers).await?;
            take(&desk, message).await.map_err(|error| Refused {
                status: StatusCode::BAD_REQUEST,
                id: None,
                error: Box::new(error),
            })?;
            Ok(answer::taken())
        }
    }
}

fn begin<H: Handler>(
    shared: &Arc<Shared<H>>,
    caller: &H::Caller,
    request: Request,
) -> Result<Response<Body>, Refused> {
    let (session, result) = match initialize(shared, &request.params) {
        Ok(begun) => begun,
        Err(error) => {
            let revision = Revision::LATEST_WITH_SESSIONS;
            return Ok(answer::refused(
                StatusCode::OK,
                Some(&request.id),
                &error,
                revision,
            ));
        }
    };
    let principal = shared.handler.principal_of(caller);
    let id = session::seal(&*shared.seal, &principal, &session);
    let id = id.and_then(|id| HeaderValue::try_from(id).ok());
    let id = id.ok_or_else(|| Refused {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        id: Some(request.id.clone()),
        error: Box::new(RpcError::internal()),
    })?;
    let mut response = answer::json(StatusCode::OK, result_message(&request.id, &result));
    response.headers_mut().insert(SESSION_ID, id);
    Ok(response)
}

/// Takes a message that wants no answer.
///
/// # Errors
/// `InvalidRequest` for an answer that nobody waits for.
pub(crate) async fn take<H: Handler>(desk: &Desk<H>, message: Message) -> Result<(), RpcError> {
    let sessions = &desk.shared.sessions;
    let session = desk.session.key;
    match message {
        Message::Notification(notification) if notification.method == "notifications/cancelled" => {
            if let Some(id) = notification.params.get("requestId").and_then(Id::read) {
                sessions.cancel(session, &running_name(&id)).await;
            }
            Ok(())
        }
        // `notifications/initialized` and the like: nothing here depends on them, and unknown ones are fine.
        Message::Notification(_) | Message::Request(_) => Ok(()),
        Message::Response(response) => {
            let answer = match response.outcome {
                Ok(serde_json::Value::Object(result)) => ClientAnswer::Result(result),
                Ok(_) => return Err(RpcError::new(ErrorCode::InvalidRequest, "a result is an object")),
                Err(error) => {
                    let why = error.get("message").and_then(serde_json::Value::as_str);
                    ClientAnswer::Refused(why.unwrap_or("without a reason").chars().take(500).collect())
                }
            };
            let waited = match response.id {
                Id::Text(id) => sessions.answer(session, &id, answer).await,
                Id::Integer(_) => false,
            };
            let unknown = || RpcError::new(ErrorCode::InvalidRequest, "nobody waits for this answer");
            waited.then_some(()).ok_or_else(unknown)
        }
    }
}

async fn get<H: Handler>(
    shared: &Arc<Shared<H>>,
    caller: H::Caller,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refused> {
    if !Accepted::read(headers).stream {
        let message = "send `Accept: text/event-stream`";
        return Err(Refused::new(
            StatusCode::NOT_ACCEPTABLE,
            ErrorCode::InvalidRequest,
            message,
        ));
    }
    let desk = enter(shared, caller, headers).await?;
    if let Some(seen) = headers.get(LAST_EVENT_ID).filter(|seen| !seen.is_empty()) {
        let seen = seen.to_str().ok();
        let seen = seen.and_then(|seen| event_id::parse(desk.session.key, seen));
        let resumed = match seen {
            Some((stream, seen)) => replay::follow(shared, stream, seen, None).await,
            None => None,
        };
        let gone =
            || Refused::bad("`Last-Event-ID` names no stream that can be resumed: make the request again");
        return Ok(answer::stream(Body::stream(resumed.ok_or_else(gone)?)));
    }
    let crowded = |why| {
        let (status, message) = match why {
            NotListening::Crowded(Crowded::Principal) => (
                StatusCode::TOO_MANY_REQUESTS,
                "you listen as often as one caller may: close one stream first",
            ),
            NotListening::Crowded(Crowded::Process) | NotListening::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "as many listen as the server can take: try again later",
            ),
        };
        Refused::new(status, ErrorCode::Internal, message)
    };
    let listener = Listener::begin(desk).await.map_err(crowded)?;
    Ok(answer::stream(Body::stream(listener.events())))
}

async fn delete<H: Handler>(
    shared: &Arc<Shared<H>>,
    caller: H::Caller,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refused> {
    let desk = enter(shared, caller, headers).await?;
    shared
        .sessions
        .end(desk.session.key, desk.session.expires_at)
        .await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
