//! The plugins that this server holds, made ready to be called.

mod address;
mod directory;
mod extent;
mod gate;
mod schema;

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::{
    Action, ActionName, Error, Plugin, PluginName, Result, ResultForm, Runtime, TOOL_NAME_SEPARATOR, ToolName,
};
use serde_json::Value;
use tokio::{sync::SemaphorePermit, time::timeout};

use directory::Directory;
pub(crate) use extent::{Excess, Extent};
use gate::{Gate, overloaded};
pub(crate) use schema::Schema;

/// How large and how deep a schema may be: enough for any tool, and bounded work to compile.
const SCHEMA_EXTENT: Extent = Extent {
    bytes: 256 * 1024,
    levels: 64,
};

/// Every plugin by its name, with its schemas compiled.
pub(crate) struct Registry {
    held: HashMap<PluginName, Held>,
    /// Sorted.
    names: Vec<PluginName>,
    directory: Directory,
}

/// An action as a tool.
#[derive(Clone, Debug)]
pub struct ToolView {
    /// Its name among all plugins.
    pub name: ToolName,
    /// What it can do.
    pub action: Action,
}

/// One plugin, and how it is called.
pub(crate) struct Held {
    /// What it says of itself.
    pub(crate) plugin: Arc<Plugin>,
    /// Calls it.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Lets in as many calls at once as it can take.
    gate: Gate,
    actions: HashMap<ActionName, Ready>,
    /// Its actions, in the order in which it holds them.
    tools: Vec<Arc<ToolView>>,
}

/// One action, made ready.
pub(crate) struct Ready {
    /// What it says of itself.
    pub(crate) tool: Arc<ToolView>,
    /// What its payload must be.
    pub(crate) input: Schema,
    /// What its result must be.
    pub(crate) output: Option<Schema>,
    /// In which form its result is.
    pub(crate) result_form: ResultForm,
    /// How long a call may take.
    pub(crate) timeout: Duration,
    /// Whether it changes nothing.
    pub(crate) is_read_only: bool,
}

impl Registry {
    /// Takes the plugins of all runtimes and compiles their schemas.
    ///
    /// # Errors
    /// `Invalid` for two plugins, or two actions or prompts of one plugin, whose names differ by case at most; for a
    /// name of a tool or prompt that is too long with its plugin's; for a schema that doesn't compile, an input schema
    /// that isn't of type object, and for limits of zero; for an address that leads to resources of two plugins.
    pub(crate) fn new(runtimes: &[Arc<dyn Runtime>]) -> Result<Self> {
        let mut held = HashMap::new();
        let mut folded = HashMap::new();
        let mut directory = Directory::default();
        for runtime in runtimes {
            for plugin in runtime.plugins() {
                let name = plugin.name.clone();
                if let Some(other) = folded.insert(name.as_str().to_ascii_lowercase(), name.clone()) {
                    let message =
                        format!("has the same name as {other}; names must differ by more than case");
                    return Err(Error::invalid(name.to_string(), message));
                }
                directory.add(&plugin)?;
                held.insert(name, Held::new(plugin, Arc::clone(runtime))?);
            }
        }
        let mut names: Vec<_> = held.keys().cloned().collect();
        names.sort();
        Ok(Self {
            held,
            names,
            directory,
        })
    }

    /// Looks a plugin up.
    pub(crate) fn find(&self, name: &PluginName) -> Option<&Held> {
        self.held.get(name)
    }

    /// Every plugin, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.names.iter().filter_map(|name| self.held.get(name))
    }

    /// The plugin that answers for the address of a resource, if there is one.
    pub(crate) fn find_by_address(&self, uri: &str) -> Option<&Held> {
        self.find(self.directory.owner_of(uri)?)
    }

    /// The plugins that take fewer than `wanted` more calls at this moment, and how many they take.
    pub(crate) fn room(&self, wanted: u16) -> Vec<(PluginName, u16)> {
        let rooms = self.held.iter().map(|(name, held)| (name, held.gate.room()));
        let short = rooms.filter(|(_, room)| *room < wanted);
        short.map(|(name, room)| (name.clone(), room)).collect()
    }

    /// The longest time that a call of any action may take.
    pub(crate) fn longest_timeout(&self) -> Duration {
        let timeouts = self
            .held
            .values()
            .flat_map(|held| held.actions.values().map(|ready| ready.timeout));
        timeouts.max().unwrap_or_default()
    }
}

