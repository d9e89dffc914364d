//! What the host can do.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::stream;
use protocol::{
    Answers, CacheScope, Cached, Capabilities, Change, Changes, Completion, CompletionRequest, Content,
    Context, ErrorCode, Handler, HeaderParameter, Implementation, Listed, LogLevel, Page, Prompt,
    PromptArgument, PromptCall, PromptMessage, PromptResult, Question, QuestionKind, Questions, Reply,
    Resource, ResourceCall, ResourceContents, ResourceTemplate, RpcError, ServerDescription,
    SubscriptionFilter, TaskHandle, TaskState, TaskStatus, Tool, ToolCall, ToolReply, ToolResult,
};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, broadcast};

use super::{Lab, Who};

/// How many resources a page holds.
const PAGE: usize = 2;

impl Lab {
    pub(crate) fn new() -> Self {
        let notes = (1..=5).map(|number| (format!("lab://notes/{number}"), format!("note {number}")));
        Self {
            changes: broadcast::Sender::new(16),
            tasks: parking_lot::Mutex::default(),
            notes: parking_lot::Mutex::new(notes.collect()),
            gate: Semaphore::new(0),
            begun: Semaphore::new(0),
            dropped: Arc::new(Semaphore::new(0)),
            calls: 0.into(),
        }
    }

    fn task(&self, caller: &Who, id: &str) -> Result<TaskState, RpcError> {
        let tasks = self.tasks.lock();
        let own = tasks.get(id).filter(|(owner, _)| *owner == caller.name);
        own.map(|(_, task)| task.clone())
            .ok_or_else(|| RpcError::invalid_params("Task not found"))
    }

    /// A call that ends when the gate lets it.
    async fn wait(&self) -> ToolResult {
        let noticed = NoticeDrop(Some(Arc::clone(&self.dropped)));
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        noticed.disarm();
        said("done waiting")
    }

    fn begin_task(&self, caller: &Who) -> TaskHandle {
        let mut tasks = self.tasks.lock();
        let handle = TaskHandle {
            id: format!("task-{}", tasks.len()),
            status: TaskStatus::Working,
            message: None,
            created_at: "2026-07-28T00:00:00Z".to_owned(),
            updated_at: "2026-07-28T00:00:00Z".to_owned(),
            ttl_ms: Some(60_000),
            poll_interval_ms: 500,
        };
        let state = TaskState {
            handle: handle.clone(),
            questions: Questions::default(),
            result: None,
            error: None,
        };
        tasks.insert(handle.id.clone(), (caller.name.clone(), state));
        handle
    }
}

/// Tells when it is dropped before it was disarmed.
struct NoticeDrop(Option<Arc<Semaphore>>);

impl NoticeDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for NoticeDrop {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            dropped.add_permits(1);
        }
    }
}

pub(crate) fn said(text: &str) -> ToolResult {
    ToolResult {
        content: vec![Content::text(text)],
        ..ToolResult::default()
    }
}

/// A question for the user's name.
pub(crate) fn ask_name(state: Option<Value>) -> Questions {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    let params = json!({ "mode": "form", "message": "Who are you?", "requestedSchema": schema });
    questions(QuestionKind::Elicitation, "name", params, state)
}

fn questions(kind: QuestionKind, key: &str, params: Value, state: Option<Value>) -> Questions {
    let Value::Object(params) = params else {
        return Questions::default();
    };
    Questions {
        asked: vec![(key.to_owned(), Question { kind, params })],
        state,
    }
}

/// The question that the arguments hold: `{kind, params}`.
fn ask_as_told(mut arguments: Map<String, Value>) -> Questions {
    let kind = match arguments.get("kind").and_then(Value::as_str) {
        Some("sampling") => QuestionKind::Sampling,
        Some("roots") => QuestionKind::Roots,
        _ => QuestionKind::Elicitation,
    };
    questions(kind, "told", arguments.remove("params").unwrap_or_default(), None)
}

fn answered_name(answers: &Answers) -> Option<String> {
    let name = answers.given.get("name")?.get("content")?.get("name")?;
    name.as_str().map(str::to_owned)
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        title: Some(format!("The tool {name}")),
        description: None,
        input_schema: json!({ "type": "object" }),
        output_schema: None,
        annotations: None,
    }
}

fn privately<T>(value: T) -> Cached<T> {
    Cached {
        value,
        fresh_for: Duration::from_secs(60),
        scope: CacheScope::Private,
    }
}

fn publicly<T>(value: T) -> Cached<T> {
    Cached {
        scope: CacheScope::Public,
        ..privately(value)
    }
}

fn all<T>(entries: Vec<T>) -> Listed<T> {
    Listed {
        entries,
        next_cursor: None,
    }
}

