//! What is known of a request besides what it says itself.

mod rpc;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::extract::FromRequestParts;
use engine::Client;
use http::{HeaderValue, header, request::Parts};
use model::{Decision, Error, Principal};
use parking_lot::Mutex;

pub use self::rpc::Rpc;
use crate::{address::client_address, failure::Failure, state::AppState};

/// How much of the caller's program name is kept, in characters.
const MAX_USER_AGENT_CHARS: usize = 256;

/// The connection that requests come through, as its requests and its keeper see it.
#[derive(Debug)]
pub struct Link {
    peer: IpAddr,
    begun: AtomicU64,
    ended: AtomicU64,
    written: AtomicU64,
    is_within_head: AtomicBool,
}

impl Link {
    /// A connection with nothing on it yet.
    #[must_use]
    pub fn new(peer: IpAddr) -> Self {
        let (begun, ended, written) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self {
            peer,
            begun,
            ended,
            written,
            is_within_head: AtomicBool::new(false),
        }
    }

    /// The address at its other end.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Notes that a request began.
    pub fn note_begun(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    /// Notes that a request has its answer, or lost its caller.
    pub fn note_ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    /// Notes that bytes were sent.
    pub fn note_written(&self, count: usize) {
        self.written.fetch_add(count as u64, Relaxed);
    }

    /// Notes whether the head of a request has begun to arrive and has not ended.
    pub fn note_head(&self, is_within: bool) {
        self.is_within_head.store(is_within, Relaxed);
    }

    /// How many requests began.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Tells whether a request waits for its answer.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.ended.load(Relaxed) < self.begun()
    }

    /// A number that changes with all that is worth keeping the connection for.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.begun()
            .wrapping_add(self.ended.load(Relaxed))
            .wrapping_add(self.written.load(Relaxed))
    }

    /// Tells whether the head of a request has begun to arrive and has not ended.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        self.is_within_head.load(Relaxed)
    }
}

/// What the edge and the guards tell each other about one request.
#[derive(Debug)]
pub struct RequestContext {
    id: HeaderValue,
    peer: IpAddr,
    notes: Mutex<Notes>,
}

#[derive(Clone, Debug, Default)]
struct Notes {
    principal: Option<Arc<Principal>>,
    decision: Option<Decision>,
    wait: Duration,
    rpc: Rpc,
}

impl RequestContext {
    /// Begins a request with `id`, which is visible ASCII, from `peer`.
    #[must_use]
    pub fn new(id: HeaderValue, peer: IpAddr) -> Self {
        Self {
            id,
            peer,
            notes: Mutex::default(),
        }
    }

    /// The context of the request that `parts` belong to.
    ///
    /// # Errors
    /// A bug, when the request did not come through the edge.
    pub fn of(parts: &Parts) -> Result<&Arc<Self>, Failure> {
        let found = parts.extensions.get::<Arc<Self>>();
        found.ok_or_else(|| Error::bug("a request did not come through the edge").into())
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// The request's id as it is sent back.
    #[must_use]
    pub fn id_header(&self) -> &HeaderValue {
        &self.id
    }

    /// The address at the other end of the connection.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Notes who asks.
    pub fn note_principal(&self, principal: &Arc<Principal>) {
        self.notes.lock().principal = Some(Arc::clone(principal));
    }

    /// Notes how the request was counted.
    pub fn note_decision(&self, decision: Decision) {
        self.notes.lock().decision = Some(decision);
    }

    /// Notes that the caller asked to wait for something, up to `wait`: the request may take that much longer.
    pub fn note_wait(&self, wait: Duration) {
        self.notes.lock().wait = wait;
    }

    /// Notes what a message of the Model Context Protocol asks for.
    pub fn note_message(&self, message: &[u8]) {
        // Nobody else wants to know.
        if tracing::enabled!(tracing::Level::INFO) {
            self.notes.lock().rpc = Rpc::of(message);
        }
    }

    /// Notes the error in a message that answers, if it is one.
    pub fn note_response(&self, message: &[u8]) {
        if tracing::enabled!(tracing::Level::INFO) {
            self.notes.lock().rpc.error = Rpc::error_in(message);
        }
    }

    /// What is known of its message of the Model Context Protocol.
    #[must_use]
    pub fn rpc(&self) -> Rpc {
        self.notes.lock().rpc.clone()
    }

    /// For how long the caller asked to wait.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.notes.lock().wait
    }

    /// Who asks, once a guard has found out.
    #[must_use]
    pub fn principal(&self) -> Option<Arc<Principal>> {
        self.notes.lock().principal.clone()
    }

    /// How the request was counted, once a guard has done so.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        self.notes.lock().decision
    }
}

/// From where a request came, for verbs that keep it.
#[derive(Debug)]
pub struct Sender(pub Client);

impl FromRequestParts<AppState> for Sender {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let peer = RequestContext::of(parts)?.peer();
        let address = client_address(peer, &parts.headers, &state.edge().trusted_proxies);
        let user_agent = parts.headers.get(header::USER_AGENT).map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars()
                .filter(|c| !c.is_control())
                .take(MAX_USER_AGENT_CHARS)
                .collect()
        });
        Ok(Self(Client {
            ip_address: Some(address),
            user_agent,
        }))
    }
}
