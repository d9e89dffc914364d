//! The plugin `fixture`: tools, prompts and resources whose names and behaviour the conformance suite dictates.

mod tool;
mod sample;
mod content;
mod speech;
mod question;
mod job;
mod prompt;
mod resource;

use async_trait::async_trait;
use model::{
    Call, CompletionCall, Error, FilledPrompt, Health, Plugin, PluginName, PromptCall, Reply, ResourceCall,
    ResourcePart, Result, Runtime, Suggestions,
};
use serde_json::Value;

/// The plugin's name. Its tools and prompts are known without it, since the suite names them.
pub(crate) const NAME: &str = "fixture";

/// Holds the plugin.
pub(crate) struct Fixture {
    plugin: Plugin,
}

impl Fixture {
    /// Puts the plugin together.
    pub(crate) fn new() -> Result<Self> {
        let tools = [content::tools(), speech::tools(), question::tools(), job::tools()];
        let actions = tools.into_iter().flatten().map(tool::Tool::action);
        Ok(Self {
            plugin: Plugin {
                name: PluginName::parse(NAME)?,
                title: "Fixture".into(),
                description: "What the conformance suite asks for.".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                actions: actions.collect::<Result<_>>()?,
                prompts: prompt::all()?,
                resources: resource::all(),
                resource_templates: resource::templates(),
                max_concurrency: 64,
            },
        })
    }
}

#[async_trait]
impl Runtime for Fixture {
    fn kind(&self) -> &'static str {
        "fixture"
    }

    fn plugins(&self) -> Vec<Plugin> {
        vec![self.plugin.clone()]
    }

    fn health(&self, _plugin: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        if let Some(outcome) = content::call(&call) {
            return outcome;
        }
        if let Some(outcome) = question::call(&call) {
            return outcome;
        }
        if let Some(outcome) = speech::call(&call).await {
            return outcome;
        }
        let outcome = job::call(&call).await;
        outcome.unwrap_or_else(|| Err(Error::not_found("action")))
    }

    async fn prompt(&self, call: PromptCall) -> Result<Reply<FilledPrompt>> {
        prompt::fill(&call)
    }

    async fn resource(&self, call: ResourceCall) -> Result<Reply<Vec<ResourcePart>>> {
        resource::read(&call.uri).map(|part| Reply::Done(vec![part]))
    }

    async fn complete(&self, call: CompletionCall) -> Result<Suggestions> {
        Ok(prompt::complete(&call))
    }
}