fn speak(context: &Context<Who>) {
    context.outbox.progress(1.0, Some(3.0), Some("begun".to_owned()));
    context.outbox.progress(1.0, Some(3.0), None);
    context.outbox.log(LogLevel::Debug, None, json!("too fine"));
    context
        .outbox
        .log(LogLevel::Warning, Some("lab".to_owned()), json!({ "step": 2 }));
    context.outbox.progress(3.0, Some(3.0), None);
}

fn needs_sampling(capabilities: &Capabilities) -> Result<ToolReply, RpcError> {
    if capabilities.answers(QuestionKind::Sampling) {
        return Ok(ToolReply::Done(said("sampled")));
    }
    let mut required = Map::new();
    required.insert("sampling".to_owned(), json!({}));
    Err(RpcError::missing_capabilities(required))
}

impl Handler for Lab {
    type Caller = Who;

    fn describe(&self) -> ServerDescription {
        ServerDescription {
            implementation: Implementation {
                name: "lab".to_owned(),
                title: Some("The lab".to_owned()),
                version: "1.2.3".to_owned(),
            },
            instructions: Some("Try things.".to_owned()),
            has_prompts: true,
            has_resources: true,
            has_completions: true,
            has_tasks: true,
            lists_change: true,
        }
    }

    fn principal_of(&self, caller: &Who) -> String {
        caller.name.clone()
    }

    fn header_parameters(&self, _: &Who, tool: &str) -> Vec<HeaderParameter> {
        let parameter = |name: &str, path: &[&str]| HeaderParameter {
            name: name.to_owned(),
            path: path.iter().map(|&key| key.to_owned()).collect(),
        };
        if tool != "route" {
            return Vec::new();
        }
        vec![
            parameter("Region", &["region"]),
            parameter("Count", &["count"]),
            parameter("Force", &["options", "force"]),
        ]
    }

    async fn list_tools(&self, context: &Context<Who>, _: Page) -> Result<Cached<Listed<Tool>>, RpcError> {
        let mut tools: Vec<Tool> = [
            "echo", "fail", "speak", "wait", "greet", "later", "number", "route",
        ]
        .into_iter()
        .map(tool)
        .collect();
        tools.extend(context.caller.is_admin.then(|| tool("govern")));
        for tool in &mut tools {
            tool.output_schema = match tool.name.as_str() {
                "echo" => Some(json!({ "type": "object" })),
                "number" => Some(json!({ "type": "integer" })),
                _ => None,
            };
        }
        Ok(privately(all(tools)))
    }

