//! Results as they stand on the wire, in the form of each revision.

mod task;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    catalogue::{CacheScope, Cached, Listed, Prompt, Resource, ResourceTemplate, ServerDescription, Tool},
    content::{Content, PromptResult, ToolResult},
    error::{RpcError, TASKS_EXTENSION},
    jsonrpc::Id,
    question::Questions,
    revision::Revision,
};

/// The revision that brought titles, structured results and links to resources.
const STRUCTURED_SINCE: Revision = Revision::V2025_06_18;

/// Writes results in the form of one revision, as one server.
#[derive(Clone, Copy)]
pub(crate) struct Renderer<'a> {
    /// Which form.
    pub(crate) revision: Revision,
    /// Who answers, as JSON.
    pub(crate) server_info: &'a RawValue,
}

/// How long a result may be kept, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Freshness {
    fresh_for: Duration,
    scope: CacheScope,
}

impl Freshness {
    /// What a host said of its answer.
    pub(crate) fn of<T>(cached: &Cached<T>) -> Self {
        Self {
            fresh_for: cached.fresh_for,
            scope: cached.scope,
        }
    }

    /// For what depends on more than the request's parameters.
    pub(crate) const NEVER: Self = Self {
        fresh_for: Duration::ZERO,
        scope: CacheScope::Private,
    };

    /// The same for everyone, for a while.
    pub(crate) const fn public(fresh_for: Duration) -> Self {
        Self {
            fresh_for,
            scope: CacheScope::Public,
        }
    }
}

#[derive(Serialize)]
struct ResultObject<'a, T: Serialize> {
    #[serde(rename = "resultType", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    body: T,
    #[serde(rename = "ttlMs", skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(rename = "cacheScope", skip_serializing_if = "Option::is_none")]
    cache_scope: Option<CacheScope>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<ResultMeta<'a>>,
}

#[derive(Serialize)]
struct ResultMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: &'a RawValue,
    #[serde(
        rename = "io.modelcontextprotocol/subscriptionId",
        skip_serializing_if = "Option::is_none"
    )]
    subscription: Option<&'a Id>,
}

/// A result without anything of its own.
#[derive(Serialize)]
pub(crate) struct Nothing {}

/// One list under its own name.
pub(crate) struct ListBody<T> {
    name: &'static str,
    listed: Listed<T>,
}

impl<T> ListBody<T> {
    /// The list under the name that it has in the result.
    pub(crate) fn new(name: &'static str, listed: Listed<T>) -> Self {
        Self { name, listed }
    }
}

impl<T: Serialize> Serialize for ListBody<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;

        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.name, &self.listed.entries)?;
        if let Some(cursor) = &self.listed.next_cursor {
            map.serialize_entry("nextCursor", cursor)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct ToolResultBody {
    content: Vec<Content>,
    #[serde(rename = "structuredContent", skip_serializing_if = "Option::is_none")]
    structured: Option<Value>,
    #[serde(rename = "isError")]
    is_error: bool,
}

/// What ties a notification to a stream of changes.
#[derive(Serialize)]
pub(crate) struct SubscriptionMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    pub(crate) subscription: &'a Id,
}

impl<'a> Renderer<'a> {
    /// A final result.
    pub(crate) fn complete(self, body: impl Serialize) -> Result<String, RpcError> {
        self.write("complete", body, None, None)
    }

    /// A final result that may be kept.
    pub(crate) fn cached(self, body: impl Serialize, freshness: Freshness) -> Result<String, RpcError> {
        self.write("complete", body, Some(freshness), None)
    }

    /// The result that ends a stream of changes.
    pub(crate) fn end_of_subscription(self, id: &'a Id) -> Result<String, RpcError> {
        self.write("complete", Nothing {}, None, Some(id))
    }

    /// What a tool gave.
    pub(crate) fn tool_result(self, result: ToolResult) -> Result<String, RpcError> {
        self.complete(self.tool_result_body(result))
    }

    /// Questions, and the sealed notes that must come back with the answers.
    pub(crate) fn input_required(
        self,
        questions: &Questions,
        state: Option<&str>,
    ) -> Result<String, RpcError> {
        let mut body = Map::new();
        if !questions.asked.is_empty() {
            body.insert(
                "inputRequests".to_owned(),
                Value::Object(input_requests(questions)),
            );
        }
        if let Some(state) = state {
            body.insert("requestState".to_owned(), json!(state));
        }
        if body.is_empty() {
            // A host that asks nothing and has nothing to be told would be called for ever.
            return Err(RpcError::internal());
        }
        self.write("input_required", body, None, None)
    }

