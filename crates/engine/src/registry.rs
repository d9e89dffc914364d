//! The plugins that this server holds, made ready to be called.

mod extent;
mod gate;
mod schema;

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::{Action, ActionName, Error, Plugin, PluginName, Result, ResultForm, Runtime};
use serde_json::Value;

pub(crate) use extent::{Excess, Extent};
use gate::Gate;
pub(crate) use gate::overloaded;
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
}

/// One plugin, and how it is called.
pub(crate) struct Held {
    /// What it says of itself.
    pub(crate) plugin: Arc<Plugin>,
    /// Calls it.
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Lets in as many calls at once as it can take.
    pub(crate) gate: Gate,
    actions: HashMap<ActionName, Ready>,
}

/// One action, made ready.
pub(crate) struct Ready {
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
    /// `Invalid` for two plugins, or two actions of one plugin, whose names differ by case at most; for a schema
    /// that doesn't compile, an input schema that isn't of type object, and for limits of zero.
    pub(crate) fn new(runtimes: &[Arc<dyn Runtime>]) -> Result<Self> {
        let mut held = HashMap::new();
        let mut folded = HashMap::new();
        for runtime in runtimes {
            for plugin in runtime.plugins() {
                let name = plugin.name.clone();
                if let Some(other) = folded.insert(name.as_str().to_ascii_lowercase(), name.clone()) {
                    let message =
                        format!("has the same name as {other}; names must differ by more than case");
                    return Err(Error::invalid(name.to_string(), message));
                }
                held.insert(name, Held::new(plugin, Arc::clone(runtime))?);
            }
        }
        let mut names: Vec<_> = held.keys().cloned().collect();
        names.sort();
        Ok(Self { held, names })
    }

    /// Looks a plugin up.
    pub(crate) fn find(&self, name: &PluginName) -> Option<&Held> {
        self.held.get(name)
    }

    /// Every plugin, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.names.iter().filter_map(|name| self.held.get(name))
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
        let mut actions = HashMap::with_capacity(plugin.actions.len());
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
            let ready = Ready::new(action).map_err(|error| error.under(&path()))?;
            actions.insert(action.name.clone(), ready);
        }
        Ok(Self {
            gate: Gate::new(plugin.max_concurrency),
            plugin: Arc::new(plugin),
            runtime,
            actions,
        })
    }

    /// Looks an action up.
    pub(crate) fn action(&self, name: &ActionName) -> Option<&Ready> {
        self.actions.get(name)
    }
}

impl Ready {
    fn new(action: &Action) -> Result<Self> {
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
        Ok(Self {
            input: compile(&action.input_schema, "inputSchema")?,
            output: output.map(|schema| compile(schema, "outputSchema")).transpose()?,
            result_form: action.result_form,
            timeout: action.timeout,
            is_read_only: action.annotations.read_only,
        })
    }
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
