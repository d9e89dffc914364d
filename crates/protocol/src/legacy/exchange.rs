//! A POST with requests, and its response: JSON when all is said at once, else a stream that outlives its connection.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Response, StatusCode, header};
use tokio::sync::mpsc;

use super::{Said, accepted, batch::respond_to_batch, event, json, replay};
use crate::{
    body::Body,
    error::{ErrorCode, RpcError},
    handler::Handler,
    jsonrpc::{Message, Refusal, Request, error_message},
    legacy::Desk,
    revision::Revision,
    sessions::{Sessions, StreamKey, Weight},
    shared::Shared,
};

/// Gives the response, a message of JSON-RPC; empty when there is nothing to respond.
type Answering = BoxFuture<'static, Bytes>;

/// Responses that are on their way.
struct Exchange {
    answering: Answering,
    heard: mpsc::Receiver<Said>,
}

/// What happens first in an exchange.
enum First {
    Response(Bytes),
    Said(Option<Said>),
}

/// A response that is an event stream.
pub(super) fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Answers one request.
pub(super) async fn answer<H: Handler>(
    desk: Desk<H>,
    request: Request,
    takes_streams: bool,
) -> Response<Body> {
    let (sender, heard) = mpsc::channel(desk.shared.limits.notices.max(1));
    let responding = desk
        .clone()
        .respond_unless_cancelled(request, takes_streams.then_some(sender));
    let answering = responding.map(|response| response.map(Bytes::from).unwrap_or_default());
    let exchange = Exchange {
        answering: answering.boxed(),
        heard,
    };
    exchange.run(&desk).await
}

/// Answers a batch.
pub(super) async fn answer_batch<H: Handler>(
    desk: Desk<H>,
    batch: Vec<Result<Message, Refusal>>,
    takes_streams: bool,
) -> Response<Body> {
    let (sender, heard) = mpsc::channel(desk.shared.limits.notices.max(1));
    let sender = takes_streams.then_some(sender);
    let Some(answering) = respond_to_batch(&desk, batch, sender).await else {
        return accepted();
    };
    Exchange { answering, heard }.run(&desk).await
}

/// A response of one message; without one, only that the request was taken.
fn whole(response: Bytes) -> Response<Body> {
    if response.is_empty() {
        accepted()
    } else {
        json(StatusCode::OK, response)
    }
}

impl Exchange {
    async fn run<H: Handler>(mut self, desk: &Desk<H>) -> Response<Body> {
        match self.first(&desk.shared).await {
            First::Response(response) => match self.heard.try_recv() {
                Err(_) => whole(response),
                Ok(said) => {
                    self.answering = std::future::ready(response).boxed();
                    self.stream(desk, Some(said)).await
                }
            },
            First::Said(said) => self.stream(desk, said).await,
        }
    }

    /// Waits for the response, or until there is something to say before it: at last, that the call still runs.
    async fn first<H: Handler>(&mut self, shared: &Shared<H>) -> First {
        let takes_streams = !self.heard.is_closed();
        let first = async {
            tokio::select! {
                biased;
                Some(said) = self.heard.recv() => First::Said(Some(said)),
                response = self.answering.as_mut() => First::Response(response),
            }
        };
        if !takes_streams {
            return first.await;
        }
        let first = tokio::time::timeout(shared.limits.keep_alive, first).await;
        first.unwrap_or(First::Said(None))
    }

    /// Goes on as a stream, which ends with the response whether or not anybody reads it.
    async fn stream<H: Handler>(mut self, desk: &Desk<H>, first: Option<Said>) -> Response<Body> {
        let shared = &desk.shared;
        let sessions = Arc::clone(&shared.sessions);
        let Ok(stream) = sessions.open_stream(desk.session.key).await else {
            // No room for a stream: what is said before the response is lost, and a question ends the request.
            self.heard.close();
            return whole(self.answering.await);
        };
        let opening = (desk.session.revision >= Revision::V2025_11_25)
            .then(|| event::priming(&event::event_id(stream, 0)));
        let body = replay::follow(shared, stream, 0, opening).await;
        let revision = desk.session.revision;
        shared.tracker.spawn(async move {
            let last = self.drain(&*sessions, stream, first).await;
            // Nobody is there for it when the session has ended.
            let _gone = sessions.append(stream, Weight::Last, last).await;
        });
        match body {
            Some(body) => event_stream(Body::stream(body)),
            None => json(
                StatusCode::OK,
                error_message(
                    None,
                    &RpcError::new(ErrorCode::Internal, "the session was ended"),
                    revision,
                ),
            ),
        }
    }

    /// Writes what is said into the stream; gives the response.
    async fn drain(&mut self, sessions: &dyn Sessions, stream: StreamKey, first: Option<Said>) -> Bytes {
        let mut next = first;
        loop {
            if let Some(Said { weight, message }) = next.take() {
                // A notice may be dropped; a question that couldn't be put is never answered.
                let _dropped = sessions.append(stream, weight, message).await;
            }
            let response = tokio::select! {
                biased;
                Some(said) = self.heard.recv() => {
                    next = Some(said);
                    continue;
                }
                response = self.answering.as_mut() => response,
            };
            while let Ok(Said { weight, message }) = self.heard.try_recv() {
                let _dropped = sessions.append(stream, weight, message).await;
            }
            return response;
        }
    }
}