    /// A filled-in prompt.
    pub(crate) fn prompt(self, mut prompt: PromptResult) -> Result<String, RpcError> {
        for message in &mut prompt.messages {
            self.fit_block(&mut message.content);
        }
        self.complete(prompt)
    }

    /// Takes out of a tool what the revision doesn't know.
    pub(crate) fn fit_tool(self, tool: &mut Tool) {
        if self.revision < STRUCTURED_SINCE {
            tool.title = None;
            tool.output_schema = None;
        }
        // Only from 2026-07-28 on may a structured result be anything else than an object.
        let describes_object = |schema: &Value| schema.get("type").and_then(Value::as_str) == Some("object");
        if !self.revision.is_stateless() && !tool.output_schema.as_ref().is_some_and(describes_object) {
            tool.output_schema = None;
        }
    }

    /// Takes out of a prompt what the revision doesn't know.
    pub(crate) fn fit_prompt(self, prompt: &mut Prompt) {
        self.fit_title(&mut prompt.title);
    }

    /// Takes out of a resource what the revision doesn't know.
    pub(crate) fn fit_resource(self, resource: &mut Resource) {
        self.fit_title(&mut resource.title);
    }

    /// Takes out of a template what the revision doesn't know.
    pub(crate) fn fit_template(self, template: &mut ResourceTemplate) {
        self.fit_title(&mut template.title);
    }

    fn fit_title(self, title: &mut Option<String>) {
        if self.revision < STRUCTURED_SINCE {
            *title = None;
        }
    }

    /// Before 2025-06-18 there are no links: the address is said in words.
    fn fit_block(self, block: &mut Content) {
        if self.revision < STRUCTURED_SINCE && block.kind() == "resource_link" {
            let uri = block.get("uri").and_then(Value::as_str).unwrap_or_default();
            *block = Content::text(uri);
        }
    }

    fn tool_result_body(self, mut result: ToolResult) -> ToolResultBody {
        for block in &mut result.content {
            self.fit_block(block);
        }
        let structured = result.structured.filter(|value| {
            self.revision.is_stateless() || (value.is_object() && self.revision >= STRUCTURED_SINCE)
        });
        ToolResultBody {
            content: result.content,
            structured,
            is_error: result.is_error,
        }
    }

    fn write(
        self,
        kind: &'static str,
        body: impl Serialize,
        freshness: Option<Freshness>,
        subscription: Option<&'a Id>,
    ) -> Result<String, RpcError> {
        let is_stateless = self.revision.is_stateless();
        let freshness = freshness.filter(|_| is_stateless);
        let object = ResultObject {
            kind: is_stateless.then_some(kind),
            body,
            ttl_ms: freshness.map(|fresh| u64::try_from(fresh.fresh_for.as_millis()).unwrap_or(u64::MAX)),
            cache_scope: freshness.map(|fresh| fresh.scope),
            meta: is_stateless.then_some(ResultMeta {
                server_info: self.server_info,
                subscription,
            }),
        };
        serde_json::to_string(&object).map_err(|_| RpcError::internal())
    }
}

/// What a server can do, in the form of a revision.
pub(crate) fn capabilities(server: &ServerDescription, revision: Revision) -> Map<String, Value> {
    let list = || {
        let mut about = Map::new();
        if server.lists_change {
            about.insert("listChanged".to_owned(), json!(true));
        }
        about
    };
    let mut said = Map::new();
    said.insert("tools".to_owned(), Value::Object(list()));
    said.insert("logging".to_owned(), json!({}));
    if server.has_prompts {
        said.insert("prompts".to_owned(), Value::Object(list()));
    }
    if server.has_resources {
        let mut resources = list();
        resources.insert("subscribe".to_owned(), json!(true));
        said.insert("resources".to_owned(), Value::Object(resources));
    }
    if server.has_completions {
        said.insert("completions".to_owned(), json!({}));
    }
    if server.has_tasks && revision.is_stateless() {
        let tasks = json!({ TASKS_EXTENSION: {} });
        said.insert("extensions".to_owned(), tasks);
    }
    said
}

fn input_requests(questions: &Questions) -> Map<String, Value> {
    let asked = questions.asked.iter().map(|(key, question)| {
        let mut request = Map::new();
        request.insert("method".to_owned(), json!(question.kind.method()));
        if !question.params.is_empty() {
            request.insert("params".to_owned(), Value::Object(question.params.clone()));
        }
        (key.clone(), Value::Object(request))
    });
    asked.collect()
}
