//! What owners may keep with their accounts.

use model::{Error, Result};
use serde_json::{Map, Value};

/// The most bytes as JSON.
const MAX_BYTES: usize = 16 * 1024;
/// The most levels, the outermost object being the first.
const MAX_LEVELS: usize = 8;
/// The most keys, of all objects together.
const MAX_KEYS: usize = 1000;

/// Passes for metadata within the limits.
///
/// # Errors
/// `Invalid` without a path, with the limit.
pub(crate) fn require_small(metadata: &Map<String, Value>) -> Result<()> {
    let mut keys = 0;
    // One level after the other, so that the depth of a value costs no stack.
    let mut level: Vec<&Value> = take_keys(metadata, &mut keys);
    for _ in 1..MAX_LEVELS {
        level = children(&level, &mut keys);
    }
    if level.iter().any(|value| value.is_object() || value.is_array()) {
        return Err(Error::invalid("", "must have at most 8 levels"));
    }
    if keys > MAX_KEYS {
        return Err(Error::invalid("", "must have at most 1,000 keys in all"));
    }
    if serde_json::to_vec(metadata).map_err(Error::bug)?.len() > MAX_BYTES {
        return Err(Error::invalid("", "must have at most 16,384 bytes as JSON"));
    }
    Ok(())
}

fn take_keys<'a>(object: &'a Map<String, Value>, keys: &mut usize) -> Vec<&'a Value> {
    *keys += object.len();
    object.values().collect()
}

fn children<'a>(values: &[&'a Value], keys: &mut usize) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for value in values {
        match value {
            Value::Object(object) => found.extend(take_keys(object, keys)),
            Value::Array(elements) => found.extend(elements),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(value: &Value) -> Option<String> {
        let refused = require_small(value.as_object().unwrap()).err();
        refused.map(|error| error.message().to_owned())
    }

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn c08_metadata_within_every_limit_is_accepted() {
        assert_eq!(
            refusal(&json!({"$set": 1, "a.b": [], "__proto__": {}, "": null})),
            None
        );
        assert_eq!(refusal(&nested(8)), None);
        let keys: Map<String, Value> = (0..1000).map(|number| (number.to_string(), json!(0))).collect();
        assert_eq!(refusal(&Value::Object(keys)), None);
        let overhead = json!({"a": ""}).to_string().len();
        assert_eq!(refusal(&json!({"a": "x".repeat(16_384 - overhead)})), None);
    }

    #[test]
    fn c08_metadata_beyond_a_limit_is_refused_with_the_limit() {
        let keys: Map<String, Value> = (0..10_000).map(|number| (number.to_string(), json!(0))).collect();
        let overhead = json!({"a": ""}).to_string().len();
        let cases = [
            (nested(9), "8 levels"),
            (json!({"a": [[[[[[[[]]]]]]]]}), "8 levels"),
            (json!({ "inner": keys }), "1,000 keys"),
            (json!({"a": "x".repeat(16_385 - overhead)}), "16,384 bytes"),
        ];
        for (value, limit) in cases {
            assert!(
                refusal(&value).is_some_and(|message| message.contains(limit)),
                "{limit}"
            );
        }
    }
}
