//! The stateless revision over HTTP: the headers, the statuses, and when a response becomes a stream.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    accepted::Accepted,
    answer::{self, json, refused, taken},
    body::Body,
    context::OutboxNotice,
    error::{ErrorCode, RpcError},
    handler::Handler,
    http::{
        headers::{check_parameter_headers, check_standard_headers},
        sse::{StreamedCall, call_body, heard, spoken_body, subscription_body},
    },
    jsonrpc::{Id, Message, Request, error_message, result_message},
    listeners::Crowded,
    methods::Method,
    notice::NoticeWriter,
    params::is_trace_parent,
    revision::Revision,
    shared::Shared,
    stateless::{Prepared, carry_out, prepare},
    subscription::Subscription,
};

const REVISION: Revision = Revision::V2026_07_28;

/// A message with all that came with it.
pub(crate) struct Posted<'r, C> {
    pub(crate) caller: C,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) accepted: Accepted,
    pub(crate) body: Bytes,
}

/// What is sent in the end: a status, unless it is sent already, and a message.
struct Answer {
    status: StatusCode,
    message: String,
}

/// Answers one message.
pub(crate) async fn answer<H: Handler>(
    shared: &Arc<Shared<H>>,
    posted: Posted<'_, H::Caller>,
    message: Message,
) -> Response<Body> {
    match message {
        Message::Request(request) => answer_request(shared, posted, request).await,
        // No notification means anything here; they are taken as the transport says.
        Message::Notification(_) => taken(),
        Message::Response(_) => {
            let error = RpcError::new(
                ErrorCode::InvalidRequest,
                "this revision has no responses of clients",
            );
            refused(StatusCode::BAD_REQUEST, None, &error, REVISION)
        }
    }
}

async fn answer_request<H: Handler>(
    shared: &Arc<Shared<H>>,
    posted: Posted<'_, H::Caller>,
    request: Request,
) -> Response<Body> {
    let id = request.id.clone();
    if let Err(error) = check_standard_headers(posted.headers, &request) {
        return refused(StatusCode::BAD_REQUEST, Some(&id), &error, REVISION);
    }
    let mut prepared = match prepare(shared, posted.caller, request, posted.accepted.stream) {
        Ok(prepared) => prepared,
        Err(error) => {
            // Here `InvalidParams` speaks of `_meta`, and has a status of its own (basic, "`_meta`").
            let status = if error.code == ErrorCode::InvalidParams {
                StatusCode::BAD_REQUEST
            } else {
                answer::status_of(error.code)
            };
            return refused(status, Some(&id), &error, REVISION);
        }
    };
    let context = &mut prepared.context;
    if context.trace_parent.is_none() {
        let named = posted
            .headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        context.trace_parent = named.filter(|text| is_trace_parent(text)).map(str::to_owned);
    }
    let invocation = &prepared.invocation;
    if invocation.method == Method::Listen {
        return listen(shared, prepared, id, posted.accepted).await;
    }
    if invocation.method == Method::CallTool
        && let Err(error) = check_arguments(shared, &prepared, posted.headers)
    {
        return refused(StatusCode::BAD_REQUEST, Some(&id), &error, REVISION);
    }
    call(shared, prepared, id, (posted.accepted, posted.body)).await
}

/// Checks the headers that repeat arguments of a tool.
fn check_arguments<H: Handler>(
    shared: &Shared<H>,
    prepared: &Prepared<H::Caller>,
    headers: &HeaderMap,
) -> Result<(), RpcError> {
    let params = &prepared.invocation.params;
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let parameters = shared.handler.header_parameters(&prepared.context.caller, name);
    check_parameter_headers(headers, &parameters, params.get("arguments"))
}

async fn listen<H: Handler>(
    shared: &Shared<H>,
    prepared: Prepared<H::Caller>,
    id: Id,
    accepted: Accepted,
) -> Response<Body> {
    if !accepted.stream {
        return answer::not_acceptable(
            Some(&id),
            "`subscriptions/listen` answers with a stream only: send `Accept: application/json, text/event-stream`",
        );
    }
    let Prepared {
        invocation, context, ..
    } = prepared;
    match Subscription::open(shared, &context, id.clone(), invocation.params).await {
        Ok(subscription) => answer::stream(subscription_body(subscription, shared.limits.keep_alive)),
        Err(not_opened) => {
            let status = match not_opened.crowded {
                Some(Crowded::Process) => StatusCode::SERVICE_UNAVAILABLE,
                Some(Crowded::Principal) => StatusCode::TOO_MANY_REQUESTS,
                None => answer::status_of(not_opened.error.code),
            };
            refused(status, Some(&id), &not_opened.error, REVISION)
        }
    }
}

/// Calls, and answers with JSON if the result comes before anything else and soon; else with a stream.
async fn call<H: Handler>(
    shared: &Arc<Shared<H>>,
    prepared: Prepared<H::Caller>,
    id: Id,
    (accepted, body): (Accepted, Bytes),
) -> Response<Body> {
    let Prepared {
        invocation,
        context,
        mut notices,
        writer,
    } = prepared;
    let owned = Arc::clone(shared);
    let own_id = id.clone();
    let mut running: Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(async move {
        let ended = tokio::select! {
            biased;
            ended = carry_out(&owned, &context, invocation, &body) => ended,
            () = owned.cut_off.cancelled() => Err(RpcError::stopping()),
        };
        match ended {
            Ok(result) => Answer {
                status: StatusCode::OK,
                message: result_message(&own_id, &result),
            },
            Err(error) => Answer {
                status: answer::status_of(error.code),
                message: error_message(Some(&own_id), &error, REVISION),
            },
        }
    });
    if !accepted.stream {
        let answer = running.await;
        return json(answer.status, answer.message);
    }
    let mut first = None;
    if accepted.json {
        let early = async {
            tokio::select! {
                biased;
                answer = &mut running => Some(answer),
                Some(notice) = heard(&mut notices) => {
                    first = Some(notice);
                    None
                }
            }
        };
        // After a while of silence the response becomes a stream, too: it can show that the call lives.
        if let Ok(Some(answer)) = tokio::time::timeout(shared.limits.keep_alive, early).await {
            return finish(answer, notices, writer);
        }
    }
    // From here on the call must go on even while nobody reads.
    let running = shared.tracker.spawn(async move { running.await.message });
    let call = StreamedCall {
        running: AbortOnDropHandle::new(running),
        notices,
        writer,
        first,
        failed: error_message(Some(&id), &RpcError::internal(), REVISION),
    };
    answer::stream(call_body(call, shared.limits.keep_alive))
}

/// Answers a call that has ended before anything was sent. It may have spoken all the same, in one breath with its result.
fn finish(
    answer: Answer,
    notices: Option<mpsc::Receiver<OutboxNotice>>,
    writer: NoticeWriter,
) -> Response<Body> {
    // A status of its own tells a client more than what was said on the way.
    let said = if answer.status == StatusCode::OK {
        notices
    } else {
        None
    };
    match said.and_then(|notices| spoken_body(notices, writer, &answer.message)) {
        Some(body) => answer::stream(body),
        None => json(answer.status, answer.message),
    }
}
