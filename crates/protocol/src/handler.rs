//! The one trait that a host implements.

use std::{future::Future, pin::Pin};

use futures_util::Stream;
use serde_json::{Map, Value};

use crate::{
    catalogue::{
        Cached, Completion, CompletionRequest, HeaderParameter, Listed, Prompt, Resource, ResourceTemplate,
        ServerDescription, Tool,
    },
    content::{PromptResult, ResourceContents, ToolResult},
    context::Context,
    error::RpcError,
    question::{Answers, Questions},
};

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The cursor that came with the page before; the first page without.
    pub cursor: Option<String>,
}

/// A tool to be called.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Its name.
    pub name: String,
    /// What it works on; not checked against its schema.
    pub arguments: Map<String, Value>,
    /// Answers to what it asked before.
    pub answers: Answers,
}

/// A prompt to be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptCall {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// Answers to what it asked before.
    pub answers: Answers,
}

/// A resource to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceCall {
    /// Where it is.
    pub uri: String,
    /// Answers to what it asked before.
    pub answers: Answers,
}

/// A result, or what is needed for one.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<T> {
    /// The result.
    Done(T),
    /// Questions. A client that can't answer one of them gets an error instead.
    Asks(Questions),
}

/// What comes of a tool's call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolReply {
    /// Its result.
    Done(ToolResult),
    /// Questions.
    Asks(Questions),
    /// A task that will have the result; only for a client that takes tasks. It is durable by now.
    Task(TaskHandle),
}

/// Where a task of the extension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// On its way.
    Working,
    /// It waits for answers.
    InputRequired,
    /// It has a result, which may tell of a failure.
    Completed,
    /// It ended with an error of the protocol.
    Failed,
    /// It was called off.
    Cancelled,
}

/// What every answer says of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskHandle {
    /// Its name; can't be guessed.
    pub id: String,
    /// Where it is.
    pub status: TaskStatus,
    /// More about that, for people.
    pub message: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// How long it is kept from its creation on, in milliseconds; `None` without an end.
    pub ttl_ms: Option<u64>,
    /// How often to ask, in milliseconds.
    pub poll_interval_ms: u64,
}

/// A task with what its status brings.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// What every answer says.
    pub handle: TaskHandle,
    /// What is asked and not answered yet, when `InputRequired`.
    pub questions: Questions,
    /// The result, when `Completed`.
    pub result: Option<ToolResult>,
    /// The error, when `Failed`.
    pub error: Option<RpcError>,
}

/// What a client wants to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// Changes of the list of tools.
    pub tools: bool,
    /// Changes of the list of prompts.
    pub prompts: bool,
    /// Changes of the list of resources.
    pub resources: bool,
    /// Changes of these resources.
    pub uris: Vec<String>,
    /// Changes of these tasks.
    pub task_ids: Vec<String>,
}

/// Something that a client wanted to hear of.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources.
    Resources,
    /// A resource.
    Resource(String),
    /// A task, as it is now.
    Task(Box<TaskState>),
}

/// Changes as they happen; ends when the host is about to stop, or the caller may no longer listen.
pub type Changes = Pin<Box<dyn Stream<Item = Change> + Send>>;

/// What a host does for each method. A future that is dropped is a request that was cancelled.
///
/// The crate checks before each call that the method exists in the revision spoken, that the parameters have the
/// protocol's form and that the headers agree; and after it, that the client can answer what is asked.
pub trait Handler: Send + Sync + 'static {
    /// On whose behalf requests are made.
    type Caller: Clone + Send + Sync + 'static;

    /// What the server says of itself.
    fn describe(&self) -> ServerDescription;

    /// A text that is the same for all requests of one principal, and of nobody else: sessions and sealed states are bound to it.
    fn principal_of(&self, caller: &Self::Caller) -> String;

    /// The arguments of a tool that are repeated in headers; empty for most, and for a tool that isn't there.
    fn header_parameters(&self, caller: &Self::Caller, tool: &str) -> Vec<HeaderParameter>;

    /// `tools/list`.
    fn list_tools(
        &self,
        context: &Context<Self::Caller>,
        page: Page,
    ) -> impl Future<Output = Result<Cached<Listed<Tool>>, RpcError>> + Send;

    /// `tools/call`. Bad arguments and failures of the tool are results that say so; an unknown tool is `InvalidParams`.
    fn call_tool(
        &self,
        context: &Context<Self::Caller>,
        call: ToolCall,
    ) -> impl Future<Output = Result<ToolReply, RpcError>> + Send;

    /// `prompts/list`.
    fn list_prompts(
        &self,
        context: &Context<Self::Caller>,
        page: Page,
    ) -> impl Future<Output = Result<Cached<Listed<Prompt>>, RpcError>> + Send;

    /// `prompts/get`.
    fn get_prompt(
        &self,
        context: &Context<Self::Caller>,
        call: PromptCall,
    ) -> impl Future<Output = Result<Reply<PromptResult>, RpcError>> + Send;

    /// `resources/list`.
    fn list_resources(
        &self,
        context: &Context<Self::Caller>,
        page: Page,
    ) -> impl Future<Output = Result<Cached<Listed<Resource>>, RpcError>> + Send;

    /// `resources/templates/list`.
    fn list_resource_templates(
        &self,
        context: &Context<Self::Caller>,
        page: Page,
    ) -> impl Future<Output = Result<Cached<Listed<ResourceTemplate>>, RpcError>> + Send;

    /// `resources/read`. `ResourceNotFound` for what isn't there or isn't the caller's; the code follows the revision.
    fn read_resource(
        &self,
        context: &Context<Self::Caller>,
        call: ResourceCall,
    ) -> impl Future<Output = Result<Reply<Cached<ResourceContents>>, RpcError>> + Send;

    /// `completion/complete`.
    fn complete(
        &self,
        context: &Context<Self::Caller>,
        request: CompletionRequest,
    ) -> impl Future<Output = Result<Completion, RpcError>> + Send;

    /// `tasks/get`. `InvalidParams` for what isn't there or isn't the caller's.
    fn get_task(
        &self,
        context: &Context<Self::Caller>,
        id: &str,
    ) -> impl Future<Output = Result<TaskState, RpcError>> + Send;

    /// `tasks/update`: answers, of which those that nobody asked for are ignored.
    fn answer_task(
        &self,
        context: &Context<Self::Caller>,
        id: &str,
        answers: Map<String, Value>,
    ) -> impl Future<Output = Result<(), RpcError>> + Send;

    /// `tasks/cancel`; fine for a task that has ended.
    fn cancel_task(
        &self,
        context: &Context<Self::Caller>,
        id: &str,
    ) -> impl Future<Output = Result<(), RpcError>> + Send;

    /// Begins to listen; gives what of the filter is honoured (never what the caller may not see), and the changes.
    fn listen(
        &self,
        context: &Context<Self::Caller>,
        filter: SubscriptionFilter,
    ) -> impl Future<Output = Result<(SubscriptionFilter, Changes), RpcError>> + Send;
}
