//! What is known of a request besides what it says itself.

use std::{net::IpAddr, sync::Arc};

use axum::extract::FromRequestParts;
use engine::Client;
use http::{HeaderValue, header, request::Parts};
use model::{Decision, Error, Principal};
use parking_lot::Mutex;

use crate::{address::client_address, failure::Failure, state::AppState};

/// How much of the caller's program name is kept, in characters.
const MAX_USER_AGENT_CHARS: usize = 256;

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
}

impl RequestContext {
    /// Begins a request with `id`, which is visible ASCII, from `peer`.
    #[must_use]
    pub fn new(id: HeaderValue, peer: IpAddr) -> Self {
        Self { id, peer, notes: Mutex::default() }
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
            text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT_CHARS).collect()
        });
        Ok(Self(Client { ip_address: Some(address), user_agent }))
    }
}
