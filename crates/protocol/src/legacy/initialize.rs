//! How a session of the older revisions begins.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::session::{self, SESSION_MS, Session};
use crate::{
    catalogue::Implementation, error::RpcError, handler::Handler, render::capabilities, revision::Revision,
    sessions::SessionKey, shared::Shared,
};

/// Begins a session; gives it with the result of `initialize`, as JSON.
///
/// The revision is the client's when this crate speaks it in sessions, else the latest that it does.
///
/// # Errors
/// `InvalidParams`.
pub(crate) fn initialize<H: Handler>(
    shared: &Shared<H>,
    params: &Map<String, Value>,
) -> Result<(Session, String), RpcError> {
    let wrong = |message: &str| RpcError::invalid_params(message);
    let wanted = params.get("protocolVersion").and_then(Value::as_str);
    let wanted = wanted.ok_or_else(|| wrong("`protocolVersion` must be a string"))?;
    let said = params.get("capabilities").and_then(Value::as_object);
    let said = said.ok_or_else(|| wrong("`capabilities` must be an object"))?;
    let client = params
        .get("clientInfo")
        .and_then(|client| Implementation::deserialize(client).ok());
    let client = client.ok_or_else(|| wrong("`clientInfo` must have a `name` and a `version`"))?;
    let revision = Revision::find(wanted)
        .filter(|revision| !revision.is_stateless())
        .unwrap_or(Revision::LATEST_WITH_SESSIONS);
    let session = Session {
        key: SessionKey::new((shared.random)()),
        revision,
        client: Some(session::shorten(client)),
        capabilities: session::reduce(said),
        expires_at: (shared.clock)().saturating_add(SESSION_MS),
    };
    let result = describe(shared, revision);
    Ok((session, result))
}

fn describe<H: Handler>(shared: &Shared<H>, revision: Revision) -> String {
    let server = &shared.description;
    let mut implementation = server.implementation.clone();
    if revision < Revision::V2025_06_18 {
        implementation.title = None;
    }
    let mut result = Map::new();
    result.insert("protocolVersion".to_owned(), json!(revision.as_str()));
    result.insert(
        "capabilities".to_owned(),
        Value::Object(capabilities(server, revision)),
    );
    result.insert("serverInfo".to_owned(), json!(implementation));
    let instructions = server.instructions.as_ref();
    result.extend(instructions.map(|text| ("instructions".to_owned(), json!(text))));
    Value::Object(result).to_string()
}
