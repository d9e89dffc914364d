//! The headers that repeat parts of a message, so that what routes requests needn't read bodies. They must agree with the
//! body: what routed the request and what carries it out would else see two different ones.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value};

use crate::{
    accepted::media_type,
    catalogue::HeaderParameter,
    error::{ErrorCode, RpcError},
    jsonrpc::Request,
    methods::MethodRow,
    revision::Revision,
    stateless::{declared_version, unsupported_version},
};

/// Which revision is spoken.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Begins a value that is base64 of UTF-8.
const ENCODED_FROM: &str = "=?base64?";

/// Ends it.
const ENCODED_TO: &str = "?=";

/// Tells whether the body says that it is JSON. One that doesn't could be sent by any web page without asking.
pub(crate) fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| media_type(kind).eq_ignore_ascii_case("application/json"))
}

/// Reads the version that the headers name.
pub(crate) fn named_version(headers: &HeaderMap) -> Result<Option<&str>, RpcError> {
    single(headers, &PROTOCOL_VERSION)
}

/// Checks that the version, the method and the name in the headers are the body's, and that the version is spoken.
pub(crate) fn check_standard_headers(headers: &HeaderMap, request: &Request) -> Result<(), RpcError> {
    let named = named_version(headers)?;
    let declared = declared_version(&request.params).and_then(Value::as_str);
    match (named, declared) {
        (Some(named), Some(declared)) if named != declared => {
            return Err(mismatch(
                "MCP-Protocol-Version",
                "differs from the version in `_meta`",
            ));
        }
        (Some(version), _) | (None, Some(version)) if !is_stateless(version) => {
            return Err(unsupported_version(version));
        }
        (None, _) => return Err(mismatch("MCP-Protocol-Version", "is missing")),
        (Some(_), _) => {}
    }
    match single(headers, &METHOD)? {
        Some(method) if method == request.method => {}
        Some(_) => return Err(mismatch("Mcp-Method", "differs from the method in the body")),
        None => return Err(mismatch("Mcp-Method", "is missing")),
    }
    let named_by = MethodRow::find(&request.method, Revision::V2026_07_28).and_then(|row| row.named_by);
    // A body without the name is refused for that, later.
    let Some(name) = named_by
        .and_then(|key| request.params.get(key))
        .and_then(Value::as_str)
    else {
        return Ok(());
    };
    match single(headers, &NAME)? {
        Some(value) if decode("Mcp-Name", value)? == name => Ok(()),
        Some(_) => Err(mismatch("Mcp-Name", "differs from the name in the body")),
        None => Err(mismatch("Mcp-Name", "is missing")),
    }
}

/// Checks that arguments which are repeated in headers are the same there.
pub(crate) fn check_parameter_headers(
    headers: &HeaderMap,
    parameters: &[HeaderParameter],
    arguments: Option<&Value>,
) -> Result<(), RpcError> {
    let nothing = Map::new();
    let arguments = arguments.and_then(Value::as_object).unwrap_or(&nothing);
    for parameter in parameters {
        let shown = format!("Mcp-Param-{}", parameter.name);
        let Ok(name) = HeaderName::try_from(&shown) else {
            // No client can send such a header.
            continue;
        };
        match (single(headers, &name)?, value_at(arguments, &parameter.path)) {
            (None, None) => {}
            (None, Some(_)) => return Err(mismatch(&shown, "is missing, and the body has a value")),
            (Some(_), None) => return Err(mismatch(&shown, "is there, and the body has no value")),
            (Some(said), Some(value)) => {
                if !is_same(&decode(&shown, said)?, value) {
                    return Err(mismatch(&shown, "differs from the value in the body"));
                }
            }
        }
    }
    Ok(())
}

fn is_stateless(version: &str) -> bool {
    Revision::find(version).is_some_and(Revision::is_stateless)
}

fn mismatch(header: &str, problem: &str) -> RpcError {
    RpcError::new(
        ErrorCode::HeaderMismatch,
        format!("Header mismatch: {header} {problem}"),
    )
}

/// The one value of a header, without the space around it.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(mismatch(name.as_str(), "is given more than once"));
    }
    read_plain(name, value).map(Some)
}

fn read_plain<'h>(name: &HeaderName, value: &'h HeaderValue) -> Result<&'h str, RpcError> {
    let text = value
        .to_str()
        .map_err(|_| mismatch(name.as_str(), "holds characters that a header can't"))?;
    Ok(text.trim_matches([' ', '\t']))
}

/// Reads a value that may be encoded.
fn decode<'v>(header: &str, value: &'v str) -> Result<Cow<'v, str>, RpcError> {
    let encoded = value
        .strip_prefix(ENCODED_FROM)
        .and_then(|rest| rest.strip_suffix(ENCODED_TO));
    let Some(encoded) = encoded else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| mismatch(header, "isn't valid base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| mismatch(header, "isn't UTF-8"))?;
    Ok(Cow::Owned(text))
}

/// The value at a path; `None` also for `null`, which is sent in no header.
fn value_at<'v>(arguments: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (last, way) = path.split_last()?;
    let object = way
        .iter()
        .try_fold(arguments, |object, key| object.get(key)?.as_object())?;
    object.get(last).filter(|value| !value.is_null())
}

/// Compares as the protocol says: numbers by value, all else as text.
fn is_same(said: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => said == text,
        Value::Bool(flag) => said == if *flag { "true" } else { "false" },
        Value::Number(number) => match (said.parse::<i64>(), number.as_i64()) {
            (Ok(said), Some(number)) => said == number,
            // Digits only: Rust also reads `inf` and `1e5`, which no client sends.
            (Ok(_) | Err(_), _) => {
                said.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
                    && said.parse::<f64>().ok() == number.as_f64()
            }
        },
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
