//! JSON-RPC 2.0, as strict as MCP wants it.
//!
//! Unknown members of a message are ignored. A member of the envelope that is given twice makes it invalid, since two
//! readers could see two different messages; of members given twice further down the last one counts.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de::Visitor};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    error::{ErrorCode, RpcError},
    revision::Revision,
};

/// How many messages a batch may hold.
const MAX_BATCH: usize = 50;

/// What is sent if an answer can't be written, which no value of this crate brings about.
const UNWRITABLE: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"the server failed"}}"#;

/// What ties an answer to its request: text, or an integer of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub(crate) enum Id {
    /// An integer.
    Integer(i64),
    /// Text.
    Text(String),
}

/// Something that wants an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// Ties the answer to it.
    pub(crate) id: Id,
    /// What is wanted.
    pub(crate) method: String,
    /// Its parameters; empty when there were none, or `null`.
    pub(crate) params: Map<String, Value>,
}

/// Something that wants no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notification {
    /// What happened.
    pub(crate) method: String,
    /// More about it.
    pub(crate) params: Map<String, Value>,
}

/// An answer of the client to a request of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    /// The request's.
    pub(crate) id: Id,
    /// The result, or the error.
    pub(crate) outcome: Result<Value, Value>,
}

/// What a client can send.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// Something that wants an answer.
    Request(Request),
    /// Something that wants no answer.
    Notification(Notification),
    /// An answer.
    Response(Response),
}

/// Why something is no message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The id, when one could be read.
    pub(crate) id: Option<Id>,
    /// `Parse`, `InvalidRequest`, or `InvalidParams` for positional parameters.
    pub(crate) error: Box<RpcError>,
}

