//! Batches, which 2025-03-26 alone has: each message by itself, the responses together at the end.

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use tokio::sync::mpsc;

use super::{Desk, Said, take};
use crate::{
    handler::Handler,
    jsonrpc::{Message, Refusal, error_message},
};

/// Takes what wants no response; gives the responses to the rest, empty when all were cancelled. `None` when nothing wants one.
pub(crate) async fn respond_to_batch<H: Handler>(
    desk: &Desk<H>,
    batch: Vec<Result<Message, Refusal>>,
    said: Option<mpsc::Sender<Said>>,
) -> Option<BoxFuture<'static, Bytes>> {
    let revision = desk.session.revision;
    let mut responding: Vec<BoxFuture<'static, Option<String>>> = Vec::new();
    for message in batch {
        match message {
            Ok(Message::Request(request)) => {
                let response = desk.clone().respond_unless_cancelled(request, said.clone());
                responding.push(response.boxed());
            }
            Ok(message @ (Message::Notification(_) | Message::Response(_))) => {
                // A batch has no place to say that an answer came too late.
                let _unknown = take(desk, message).await;
            }
            Err(refusal) => {
                let message = error_message(refusal.id.as_ref(), &refusal.error, revision);
                responding.push(std::future::ready(Some(message)).boxed());
            }
        }
    }
    if responding.is_empty() {
        return None;
    }
    let responses = join_all(responding).map(|responses| {
        let responses: Vec<String> = responses.into_iter().flatten().collect();
        if responses.is_empty() {
            return Bytes::new();
        }
        Bytes::from(format!("[{}]", responses.join(",")))
    });
    Some(responses.boxed())
}
