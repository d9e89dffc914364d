//! JSON Schemas, compiled once, and what they find wrong with a value, in words for people.

mod words;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use model::{Detail, Error, Result};
use serde_json::Value;

/// Up to how many nodes of a value all mistakes are looked for; in a larger one, only the first is.
///
/// The validator collects every mistake before it gives any, so this bounds its memory.
const NODES_SEARCHED: usize = 2_000;

/// A JSON Schema of draft 2020-12.
pub(crate) struct Schema(Validator);

impl Schema {
    /// Compiles a schema.
    ///
    /// Nothing outside the schema is ever fetched. Patterns run in linear time; look-around and
    /// back-references are therefore refused.
    ///
    /// # Errors
    /// `Invalid`, without a path.
    pub(crate) fn compile(schema: &Value) -> Result<Self> {
        require_draft(schema)?;
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .offline();
        let validator = options
            .build(schema)
            .map_err(|error| Error::invalid("", format!("is no usable JSON Schema: {}", error.masked())))?;
        Ok(Self(validator))
    }

    /// Tells whether the schema accepts a value. Allocates nothing.
    pub(crate) fn accepts(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    /// Passes when the schema accepts a value.
    ///
    /// # Errors
    /// `Invalid` with paths relative to the value; never with parts of the value other than the names of
    /// unknown fields.
    pub(crate) fn check(&self, value: &Value) -> Result<()> {
        if self.accepts(value) {
            return Ok(());
        }
        let mut details = Vec::new();
        if is_within(value, NODES_SEARCHED) {
            for mistake in self.0.iter_errors(value) {
                if details.len() >= Error::MAX_DETAILS {
                    break;
                }
                words::describe(&mistake, &mut details);
            }
        } else if let Err(mistake) = self.0.validate(value) {
            words::describe(&mistake, &mut details);
        }
        if details.is_empty() {
            details.push(Detail {
                path: String::new(),
                message: "does not fit the schema".to_owned(),
            });
        }
        Err(Error::invalid_fields(details))
    }

    /// Says where the first mistake in a value is, without any of its content.
    pub(crate) fn first_mistake(&self, value: &Value) -> Option<String> {
        let mistake = self.0.validate(value).err()?;
        Some(masked(&mistake))
    }
}

fn masked(mistake: &ValidationError<'_>) -> String {
    format!("{}: {}", mistake.schema_path(), mistake.kind().keyword())
}

fn require_draft(schema: &Value) -> Result<()> {
    const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
    let named = schema.get("$schema").and_then(Value::as_str);
    match named.map(|uri| uri.trim_end_matches('#')) {
        None | Some(DRAFT) => Ok(()),
        Some(_) => Err(Error::invalid("$schema", "must be draft 2020-12, or left out")),
    }
}

/// Tells whether a value has at most `limit` nodes, without looking at more.
fn is_within(value: &Value, limit: usize) -> bool {
    let mut open = vec![value];
    let mut seen = 0;
    while let Some(node) = open.pop() {
        seen += 1;
        if seen + open.len() > limit {
            return false;
        }
        match node {
            Value::Array(entries) => open.extend(entries.iter().take(limit)),
            Value::Object(fields) => open.extend(fields.values().take(limit)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    true
}

#[cfg(test)]
mod tests;
