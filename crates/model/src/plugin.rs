//! Plugins, their actions, and the port behind which each kind of plugin stands.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    id::{ExecutionId, TaskId},
    name::{ActionName, PluginName, PromptName},
    prompt::{FilledPrompt, Prompt},
    question::{Answers, Reply},
    report::{LogReporter, ProgressReporter},
    resource::{Resource, ResourcePart, ResourceTemplate},
};

/// What an action does to the world; hints for people and agents, and for how a call is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Changes nothing. A call is recorded once, at its end; any other call also before it begins.
    pub read_only: bool,
    /// May destroy something.
    pub destructive: bool,
    /// Done twice, it has the effect of once.
    pub idempotent: bool,
    /// Reaches beyond this server.
    pub open_world: bool,
}

impl Annotations {
    /// An action that computes and touches nothing.
    pub const PURE: Self = Self {
        read_only: true,
        destructive: false,
        idempotent: true,
        open_world: false,
    };
    /// An action that calls a foreign service and costs something there.
    pub const REMOTE: Self = Self {
        read_only: false,
        destructive: false,
        idempotent: false,
        open_world: true,
    };
}

/// How long a call usually takes, as its caller sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Span {
    /// No longer than anyone waits: never made a task.
    #[default]
    Short,
    /// Sometimes longer: made a task for a caller that takes tasks once it outlives a threshold.
    Varies,
    /// Longer than most wait: made a task at once for a caller that takes tasks.
    Long,
    /// So long that it's done as a task only: an MCP client that takes no tasks is refused.
    OnlyAsTask,
}

/// What the result of an action is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResultForm {
    /// A value, as the action's output schema says.
    #[default]
    Value,
    /// Blocks of content of the Model Context Protocol: `{"content": […], "structuredContent": …, "isError": …}`, of
    /// which the second may be missing, unless the action has an output schema: that one is about it. With `"isError":
    /// true` the blocks tell of a failure, and need no such part.
    Content,
}

/// One thing that a plugin can do.
#[derive(Clone, Debug)]
pub struct Action {
    /// Its name within the plugin.
    pub name: ActionName,
    /// Its name for people.
    pub title: String,
    /// What it does, for people and agents who choose.
    pub description: String,
    /// What its payload must be: JSON Schema 2020-12, of type object.
    pub input_schema: Value,
    /// What its result is: JSON Schema 2020-12; `None` when anything.
    pub output_schema: Option<Value>,
    /// In which form its result is.
    pub result_form: ResultForm,
    /// What it does to the world.
    pub annotations: Annotations,
    /// How long a call usually takes.
    pub span: Span,
    /// How long a call may take.
    pub timeout: Duration,
}

/// A tool that this server holds: its actions, and what it brings beside them.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its name.
    pub name: PluginName,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// Its version.
    pub version: String,
    /// Its actions, in a fixed order.
    pub actions: Vec<Action>,
    /// Its prompts, in a fixed order.
    pub prompts: Vec<Prompt>,
    /// Its resources, in a fixed order.
    pub resources: Vec<Resource>,
    /// Its patterns of further resources, the more special before the more general.
    pub resource_templates: Vec<ResourceTemplate>,
    /// How many of its calls may run at once on one process.
    pub max_concurrency: u16,
}

/// Whether a plugin can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Healthy,
    /// It can't, for the reason that is given to people.
    Unavailable(String),
}

/// Which try of a task a call is. A plugin that does something twice for one task, on different tries, can tell
/// by it: the task's id stays the same, the attempt grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallTry {
    /// The task.
    pub task_id: TaskId,
    /// From 1 on.
    pub attempt: u32,
}

/// One call of an action: the payload fits the action's schema already.
#[derive(Clone, Debug)]
pub struct Call {
    /// Names this call in the history; each try of a task is a call of its own.
    pub execution_id: ExecutionId,
    /// Which try of which task it is, if it is one.
    pub task: Option<CallTry>,
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
    /// What it works on.
    pub payload: Value,
    /// How long it may take; the caller drops the future when it is over.
    pub timeout: Duration,
    /// What was answered to what this call asked before; empty for a first call.
    pub answers: Answers,
    /// Takes what the plugin says of its progress.
    pub progress: ProgressReporter,
    /// Takes what the plugin logs for its caller.
    pub log: LogReporter,
}

