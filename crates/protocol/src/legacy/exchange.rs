//! A POST with requests, and its response: JSON when all is said at once, else a stream that outlives its connection.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Response, StatusCode};
use tokio::sync::mpsc;

use super::{Refused, Said, batch::respond_to_batch, event_id, replay};
use crate::{
    accepted::Accepted,
    answer::{self, json, taken},
    body::Body,
    error::ErrorCode,
    handler::Handler,
    jsonrpc::{Message, Refusal, Request},
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
    accepted: Accepted,
}

/// What happens first in an exchange.
enum First {
    Response(Bytes),
    Said(Option<Said>),
}

/// Answers one request.
pub(super) async fn answer<H: Handler>(
    desk: Desk<H>,
    request: Request,
    accepted: Accepted,
) -> Response<Body> {
    let (sender, heard) = mpsc::channel(desk.shared.limits.notices.max(1));
    let responding = desk
        .clone()
        .respond_unless_cancelled(request, accepted.stream.then_some(sender));
    let answering = responding.map(|response| response.map(Bytes::from).unwrap_or_default());
    let exchange = Exchange {
        answering: answering.boxed(),
        heard,
        accepted,
    };
    exchange.run(&desk).await
}

/// Answers a batch.
pub(super) async fn answer_batch<H: Handler>(
    desk: Desk<H>,
    batch: Vec<Result<Message, Refusal>>,
    accepted: Accepted,
) -> Response<Body> {
    let (sender, heard) = mpsc::channel(desk.shared.limits.notices.max(1));
    let sender = accepted.stream.then_some(sender);
    let Some(answering) = respond_to_batch(&desk, batch, sender).await else {
        return taken();
    };
    let exchange = Exchange {
        answering,
        heard,
        accepted,
    };
    exchange.run(&desk).await
}

/// A response of one message; without one, only that the request was taken.
fn whole(response: Bytes) -> Response<Body> {
    if response.is_empty() {
        taken()
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
        if !self.accepted.json {
            return First::Said(None);
        }
        let first = async {
            tokio::select! {
                biased;
                Some(said) = self.heard.recv() => First::Said(Some(said)),
                response = self.answering.as_mut() => First::Response(response),
            }
        };
        if !self.accepted.stream {
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
            return self.do_without_stream(first).await;
        };
        let opening = (desk.session.revision >= Revision::V2025_11_25).then(|| event_id::priming(stream));
        let body = replay::follow(shared, stream, 0, opening).await;
        shared.tracker.spawn(async move {
            let last = self.drain(&*sessions, stream, first).await;
            // Nobody is there for it when the session has ended.
            let _gone = sessions.append(stream, Weight::Last, last).await;
        });
        match body {
            Some(body) => answer::stream(Body::stream(body)),
            None => {
                let message = "Session not found: it was ended meanwhile";
                Refused::new(StatusCode::NOT_FOUND, ErrorCode::InvalidRequest, message).into_response()
            }
        }
    }

    /// Goes on when there is no room for a stream: notices are lost, but a question that nobody hears ends the request.
    async fn do_without_stream(mut self, first: Option<Said>) -> Response<Body> {
        self.heard.close();
        let mut next = first;
        while let Some(said) = next {
            if said.weight == Weight::Message {
                let message =
                    "too many responses of this session are streams: try again when some have ended";
                return Refused::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Internal, message)
                    .into_response();
            }
            next = self.heard.try_recv().ok();
        }
        whole(self.answering.await)
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
