//! What tools, prompts and resources give.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// One block of content, in the form of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Content(Map<String, Value>);

impl Content {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let mut block = Map::with_capacity(2);
        block.insert("type".to_owned(), json!("text"));
        block.insert("text".to_owned(), Value::String(text.into()));
        Self(block)
    }

    /// Takes a block as it is; `None` unless it is an object with a `type` that the protocol knows (`text`, `image`, `audio`,
    /// `resource_link`, `resource`).
    #[must_use]
    pub fn from_json(block: Value) -> Option<Self> {
        let Value::Object(block) = block else {
            return None;
        };
        let kind = block.get("type").and_then(Value::as_str)?;
        matches!(kind, "text" | "image" | "audio" | "resource_link" | "resource").then_some(Self(block))
    }

    /// One member of the block.
    #[must_use]
    pub fn get(&self, member: &str) -> Option<&Value> {
        self.0.get(member)
    }

    /// The block's `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What a tool gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// For people and models.
    pub content: Vec<Content>,
    /// For programs; as the tool's output schema says. Left out before 2025-06-18, and before 2026-07-28 unless it is an object.
    pub structured: Option<Value>,
    /// Whether this tells of a failure.
    pub is_error: bool,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptMessage {
    /// `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: Content,
}

/// A prompt with its arguments put in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptResult {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is said.
    pub messages: Vec<PromptMessage>,
}

/// What a resource holds: `{uri, mimeType?, text | blob}` each.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceContents {
    /// One or more parts.
    pub contents: Vec<Map<String, Value>>,
}
