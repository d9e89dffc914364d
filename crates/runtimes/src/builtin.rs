//! The plugins that come with the server. A new one is a file here and a line in [`Builtin::new`].

mod payload;
mod schema;
mod offload;

mod data_processor;
mod llm;
mod sample;

use std::{fmt, pin::Pin, sync::Arc};

use async_trait::async_trait;
use model::{Call, Entropy, Error, Health, Plugin, PluginName, Reply, Result, Runtime};
use serde_json::Value;

pub use llm::{LlmProvider, LlmSettings, ProviderSettings};

/// Holds the built-in plugins.
pub struct Builtin {
    plugins: Vec<Box<dyn BuiltinPlugin>>,
}

impl Builtin {
    /// Makes all built-in plugins ready; opens no connection and reads no file.
    ///
    /// # Errors
    /// `Invalid`, naming the variable, when a setting of the `llm` plugin can't be used.
    pub fn new(llm: LlmSettings, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let plugins: Vec<Box<dyn BuiltinPlugin>> = vec![
            Box::new(data_processor::DataProcessor::new()?),
            Box::new(llm::Llm::new(llm, entropy)?),
            Box::new(sample::Sample::new()?),
        ];
        Ok(Self { plugins })
    }

    fn find(&self, name: &PluginName) -> Option<&dyn BuiltinPlugin> {
        let found = self.plugins.iter().find(|held| held.plugin().name == *name)?;
        Some(found.as_ref())
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.plugins.iter().map(|held| &held.plugin().name);
        f.debug_set().entries(names).finish()
    }
}

#[async_trait]
impl Runtime for Builtin {
    fn kind(&self) -> &'static str {
        "builtin"
    }

    fn plugins(&self) -> Vec<Plugin> {
        self.plugins.iter().map(|held| held.plugin().clone()).collect()
    }

    fn health(&self, plugin: &PluginName) -> Health {
        self.find(plugin).map_or(Health::Healthy, BuiltinPlugin::health)
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        let plugin = self
            .find(&call.plugin)
            .ok_or_else(|| Error::not_found("plugin"))?;
        let result = match plugin.call(call) {
            Answer::Now(result) => result,
            Answer::Later(result) => result.await,
        };
        result.map(Reply::Done)
    }
}

/// One plugin that comes with the server.
trait BuiltinPlugin: Send + Sync {
    /// What it is and can do.
    fn plugin(&self) -> &Plugin;

    /// Whether it can be called.
    fn health(&self) -> Health {
        Health::Healthy
    }

    /// Begins a call; `NotFound` for an action that it doesn't have.
    fn call(&self, call: Call) -> Answer<'_>;
}

/// What comes of a call: small work is done at once and needs no future of its own.
enum Answer<'a> {
    /// The result.
    Now(Result<Value>),
    /// What gives the result; dropping it cancels the call.
    Later(Pin<Box<dyn Future<Output = Result<Value>> + Send + 'a>>),
}

impl<'a> Answer<'a> {
    fn later(result: impl Future<Output = Result<Value>> + Send + 'a) -> Self {
        Self::Later(Box::pin(result))
    }

    fn unknown_action() -> Self {
        Self::Now(Err(Error::not_found("action")))
    }
}