impl Id {
    pub(crate) fn read(value: &Value) -> Option<Self> {
        value
            .as_i64()
            .map(Self::Integer)
            .or_else(|| value.as_str().map(|text| Self::Text(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or an integer")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id::Integer(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Id, E> {
                i64::try_from(number).map(Id::Integer).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(IdVisitor)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Id>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Map<String, Value>>,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

/// Reads what must not be `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    Id::deserialize(deserializer).map(Some)
}

/// Tells whether the text is a batch, if it is JSON at all.
pub(crate) fn is_batch(text: &[u8]) -> bool {
    first_byte(text) == Some(b'[')
}

/// Reads one message; a batch is refused.
pub(crate) fn parse(text: &[u8]) -> Result<Message, Refusal> {
    // Only an object: the derived reader would take an array of the members, too.
    if first_byte(text) != Some(b'{') {
        return Err(explain(text));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(|_| explain(text))?;
    open(envelope)
}

/// Reads a batch of up to 50 messages, each of which may be refused by itself.
pub(crate) fn parse_batch(text: &[u8]) -> Result<Vec<Result<Message, Refusal>>, Refusal> {
    let parts: Vec<&RawValue> = serde_json::from_slice(text).map_err(|_| explain(text))?;
    if parts.is_empty() || parts.len() > MAX_BATCH {
        let message = format!("a batch holds 1 to {MAX_BATCH} messages");
        return Err(refuse(None, ErrorCode::InvalidRequest, message));
    }
    Ok(parts
        .into_iter()
        .map(|part| parse(part.get().as_bytes()))
        .collect())
}

/// Writes a result, given as JSON.
pub(crate) fn result_message(id: &Id, result: &str) -> String {
    let mut text = String::with_capacity(result.len() + 64);
    text.push_str(r#"{"jsonrpc":"2.0","id":"#);
    text.push_str(&serde_json::to_string(id).unwrap_or_default());
    text.push_str(r#","result":"#);
    text.push_str(result);
    text.push('}');
    text
}

/// Writes an error with the number that it has in the revision; without an id when none could be read.
pub(crate) fn error_message(id: Option<&Id>, error: &RpcError, revision: Revision) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        jsonrpc: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
        error: ErrorObject<'a>,
    }

    write(&Line {
        jsonrpc: "2.0",
        id,
        error: ErrorObject::new(error, revision),
    })
}

/// Writes a notification.
pub(crate) fn notification_message(method: &str, params: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Line<'a, P: Serialize> {
        jsonrpc: &'static str,
        method: &'a str,
        params: &'a P,
    }

    write(&Line {
        jsonrpc: "2.0",
        method,
        params,
    })
}

/// Writes a request of ours to a client.
pub(crate) fn request_message(id: &Id, method: &str, params: &Map<String, Value>) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        jsonrpc: &'static str,
        id: &'a Id,
        method: &'a str,
        #[serde(skip_serializing_if = "Map::is_empty")]
        params: &'a Map<String, Value>,
    }

    write(&Line {
        jsonrpc: "2.0",
        id,
        method,
        params,
    })
}

/// An error as it stands on the wire.
#[derive(Serialize)]
pub(crate) struct ErrorObject<'a> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

impl<'a> ErrorObject<'a> {
    /// The error with the number that it has in the revision.
    pub(crate) fn new(error: &'a RpcError, revision: Revision) -> Self {
        Self {
            code: error.code.number_in(revision),
            message: &error.message,
            data: error.data.as_ref(),
        }
    }
}

fn write(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_else(|_| UNWRITABLE.to_owned())
}

fn first_byte(text: &[u8]) -> Option<u8> {
    text.iter()
        .copied()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

fn refuse(id: Option<Id>, code: ErrorCode, message: impl Into<String>) -> Refusal {
    Refusal {
        id,
        error: Box::new(RpcError::new(code, message)),
    }
}

fn open(envelope: Envelope<'_>) -> Result<Message, Refusal> {
    let Envelope {
        jsonrpc,
        id,
        method,
        params,
        result,
        error,
    } = envelope;
    let invalid = |id, message| Err(refuse(id, ErrorCode::InvalidRequest, message));
    if jsonrpc != "2.0" {
        return invalid(id, "`jsonrpc` must be \"2.0\"");
    }
    let params = params.unwrap_or_default();
    match (method, id, result, error) {
        (Some(method), Some(id), None, None) => Ok(Message::Request(Request { id, method, params })),
        (Some(method), None, None, None) => Ok(Message::Notification(Notification { method, params })),
        (None, Some(id), Some(result), None) => Ok(Message::Response(Response {
            id,
            outcome: Ok(result),
        })),
        (None, Some(id), None, Some(error)) => Ok(Message::Response(Response {
            id,
            outcome: Err(error),
        })),
        (_, id, _, _) => invalid(
            id,
            "a message has a `method`, or else an `id` and a `result` or an `error`",
        ),
    }
}

/// Finds out what is wrong with a text that was refused; not on the way of any good request.
fn explain(text: &[u8]) -> Refusal {
    let members = match serde_json::from_slice::<Value>(text) {
        Err(_) => {
            return refuse(
                None,
                ErrorCode::Parse,
                "not JSON, or nested more than 127 levels deep",
            );
        }
        Ok(Value::Object(members)) => members,
        Ok(Value::Array(_)) => {
            return refuse(
                None,
                ErrorCode::InvalidRequest,
                "batches are not taken here: send one message",
            );
        }
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            return refuse(None, ErrorCode::InvalidRequest, "a message is a JSON object");
        }
    };
    let id = members.get("id").and_then(Id::read);
    let invalid = |message| refuse(id.clone(), ErrorCode::InvalidRequest, message);
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid("`jsonrpc` must be \"2.0\"");
    }
    if members.contains_key("id") && id.is_none() {
        return invalid("`id` must be a string or an integer of 64 bits");
    }
    if members.get("method").is_some_and(|method| !method.is_string()) {
        return invalid("`method` must be a string");
    }
    match members.get("params") {
        Some(Value::Array(_)) => refuse(id, ErrorCode::InvalidParams, "`params` must be an object"),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => invalid("`params` must be an object"),
        None | Some(Value::Null | Value::Object(_)) => invalid("a member of the message is given twice"),
    }
}
