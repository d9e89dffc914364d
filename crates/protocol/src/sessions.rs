//! What belongs to a session of the older revisions and can't travel with its sealed id.
//!
//! A session id carries all that was agreed at its beginning, so a session needs no entry anywhere to be served. Only what
//! happens later must live somewhere: that it was ended, which messages it wants, which of its requests run, which questions
//! wait for its answers, and the event streams that it may resume.

mod stream;
mod local;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::context::LogLevel;

pub use local::{LocalSessions, UnderWay};

/// How many resources one session may be subscribed to.
///
/// A host that can't listen to as many at once would hear of none of them.
pub const MAX_SUBSCRIPTIONS: usize = 64;

/// What a session is called among all; no secret, since only the sealed id opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(u128);

impl SessionKey {
    /// Takes 128 random bits.
    #[must_use]
    pub const fn new(random: u128) -> Self {
        Self(random)
    }

    /// Reads what [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let canonical =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        canonical
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One stream of events of one session: what is said about one POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Whose.
    pub session: SessionKey,
    /// Which of the session's streams; never used twice in a session.
    pub number: u64,
}

/// Whether a session is served, and what it wants to hear during its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It was ended; nothing is served any more.
    pub ended: bool,
    /// The least level that it wants, if it ever said.
    pub log_level: Option<LogLevel>,
}

/// What an event is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Progress or a log message: may be dropped when the client is slow.
    Notice,
    /// A request to the client, or its withdrawal.
    Message,
    /// The response; the stream ends with it.
    Last,
}

/// What a stream held after some event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The events with their numbers, in order.
    pub events: Vec<(u64, Bytes)>,
    /// Nothing comes after them.
    pub is_last: bool,
}

/// What the listening stream of a session is about, at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interests {
    /// Grows with each change; at least 1.
    pub version: u64,
    /// The resources that the session is subscribed to.
    pub uris: Vec<String>,
}

/// A client's response to a request that the server sent it.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAnswer {
    /// A result.
    Result(Map<String, Value>),
    /// An error's message.
    Refused(String),
}

/// There is no room for more of it; later there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for it now")]
pub struct Full;

/// Keeps what belongs to sessions, for all processes that serve them.
///
/// Everything may be forgotten when it is old or too much, except that a stream which isn't read to its end keeps its requests
/// and its response while the call runs. An implementation for several processes makes `cancel`, `answer`, `end`, `attach`
/// and `listen` heard on all of them. Each method is atomic; a future that is dropped leaves nothing behind.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Looks up where a session stands; called for each request.
    async fn standing(&self, session: SessionKey) -> Standing;

    /// Ends a session: its requests are cancelled, its streams end, and its standing is `ended` until `until_ms` at least.
    async fn end(&self, session: SessionKey, until_ms: u64);

    /// Sets the least level of log messages that the session wants.
    async fn set_log_level(&self, session: SessionKey, level: LogLevel) -> Result<(), Full>;

    /// Subscribes a session to a resource, once however often.
    async fn subscribe(&self, session: SessionKey, uri: &str) -> Result<(), Full>;

    /// Takes a subscription back; fine when there is none.
    async fn unsubscribe(&self, session: SessionKey, uri: &str);

    /// Begins to listen; gives a number for [`Self::interests`]. Who listened before is superseded.
    async fn listen(&self, session: SessionKey) -> Result<u64, Full>;

    /// Waits until the session's interests are newer than version `seen`; `None` when the listener is superseded or the session ended.
    async fn interests(&self, session: SessionKey, listener: u64, seen: u64) -> Option<Interests>;

    /// Makes a request known that runs; the receiver is told when it is cancelled, and forgotten when dropped. Several requests
    /// of one id are independent, but are cancelled together.
    async fn run(&self, session: SessionKey, request: &str) -> Result<oneshot::Receiver<()>, Full>;

    /// Cancels the requests of that id; fine when there is none.
    async fn cancel(&self, session: SessionKey, request: &str);

    /// Makes a question known that is about to be sent; the receiver gets the answer, and the question is forgotten when it is dropped.
    async fn ask(&self, session: SessionKey, question: &str)
    -> Result<oneshot::Receiver<ClientAnswer>, Full>;

    /// Hands an answer to who asked; tells whether somebody waited for it.
    async fn answer(&self, session: SessionKey, question: &str, answer: ClientAnswer) -> bool;

    /// Opens a stream that can be resumed.
    async fn open_stream(&self, session: SessionKey) -> Result<StreamKey, Full>;

    /// Adds an event to a stream; `Full` when it was dropped, or the stream is gone. An empty one of [`Weight::Last`] ends it silently.
    async fn append(&self, stream: StreamKey, weight: Weight, event: Bytes) -> Result<(), Full>;

    /// Begins to read a stream; gives a number for [`Self::read`]. Who read it before is superseded. `None` when there is no such stream (any more).
    async fn attach(&self, stream: StreamKey) -> Option<u64>;

    /// Waits for events after the one of number `after` (the first has 1). `None` when the reader is superseded or the stream is gone.
    async fn read(&self, stream: StreamKey, reader: u64, after: u64) -> Option<Batch>;
}