impl Held {
    fn new(plugin: Plugin, runtime: Arc<dyn Runtime>) -> Result<Self> {
        if plugin.max_concurrency == 0 {
            return Err(Error::invalid(
                plugin.name.to_string(),
                "must take at least one call at once",
            ));
        }
        for prompt in &plugin.prompts {
            require_short(&plugin.name, prompt.name.as_str())
                .map_err(|error| error.under(&format!("{}.{}", plugin.name, prompt.name)))?;
        }
        let mut actions = HashMap::with_capacity(plugin.actions.len());
        let mut tools = Vec::with_capacity(plugin.actions.len());
        let mut folded = HashMap::with_capacity(plugin.actions.len());
        for action in &plugin.actions {
            let path = || format!("{}.{}", plugin.name, action.name);
            if folded
                .insert(action.name.as_str().to_ascii_lowercase(), ())
                .is_some()
            {
                return Err(Error::invalid(
                    path(),
                    "differs from another action by case at most",
                ));
            }
            let ready = Ready::new(&plugin.name, action).map_err(|error| error.under(&path()))?;
            tools.push(Arc::clone(&ready.tool));
            actions.insert(action.name.clone(), ready);
        }
        Ok(Self {
            gate: Gate::new(plugin.max_concurrency),
            plugin: Arc::new(plugin),
            runtime,
            actions,
            tools,
        })
    }

    /// Its actions, in the order in which it holds them.
    pub(crate) fn tools(&self) -> &[Arc<ToolView>] {
        &self.tools
    }

    /// Waits for a turn, which ends when the answer is dropped.
    ///
    /// # Errors
    /// `Overloaded` when as many are waiting as may, or none comes within `limit`.
    pub(crate) async fn turn(&self, limit: Duration) -> Result<SemaphorePermit<'_>> {
        let turn = timeout(limit, self.gate.enter()).await;
        turn.unwrap_or_else(|_elapsed| Err(overloaded()))
    }

    /// Looks an action up.
    pub(crate) fn action(&self, name: &ActionName) -> Option<&Ready> {
        self.actions.get(name)
    }
}

impl Ready {
    fn new(plugin: &PluginName, action: &Action) -> Result<Self> {
        require_short(plugin, action.name.as_str())?;
        if action.timeout.is_zero() {
            return Err(Error::invalid("timeout", "must be longer than nothing"));
        }
        if action.input_schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(Error::invalid("inputSchema", "must be of type object"));
        }
        let compile = |schema: &Value, path: &str| {
            require_extent(schema)
                .and_then(|()| Schema::compile(schema))
                .map_err(|error| error.under(path))
        };
        let output = action.output_schema.as_ref();
        let name = ToolName {
            plugin: plugin.clone(),
            action: action.name.clone(),
        };
        let tool = ToolView {
            name,
            action: action.clone(),
        };
        Ok(Self {
            tool: Arc::new(tool),
            input: compile(&action.input_schema, "inputSchema")?,
            output: output.map(|schema| compile(schema, "outputSchema")).transpose()?,
            result_form: action.result_form,
            timeout: action.timeout,
            is_read_only: action.annotations.read_only,
        })
    }
}

/// Refuses a name that isn't short enough with its plugin's before it.
fn require_short(plugin: &PluginName, name: &str) -> Result<()> {
    let chars = plugin.as_str().len() + TOOL_NAME_SEPARATOR.len() + name.len();
    if chars <= ToolName::MAX_CHARS {
        return Ok(());
    }
    let message = format!(
        "must have at most {} characters with its plugin's name",
        ToolName::MAX_CHARS
    );
    Err(Error::invalid("", message))
}

fn require_extent(schema: &Value) -> Result<()> {
    SCHEMA_EXTENT.holds(schema).map_err(|excess| {
        let message = match excess {
            Excess::Levels => "is nested too deeply",
            Excess::Bytes => "is too large",
        };
        Error::invalid("", message)
    })
}

#[cfg(test)]
mod tests;
