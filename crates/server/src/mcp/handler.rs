//! The handler behind the protocol: each method is one verb, or none.

use model::Error;
use protocol::{
    Cached, Changes, Completion, CompletionRequest, Context, Handler, HeaderParameter, Implementation,
    Listed, Page, Prompt, PromptCall, PromptResult, Reply, Resource, ResourceCall, ResourceContents,
    ResourceTemplate, RpcError, ServerDescription, SubscriptionFilter, TaskState, Tool, ToolCall, ToolReply,
};
use serde_json::{Map, Value};

use super::{caller::Caller, complete, door::Door, listen, prompt, resource, task, tool};

const INSTRUCTIONS: &str = "Each tool is an action of a plugin, named <plugin>__<action>. Work that may take longer \
than you can wait is best handed in with tasks__submit: it is kept until it is done, even if the server restarts. Ask \
for it with tasks__status, or wait with tasks__wait, up to 50 seconds at a time.";

type Answer<T> = Result<T, RpcError>;

impl Handler for Door {
    type Caller = Caller;

    fn describe(&self) -> ServerDescription {
        ServerDescription {
            implementation: Implementation {
                name: "mcp-server".to_owned(),
                title: Some("MCP Server".to_owned()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            instructions: Some(INSTRUCTIONS.to_owned()),
            has_prompts: true,
            has_resources: true,
            has_completions: true,
            has_tasks: true,
            // Plugins come and go with the process only.
            lists_change: false,
        }
    }

    fn principal_of(&self, caller: &Caller) -> String {
        caller.name()
    }

    fn header_parameters(&self, caller: &Caller, tool: &str) -> Vec<HeaderParameter> {
        self.catalogue().header_parameters(caller.principal(), tool)
    }

    async fn list_tools(&self, context: &Context<Caller>, page: Page) -> Answer<Cached<Listed<Tool>>> {
        tool::list(self, context, &page)
    }

    async fn call_tool(&self, context: &Context<Caller>, call: ToolCall) -> Answer<ToolReply> {
        if let Some(trace_parent) = &context.trace_parent {
            tracing::debug!(trace_parent, "a tool is called within a trace");
        }
        tool::call(self, context, call).await
    }

    async fn list_prompts(&self, context: &Context<Caller>, page: Page) -> Answer<Cached<Listed<Prompt>>> {
        prompt::list(self, context, &page)
    }

    async fn get_prompt(&self, context: &Context<Caller>, call: PromptCall) -> Answer<Reply<PromptResult>> {
        prompt::get(self, context, call).await
    }

    async fn list_resources(
        &self,
        context: &Context<Caller>,
        page: Page,
    ) -> Answer<Cached<Listed<Resource>>> {
        resource::list(self, context, &page).await
    }

    async fn list_resource_templates(
        &self,
        context: &Context<Caller>,
        page: Page,
    ) -> Answer<Cached<Listed<ResourceTemplate>>> {
        resource::list_templates(self, context, &page)
    }

    async fn read_resource(
        &self,
        context: &Context<Caller>,
        call: ResourceCall,
    ) -> Answer<Reply<Cached<ResourceContents>>> {
        resource::read(self, context, call).await
    }

    async fn complete(&self, context: &Context<Caller>, request: CompletionRequest) -> Answer<Completion> {
        complete::complete(self, context, request).await
    }

    async fn get_task(&self, context: &Context<Caller>, id: &str) -> Answer<TaskState> {
        task::get(self, context, id).await
    }

    async fn answer_task(
        &self,
        context: &Context<Caller>,
        id: &str,
        answers: Map<String, Value>,
    ) -> Answer<()> {
        task::answer(self, context, id, answers).await
    }

    async fn cancel_task(&self, context: &Context<Caller>, id: &str) -> Answer<()> {
        task::cancel(self, context, id).await
    }

    async fn listen(
        &self,
        context: &Context<Caller>,
        filter: SubscriptionFilter,
    ) -> Answer<(SubscriptionFilter, Changes)> {
        listen::listen(self, context, filter).await
    }
}

/// Seals what clients hold, with the engine's keys.
pub(super) struct Seal(engine::Sealing);

impl Seal {
    /// What this door seals opens at no other.
    ///
    /// # Errors
    /// `Bug` when the key can't be derived.
    pub(super) fn of(engine: &engine::Engine) -> Result<Self, Error> {
        engine.sealing("mcp").map(Self)
    }
}

impl protocol::Seal for Seal {
    fn seal(&self, associated: &[u8], plain: &[u8]) -> Option<String> {
        self.0.seal(associated, plain).ok()
    }

    fn open(&self, associated: &[u8], sealed: &str) -> Option<Vec<u8>> {
        self.0.open(associated, sealed)
    }
}
