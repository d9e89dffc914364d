//! Session ids that carry the session: what was agreed at its beginning, sealed for its principal.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    catalogue::Implementation, context::Capabilities, revision::Revision, seal::Seal, sessions::SessionKey,
};

/// How long a session id is good for.
pub(crate) const SESSION_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a client's name and version may be; what is longer is cut.
const MAX_NAME_CHARS: usize = 64;
/// How long a sealed id can be at most; longer ones are none of ours.
const MAX_SEALED_BYTES: usize = 4096;
/// What of a client's capabilities a server of these revisions ever looks at. The rest stays out: an id travels in a header.
const CAPABILITIES: [(&str, &[&str]); 3] = [
    ("elicitation", &["form", "url"]),
    ("sampling", &["tools", "context"]),
    ("roots", &[]),
];

/// What was agreed when the session began.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Session {
    /// What the session is called.
    pub(crate) key: SessionKey,
    /// What is spoken in it.
    pub(crate) revision: Revision,
    /// Who the client is, as it said.
    pub(crate) client: Option<Implementation>,
    /// What the client can do.
    pub(crate) capabilities: Capabilities,
    /// When its id is good no more; milliseconds since 1970.
    pub(crate) expires_at: u64,
}

/// What is sealed; short names, since it travels with every request.
#[derive(Serialize, Deserialize)]
struct Sealed {
    k: String,
    v: String,
    x: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<Implementation>,
    c: Capabilities,
}

/// Writes the id of a session for its principal; `None` when sealing fails.
pub(crate) fn seal(seal: &dyn Seal, principal: &str, session: &Session) -> Option<String> {
    let sealed = Sealed {
        k: session.key.to_string(),
        v: session.revision.as_str().to_owned(),
        x: session.expires_at,
        i: session.client.clone(),
        c: session.capabilities.clone(),
    };
    let plain = serde_json::to_vec(&sealed).ok()?;
    seal.seal(&bound_to(principal), &plain)
}

/// Reads an id back; `None` for one of another principal, one that was changed, and one that is too old.
pub(crate) fn open(seal: &dyn Seal, principal: &str, id: &str, now: u64) -> Option<Session> {
    if id.len() > MAX_SEALED_BYTES {
        return None;
    }
    let plain = seal.open(&bound_to(principal), id)?;
    let sealed: Sealed = serde_json::from_slice(&plain).ok()?;
    let session = Session {
        key: SessionKey::parse(&sealed.k)?,
        revision: Revision::find(&sealed.v).filter(|revision| !revision.is_stateless())?,
        client: sealed.i,
        capabilities: sealed.c,
        expires_at: sealed.x,
    };
    (now < session.expires_at).then_some(session)
}

/// Keeps of a client's capabilities what matters here.
pub(crate) fn reduce(said: &Map<String, Value>) -> Capabilities {
    let mut kept = Map::new();
    for (name, parts) in CAPABILITIES {
        let Some(Value::Object(capability)) = said.get(name) else {
            continue;
        };
        let parts = parts
            .iter()
            .filter(|part| capability.get(**part).is_some_and(Value::is_object));
        kept.insert(
            name.to_owned(),
            parts.map(|part| ((*part).to_owned(), json!({}))).collect(),
        );
    }
    Capabilities::new(kept)
}

/// Cuts what a client says of itself to a length that fits an id.
pub(crate) fn shorten(client: Implementation) -> Implementation {
    let cut = |text: String| text.chars().take(MAX_NAME_CHARS).collect();
    Implementation {
        name: cut(client.name),
        title: None,
        version: cut(client.version),
    }
}

fn bound_to(principal: &str) -> Vec<u8> {
    [b"mcp-session\0", principal.as_bytes()].concat()
}
