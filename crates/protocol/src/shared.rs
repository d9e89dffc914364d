//! What every way of being served shares.

use std::{sync::Arc, time::Duration};

use serde_json::value::{RawValue, to_raw_value};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    catalogue::ServerDescription, handler::Handler, listeners::Listeners, methods::Method,
    revision::Revision, seal::Seal, sessions::Sessions,
};

/// Tells the time: milliseconds since the beginning of 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Gives 128 bits that nobody can guess.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// How much of everything there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams of changes that one process keeps open.
    pub listeners: usize,
    /// Streams of changes that one principal keeps open.
    pub listeners_per_principal: usize,
    /// What a request may say before its result without being read; more of it is dropped.
    pub notices: usize,
    /// After how long without anything else a stream says that it lives, and a call without a result becomes a stream.
    pub keep_alive: Duration,
    /// How long a client may take to answer questions.
    pub answers_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            listeners: 4096,
            listeners_per_principal: 64,
            notices: 64,
            keep_alive: Duration::from_secs(15),
            answers_within: Duration::from_secs(600),
        }
    }
}

/// What a host brings for its handler to be served.
pub struct Host<H> {
    /// Does the work.
    pub handler: Arc<H>,
    /// Seals what clients hold; every process of the host has the same keys.
    pub seal: Arc<dyn Seal>,
    /// Keeps what belongs to sessions of the older revisions.
    pub sessions: Arc<dyn Sessions>,
    /// Tells the time.
    pub clock: Clock,
    /// Names sessions.
    pub random: Random,
    /// How much of everything there may be.
    pub limits: Limits,
    /// Owns what runs beside a response: a call whose response has become a stream.
    pub tracker: TaskTracker,
    /// Cancelled when the host is about to stop: streams of changes end, calls go on.
    pub stop: CancellationToken,
    /// Cancelled when the host can wait for calls no longer: each ends with an error that says so, and what it did is
    /// dropped.
    pub cut_off: CancellationToken,
}

/// [`Host`] with what is asked of the handler once.
pub(crate) struct Shared<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) seal: Arc<dyn Seal>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) limits: Limits,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) cut_off: CancellationToken,
    /// Who listens.
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) description: ServerDescription,
    /// Who the server is, as JSON.
    pub(crate) server_info: Box<RawValue>,
}

impl<H: Handler> Shared<H> {
    pub(crate) fn new(host: Host<H>) -> Self {
        let description = host.handler.describe();
        let server_info =
            to_raw_value(&description.implementation).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self {
            handler: host.handler,
            seal: host.seal,
            sessions: host.sessions,
            clock: host.clock,
            random: host.random,
            listeners: Arc::new(Listeners::new(
                host.limits.listeners,
                host.limits.listeners_per_principal,
            )),
            limits: host.limits,
            tracker: host.tracker,
            stop: host.stop,
            cut_off: host.cut_off,
            description,
            server_info,
        }
    }

    /// Tells whether the server has the method in the revision: some belong to what a server may have or not.
    pub(crate) fn serves(&self, method: Method, revision: Revision) -> bool {
        let server = &self.description;
        match method {
            Method::ListPrompts | Method::GetPrompt => server.has_prompts,
            Method::ListResources
            | Method::ListResourceTemplates
            | Method::ReadResource
            | Method::SubscribeResource
            | Method::UnsubscribeResource => server.has_resources,
            Method::Complete => server.has_completions,
            Method::GetTask | Method::AnswerTask | Method::CancelTask => {
                server.has_tasks && revision.is_stateless()
            }
            Method::Discover
            | Method::Initialize
            | Method::Ping
            | Method::ListTools
            | Method::CallTool
            | Method::SetLogLevel
            | Method::Listen => true,
        }
    }
}