    async fn call_tool(&self, context: &Context<Who>, call: ToolCall) -> Result<ToolReply, RpcError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let result = match call.name.as_str() {
            "echo" | "route" => ToolResult {
                structured: Some(Value::Object(call.arguments)),
                ..said("echo")
            },
            "fail" => ToolResult {
                is_error: true,
                ..said("it failed")
            },
            "speak" => {
                speak(context);
                said("spoken")
            }
            "wait" => {
                context.outbox.progress(1.0, None, None);
                self.wait().await
            }
            "greet" => match answered_name(&call.answers) {
                Some(name) => said(&format!("Hello, {name}! {}", json!(call.answers.state))),
                None => return Ok(ToolReply::Asks(ask_name(Some(json!({ "round": 1 }))))),
            },
            "ask" if call.answers.given.is_empty() => {
                return Ok(ToolReply::Asks(ask_as_told(call.arguments)));
            }
            "ask" => said(&json!(call.answers.given).to_string()),
            "survey" if call.answers.given.is_empty() => {
                let mut both = ask_name(None);
                both.asked
                    .extend(questions(QuestionKind::Roots, "where", json!({}), None).asked);
                return Ok(ToolReply::Asks(both));
            }
            "sample" => return needs_sampling(&context.capabilities),
            "later" if context.capabilities.takes_tasks() => {
                return Ok(ToolReply::Task(self.begin_task(&context.caller)));
            }
            "later" => said("now"),
            "wrong" => return Ok(ToolReply::Task(self.begin_task(&context.caller))),
            "number" => ToolResult {
                structured: Some(json!(42)),
                ..said("42")
            },
            "trace" => said(context.trace_parent.as_deref().unwrap_or("none")),
            "panic" => {
                context.outbox.progress(1.0, None, None);
                tokio::task::yield_now().await;
                panic!("a tool that panics")
            }
            "govern" if context.caller.is_admin => said("governed"),
            other => return Err(RpcError::invalid_params(format!("Unknown tool: {other}"))),
        };
        Ok(ToolReply::Done(result))
    }

    async fn list_prompts(&self, _: &Context<Who>, _: Page) -> Result<Cached<Listed<Prompt>>, RpcError> {
        let prompt = Prompt {
            name: "brief".to_owned(),
            title: Some("A brief".to_owned()),
            description: None,
            arguments: vec![PromptArgument {
                name: "topic".to_owned(),
                description: None,
                required: true,
            }],
        };
        Ok(publicly(all(vec![prompt])))
    }

    async fn get_prompt(&self, _: &Context<Who>, call: PromptCall) -> Result<Reply<PromptResult>, RpcError> {
        if call.name != "brief" {
            return Err(RpcError::invalid_params("Unknown prompt"));
        }
        let Some(topic) = call.arguments.get("topic").and_then(Value::as_str) else {
            return Ok(Reply::Asks(ask_name(None)));
        };
        Ok(Reply::Done(PromptResult {
            description: None,
            messages: vec![PromptMessage {
                role: "user".to_owned(),
                content: Content::text(topic),
            }],
        }))
    }

    async fn list_resources(
        &self,
        _: &Context<Who>,
        page: Page,
    ) -> Result<Cached<Listed<Resource>>, RpcError> {
        let notes = self.notes.lock();
        let from = page.cursor.unwrap_or_default();
        let mut rest = notes.keys().filter(|uri| **uri > from);
        let entries: Vec<Resource> = rest
            .by_ref()
            .take(PAGE)
            .map(|uri| Resource {
                uri: uri.clone(),
                name: uri.clone(),
                title: None,
                description: None,
                mime_type: Some("text/plain".to_owned()),
            })
            .collect();
        let next_cursor = rest.next().and(entries.last()).map(|last| last.uri.clone());
        Ok(privately(Listed { entries, next_cursor }))
    }

    async fn list_resource_templates(
        &self,
        _: &Context<Who>,
        _: Page,
    ) -> Result<Cached<Listed<ResourceTemplate>>, RpcError> {
        let template = ResourceTemplate {
            uri_template: "lab://notes/{number}".to_owned(),
            name: "notes".to_owned(),
            title: None,
            description: None,
            mime_type: None,
        };
        Ok(publicly(all(vec![template])))
    }

    async fn read_resource(
        &self,
        _: &Context<Who>,
        call: ResourceCall,
    ) -> Result<Reply<Cached<ResourceContents>>, RpcError> {
        if call.uri == "lab://secret" && call.answers.given.is_empty() {
            return Ok(Reply::Asks(ask_name(Some(json!("secret")))));
        }
        let text = match call.uri.as_str() {
            "lab://secret" => "told".to_owned(),
            uri => self.notes.lock().get(uri).cloned().ok_or_else(|| {
                RpcError::new(ErrorCode::ResourceNotFound, "Resource not found")
                    .with_data(json!({ "uri": uri }))
            })?,
        };
        let mut part = Map::new();
        part.insert("uri".to_owned(), json!(call.uri));
        part.insert("text".to_owned(), json!(text));
        Ok(Reply::Done(privately(ResourceContents { contents: vec![part] })))
    }

    async fn complete(&self, _: &Context<Who>, request: CompletionRequest) -> Result<Completion, RpcError> {
        Ok(Completion {
            values: (0..150)
                .map(|number| format!("{}{number}", request.value))
                .collect(),
            total: Some(150),
            has_more: false,
        })
    }

    async fn get_task(&self, context: &Context<Who>, id: &str) -> Result<TaskState, RpcError> {
        self.task(&context.caller, id)
    }

    async fn answer_task(
        &self,
        context: &Context<Who>,
        id: &str,
        answers: Map<String, Value>,
    ) -> Result<(), RpcError> {
        let mut task = self.task(&context.caller, id)?;
        if task
            .questions
            .asked
            .iter()
            .all(|(key, _)| answers.contains_key(key))
        {
            task.handle.status = TaskStatus::Working;
            task.questions = Questions::default();
        }
        self.tasks
            .lock()
            .insert(id.to_owned(), (context.caller.name.clone(), task));
        Ok(())
    }

    async fn cancel_task(&self, context: &Context<Who>, id: &str) -> Result<(), RpcError> {
        let mut task = self.task(&context.caller, id)?;
        task.handle.status = TaskStatus::Cancelled;
        self.tasks
            .lock()
            .insert(id.to_owned(), (context.caller.name.clone(), task));
        Ok(())
    }

    async fn listen(
        &self,
        context: &Context<Who>,
        mut filter: SubscriptionFilter,
    ) -> Result<(SubscriptionFilter, Changes), RpcError> {
        filter
            .task_ids
            .retain(|id| self.task(&context.caller, id).is_ok());
        filter.uris.retain(|uri| self.notes.lock().contains_key(uri));
        let changes = stream::unfold(self.changes.subscribe(), |mut changes| async move {
            changes.recv().await.ok().map(|change: Change| (change, changes))
        });
        Ok((filter, Box::pin(changes)))
    }
}