/// One prompt to be filled in: all arguments that it requires are there, and none that it doesn't have.
#[derive(Clone, Debug)]
pub struct PromptCall {
    /// The plugin.
    pub plugin: PluginName,
    /// Its prompt.
    pub prompt: PromptName,
    /// What is put in, by the arguments' names.
    pub arguments: BTreeMap<String, String>,
    /// What was answered to what this call asked before; empty for a first call.
    pub answers: Answers,
    /// How long it may take; the caller drops the future when it is over.
    pub timeout: Duration,
}

/// One resource to be read.
#[derive(Clone, Debug)]
pub struct ResourceCall {
    /// The plugin.
    pub plugin: PluginName,
    /// The address: of a resource of the plugin, or one that fits a pattern of it.
    pub uri: String,
    /// What was answered to what this call asked before; empty for a first call.
    pub answers: Answers,
    /// How long it may take; the caller drops the future when it is over.
    pub timeout: Duration,
}

/// For what an argument is that someone is typing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionSubject {
    /// A prompt of the plugin.
    Prompt(PromptName),
    /// A pattern of resources of the plugin, as it stands there.
    Template(String),
}

/// An argument that someone is typing.
#[derive(Clone, Debug)]
pub struct CompletionCall {
    /// The plugin.
    pub plugin: PluginName,
    /// For what the argument is.
    pub subject: CompletionSubject,
    /// The argument's name.
    pub argument: String,
    /// What is typed so far.
    pub typed: String,
    /// Other arguments that are there already.
    pub known: BTreeMap<String, String>,
    /// How long it may take; the caller drops the future when it is over.
    pub timeout: Duration,
}

/// What an argument may become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// The best ones, best first; those beyond [`Self::MAX_COUNT`] are not shown.
    pub values: Vec<String>,
    /// How many there are in all, when that is known.
    pub total: Option<u64>,
    /// Whether there are more than `values`.
    pub has_more: bool,
}

impl Suggestions {
    /// The most values that are shown.
    pub const MAX_COUNT: usize = 100;
}

/// One kind of plugin: what it holds, and how to call it.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// The kind's name (`builtin`, `mcp`, …).
    fn kind(&self) -> &'static str;

    /// The plugins that it holds now.
    fn plugins(&self) -> Vec<Plugin>;

    /// Tells whether a plugin can be called, without calling it; `Healthy` for one that isn't held.
    fn health(&self, plugin: &PluginName) -> Health;

    /// Calls an action. Dropping the future cancels the call; the runtime sees to it that nothing of it goes on.
    ///
    /// When it asks, the call is over; it is made anew with the answers, maybe days later and on another process, maybe
    /// never. A key of a question never comes again in what a later repetition of the same call asks.
    ///
    /// # Errors
    /// `Invalid` with paths relative to the payload when it fits the schema but not the action;
    /// `PluginFailed` when a retry won't help, `PluginUnavailable` when it may; `NotFound` for what isn't held.
    async fn call(&self, call: Call) -> Result<Reply<Value>>;

    /// Fills a prompt in. Dropping the future cancels it.
    ///
    /// # Errors
    /// As [`Self::call`], with paths relative to the arguments.
    async fn prompt(&self, _: PromptCall) -> Result<Reply<FilledPrompt>> {
        Err(Error::not_found("prompt"))
    }

    /// Reads a resource. Dropping the future cancels it.
    ///
    /// # Errors
    /// As [`Self::call`]; `NotFound` when nothing is at the address.
    async fn resource(&self, _: ResourceCall) -> Result<Reply<Vec<ResourcePart>>> {
        Err(Error::not_found("resource"))
    }

    /// Suggests what an argument that is being typed may become; nothing when it doesn't know.
    ///
    /// # Errors
    /// As [`Self::call`].
    async fn complete(&self, _: CompletionCall) -> Result<Suggestions> {
        Ok(Suggestions::default())
    }
}
