//! The stream that a client of the older revisions opens with GET: what happens outside its requests.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{event, replay::KEEP_ALIVE_EVERY};
use crate::{
    context::Context,
    handler::{Change, Changes, Handler, SubscriptionFilter},
    jsonrpc::notification_message,
    sessions::{Full, Interests, SessionKey, Sessions},
};

/// Tells the notification of a change; `None` for what the older revisions have no word for.
pub(crate) fn notification(change: &Change) -> Option<String> {
    let nothing = json!({});
    match change {
        Change::Tools => Some(notification_message("notifications/tools/list_changed", &nothing)),
        Change::Prompts => Some(notification_message(
            "notifications/prompts/list_changed",
            &nothing,
        )),
        Change::Resources => Some(notification_message(
            "notifications/resources/list_changed",
            &nothing,
        )),
        Change::Resource(uri) => Some(notification_message(
            "notifications/resources/updated",
            &json!({ "uri": uri }),
        )),
        Change::Task(_) => None,
    }
}

/// Listens for one session, to what it is subscribed to at the time.
pub(crate) struct Listener<H: Handler> {
    handler: Arc<H>,
    context: Context<H::Caller>,
    sessions: Arc<dyn Sessions>,
    session: SessionKey,
    stop: CancellationToken,
    number: u64,
    version: u64,
    changes: Option<Changes>,
    backlog: VecDeque<String>,
}

/// What wakes a listener.
enum Happening {
    Change(Change),
    Interests(Interests),
    End,
}

/// What comes next for a listener.
enum Next {
    Message(String),
    Silence,
    Over,
}

impl<H: Handler> Listener<H> {
    /// Begins to listen, in place of who listened for the session before.
    pub(crate) async fn begin(
        handler: Arc<H>,
        context: Context<H::Caller>,
        (sessions, session): (Arc<dyn Sessions>, SessionKey),
        stop: CancellationToken,
    ) -> Result<Self, Full> {
        let number = sessions.listen(session).await?;
        Ok(Self {
            handler,
            context,
            sessions,
            session,
            stop,
            number,
            version: 0,
            changes: None,
            backlog: VecDeque::new(),
        })
    }

    /// The messages as events, with comments where there is nothing to say.
    pub(crate) fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut listener| async move {
            let next = match listener.next().await {
                Next::Message(message) => event::message(None, message.as_bytes()),
                Next::Silence => event::KEEP_ALIVE,
                Next::Over => return None,
            };
            Some((next, listener))
        })
    }

    /// The next message; `None` when another listens now, the session or the server ends.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            match self.next().await {
                Next::Message(message) => return Some(message),
                Next::Silence => {}
                Next::Over => return None,
            }
        }
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Some(message) = self.backlog.pop_front() {
                return Next::Message(message);
            }
            let interests = match tokio::time::timeout(KEEP_ALIVE_EVERY, self.happening()).await {
                Err(_) => return Next::Silence,
                Ok(Happening::Change(change)) => {
                    self.backlog.extend(notification(&change));
                    continue;
                }
                Ok(Happening::Interests(interests)) => interests,
                Ok(Happening::End) => return Next::Over,
            };
            self.version = interests.version;
            if !self.attend(interests.uris).await {
                return Next::Over;
            }
        }
    }

    async fn happening(&mut self) -> Happening {
        let change = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Happening::End,
            interests = self.sessions.interests(self.session, self.number, self.version) => {
                interests.map_or(Happening::End, Happening::Interests)
            }
            change = change => change.map_or(Happening::End, Happening::Change),
        }
    }

    /// Listens anew, to these resources too; tells whether the host lets it.
    async fn attend(&mut self, uris: Vec<String>) -> bool {
        let filter = SubscriptionFilter {
            tools: true,
            prompts: true,
            resources: true,
            uris,
            task_ids: Vec::new(),
        };
        let Ok((_, changes)) = self.handler.listen(&self.context, filter).await else {
            return false;
        };
        if let Some(mut before) = self.changes.replace(changes) {
            // What happened before the new ear was open; heard twice is better than not at all.
            while let Some(Some(change)) = before.next().now_or_never() {
                self.backlog.extend(notification(&change));
            }
        }
        true
    }
}
