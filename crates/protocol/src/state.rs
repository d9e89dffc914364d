//! What a handler wants to be told again with the answers to its questions: sealed on its way through the client.
//!
//! It opens only for the same principal, the same method and the same parameters, and for ten minutes. That doesn't make it
//! good for one use only: within that time a client may answer twice, as it may make any request twice.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::RpcError, handler::Handler, methods::Method, shared::Shared};

/// How long answers may take.
const LIFETIME_MS: u64 = 600_000;

/// How long a sealed state may be, in bytes: 256 KiB of notes, sealed and in base64. Longer ones aren't even tried.
const MAX_SEALED: usize = 384 * 1024;

#[derive(Serialize, Deserialize)]
struct Sealed {
    expires: u64,
    state: Value,
}

/// Seals the notes of a handler for the request that they belong to.
pub(crate) fn seal_state<H: Handler>(
    shared: &Shared<H>,
    caller: &H::Caller,
    method: Method,
    params: &Map<String, Value>,
    state: Value,
) -> Result<String, RpcError> {
    let sealed = Sealed {
        expires: (shared.clock)().saturating_add(LIFETIME_MS),
        state,
    };
    let plain = serde_json::to_vec(&sealed).map_err(|_| RpcError::internal())?;
    let bound_to = binding(&shared.handler.principal_of(caller), method, params);
    let text = shared
        .seal
        .seal(&bound_to, &plain)
        .ok_or_else(RpcError::internal)?;
    if text.len() > MAX_SEALED {
        return Err(RpcError::internal());
    }
    Ok(text)
}

/// Opens what [`seal_state`] made.
pub(crate) fn open_state<H: Handler>(
    shared: &Shared<H>,
    caller: &H::Caller,
    method: Method,
    params: &Map<String, Value>,
    text: &str,
) -> Result<Value, RpcError> {
    let foreign = || {
        RpcError::invalid_params(
            "`requestState` was changed, or belongs to another caller or another request",
        )
    };
    if text.len() > MAX_SEALED {
        return Err(foreign());
    }
    let bound_to = binding(&shared.handler.principal_of(caller), method, params);
    let plain = shared.seal.open(&bound_to, text).ok_or_else(foreign)?;
    let sealed: Sealed = serde_json::from_slice(&plain).map_err(|_| foreign())?;
    if sealed.expires <= (shared.clock)() {
        return Err(RpcError::invalid_params(
            "`requestState` has expired: make the request anew without it",
        ));
    }
    Ok(sealed.state)
}

/// What a state is bound to: everything that makes the request what it is, each part preceded by its length.
fn binding(principal: &str, method: Method, params: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    let name = format!("{method:?}");
    for part in ["requestState", principal, &name] {
        bytes.extend_from_slice(&part.len().to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let passing = ["_meta", "inputResponses", "requestState"];
    write_members(params, &passing, &mut bytes);
    bytes
}

/// Writes JSON in one form only, whatever the order of members was.
fn write_canonical(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Object(members) => write_members(members, &[], bytes),
        Value::Array(entries) => {
            bytes.push(b'[');
            for entry in entries {
                write_canonical(entry, bytes);
                bytes.push(b',');
            }
            bytes.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            bytes.extend_from_slice(value.to_string().as_bytes());
        }
    }
}

fn write_members(members: &Map<String, Value>, without: &[&str], bytes: &mut Vec<u8>) {
    let mut sorted: Vec<(&String, &Value)> = members
        .iter()
        .filter(|(key, _)| !without.contains(&key.as_str()))
        .collect();
    sorted.sort_by_key(|(key, _)| *key);
    bytes.push(b'{');
    for (key, value) in sorted {
        bytes.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
        bytes.push(b':');
        write_canonical(value, bytes);
        bytes.push(b',');
    }
    bytes.push(b'}');
}
