//! JSON as text, which is how every database here keeps it.

use model::{Error, Result};
use serde_json::Value;

/// The deepest nesting of a JSON value that can be read back (`serde_json` stops at 128).
const MAX_DEPTH: usize = 127;

/// Turns a value into JSON text.
///
/// # Errors
/// `Invalid` when it is nested deeper than 127 levels: it could not be read back.
pub(crate) fn to_json_text(value: &Value) -> Result<String> {
    if is_deeper_than(value, MAX_DEPTH) {
        return Err(Error::invalid("", "must not be nested deeper than 127 levels"));
    }
    serde_json::to_string(value).map_err(Error::bug)
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let is_inside_too_deep = |item: &Value| match levels.checked_sub(1) {
        Some(left) => is_deeper_than(item, left),
        None => true,
    };
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(is_inside_too_deep),
        Value::Object(fields) => levels == 0 || fields.values().any(is_inside_too_deep),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
