//! The stream that a client of the older revisions opens with GET: what happens outside its requests.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use tokio::time::Instant;

use super::Desk;
use crate::{
    context::{Context, Outbox},
    event,
    handler::{Change, Changes, Handler, SubscriptionFilter},
    listeners::{Crowded, Permit},
    sessions::Interests,
    subscription::{change_message, intersection, is_wanted},
};

/// Listens for one session, to what it is subscribed to at the time. Holds its room until it is dropped.
pub(crate) struct Listener<H: Handler> {
    desk: Desk<H>,
    context: Context<H::Caller>,
    number: u64,
    version: u64,
    changes: Option<Changes>,
    attended_at: Instant,
    honoured: SubscriptionFilter,
    backlog: VecDeque<String>,
    _room: Permit,
}

/// Why nobody listens now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotListening {
    /// There is no room for it.
    Crowded(Crowded),
    /// There is no room for its session.
    Full,
}

/// What wakes a listener.
enum Happening {
    Change(Change),
    Interests(Interests),
    /// The host tells of no more changes.
    Lapse,
    End,
}

/// What comes next for a listener.
enum Next {
    Message(String),
    Silence,
    Lapse,
    Over,
}

impl<H: Handler> Listener<H> {
    /// Begins to listen, in place of who listened for the session before.
    pub(crate) async fn begin(desk: Desk<H>) -> Result<Self, NotListening> {
        let principal = desk.shared.handler.principal_of(&desk.caller);
        let room = desk
            .shared
            .listeners
            .admit(principal)
            .map_err(NotListening::Crowded)?;
        let number = desk.shared.sessions.listen(desk.session.key).await;
        let number = number.map_err(|_| NotListening::Full)?;
        Ok(Self {
            context: desk.context(Outbox::default(), None),
            desk,
            number,
            version: 0,
            changes: None,
            attended_at: Instant::now(),
            honoured: SubscriptionFilter::default(),
            backlog: VecDeque::new(),
            _room: room,
        })
    }

    /// The messages as events, with comments where there is nothing to say.
    pub(crate) fn events(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(self, |mut listener| async move {
            let next = match listener.next().await {
                Next::Message(message) => event::message(None, message.as_bytes()),
                Next::Silence => event::KEEP_ALIVE,
                // The client comes back, and shows its credential anew.
                Next::Lapse | Next::Over => return None,
            };
            Some((next, listener))
        })
    }

    /// The next message; `None` when another listens now, the session or the server ends. A host that tells of no more
    /// changes is listened to anew, unless it told for a moment only.
    pub(crate) async fn message(&mut self) -> Option<String> {
        loop {
            match self.next().await {
                Next::Message(message) => return Some(message),
                Next::Silence => {}
                Next::Lapse if self.attended_at.elapsed() >= self.desk.shared.limits.keep_alive => {
                    self.changes = None;
                    self.version = 0;
                }
                Next::Lapse | Next::Over => return None,
            }
        }
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Some(message) = self.backlog.pop_front() {
                return Next::Message(message);
            }
            let keep_alive = self.desk.shared.limits.keep_alive;
            let interests = match tokio::time::timeout(keep_alive, self.happening()).await {
                Err(_) => return Next::Silence,
                Ok(Happening::Change(change)) => {
                    self.note(&change);
                    continue;
                }
                Ok(Happening::Interests(interests)) => interests,
                Ok(Happening::Lapse) => return Next::Lapse,
                Ok(Happening::End) => return Next::Over,
            };
            self.version = interests.version;
            if !self.attend(interests.uris).await {
                return Next::Over;
            }
        }
    }

    async fn happening(&mut self) -> Happening {
        let (shared, session) = (&*self.desk.shared, self.desk.session.key);
        let change = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => Happening::End,
            interests = shared.sessions.interests(session, self.number, self.version) => {
                interests.map_or(Happening::End, Happening::Interests)
            }
            change = change => change.map_or(Happening::Lapse, Happening::Change),
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
        let listening = self
            .desk
            .shared
            .handler
            .listen(&self.context, filter.clone())
            .await;
        let Ok((honoured, changes)) = listening else {
            return false;
        };
        if let Some(mut before) = self.changes.replace(changes) {
            // What happened before the new ear was open; heard twice is better than not at all.
            while let Some(Some(change)) = before.next().now_or_never() {
                self.note(&change);
            }
        }
        self.attended_at = Instant::now();
        self.honoured = intersection(filter, &honoured);
        true
    }

    /// Takes a change down, if it is one to tell of.
    fn note(&mut self, change: &Change) {
        if is_wanted(&self.honoured, change) {
            self.backlog.extend(change_message(change, None));
        }
    }
}
