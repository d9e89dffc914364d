//! Builds the JSON Schemas of actions.

use serde_json::{Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// An object with these properties and no others.
pub(super) fn object(properties: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A whole schema: an object with these properties and no others.
pub(super) fn whole(properties: &Value, required: &[&str]) -> Value {
    let mut schema = object(properties, required);
    if let Value::Object(keywords) = &mut schema {
        keywords.shift_insert(0, "$schema".to_owned(), DIALECT.into());
    }
    schema
}

/// A whole schema of an action's input, with payloads that the action takes.
pub(super) fn input(properties: &Value, required: &[&str], examples: Value) -> Value {
    let mut schema = whole(properties, required);
    if let Value::Object(keywords) = &mut schema {
        keywords.insert("examples".to_owned(), examples);
    }
    schema
}
