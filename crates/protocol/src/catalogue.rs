//! What a server says of itself and of what it holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who speaks: a server or a client, as it says itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Implementation {
    /// Its name.
    pub name: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its version.
    pub version: String,
}

/// What a server says when it is asked what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerDescription {
    /// Who it is.
    pub implementation: Implementation,
    /// How a model should use it.
    pub instructions: Option<String>,
    /// Whether prompts are served.
    pub has_prompts: bool,
    /// Whether resources are served, with subscriptions.
    pub has_resources: bool,
    /// Whether `completion/complete` is served.
    pub has_completions: bool,
    /// Whether the extension `io.modelcontextprotocol/tasks` is served.
    pub has_tasks: bool,
    /// Whether lists can change while the server runs, and [`crate::Change`] tells of it.
    pub lists_change: bool,
}

/// Hints for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own fields")]
pub struct ToolAnnotations {
    /// Changes nothing.
    #[serde(rename = "readOnlyHint")]
    pub read_only: bool,
    /// May destroy something.
    #[serde(rename = "destructiveHint")]
    pub destructive: bool,
    /// Done twice, it has the effect of once.
    #[serde(rename = "idempotentHint")]
    pub idempotent: bool,
    /// Reaches beyond the server.
    #[serde(rename = "openWorldHint")]
    pub open_world: bool,
}

/// A tool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its arguments must be: JSON Schema of type object.
    pub input_schema: Value,
    /// What its structured result is: JSON Schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<ToolAnnotations>,
}

/// An argument of a tool that a client repeats in a header (`x-mcp-header`, from 2026-07-28 on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParameter {
    /// What stands after `Mcp-Param-`.
    pub name: String,
    /// The keys that lead to it in the arguments.
    pub path: Vec<String>,
}

/// An argument of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it must be given.
    pub required: bool,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What can be put in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<PromptArgument>,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Where it is.
    pub uri: String,
    /// Its name.
    pub name: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In which form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// Many resources whose addresses follow one pattern (RFC 6570).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceTemplate {
    /// The pattern.
    pub uri_template: String,
    /// Its name.
    pub name: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What they hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In which form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheScope {
    /// Anyone: it is the same for all.
    Public,
    /// The same caller.
    Private,
}

/// An answer, and how long it may be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Cached<T> {
    /// The answer.
    pub value: T,
    /// How long it may count as fresh; whole milliseconds.
    pub fresh_for: Duration,
    /// Who may keep it.
    pub scope: CacheScope,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T> {
    /// Its entries.
    pub entries: Vec<T>,
    /// Leads to the next page.
    pub next_cursor: Option<String>,
}

/// What is to be completed.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    /// `{"type":"ref/prompt","name":…}` or `{"type":"ref/resource","uri":…}`.
    pub reference: Map<String, Value>,
    /// The argument's name.
    pub argument: String,
    /// What was typed so far.
    pub value: String,
    /// Arguments that are known already.
    pub known: Map<String, Value>,
}

/// Suggestions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// At most 100.
    pub values: Vec<String>,
    /// How many there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Whether there are more than `values`.
    pub has_more: bool,
}
