//! Plugins, their actions, and the port behind which each kind of plugin stands.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    id::{ExecutionId, TaskId},
    scope::require_plugin_name,
};

/// What stands between plugin and action in the name of a tool; neither name can contain it.
pub const TOOL_NAME_SEPARATOR: &str = "__";

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// 1 to 32 ASCII letters, digits, hyphens and single underscores; begins with a letter, does not
        /// end with an underscore. So a tool's name (`plugin__action`) has at most 64 characters and can be
        /// taken apart in one way only.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of
            /// JSON Schema (ECMA-262).
            pub const PATTERN: &'static str = "^[A-Za-z](?:_?[A-Za-z0-9-])*$";
            /// The most characters that a name has.
            pub const MAX_CHARS: usize = 32;

            /// Reads a name.
            ///
            /// # Errors
            /// `Invalid`, without a path.
            pub fn parse(text: &str) -> Result<Self> {
                require_plugin_name(text)?;
                Ok(Self(text.into()))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    )*};
}

names! {
    /// Names a plugin.
    PluginName;
    /// Names an action within its plugin.
    ActionName;
}

/// Names an action among all plugins: `plugin__action`, as MCP clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolName {
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{TOOL_NAME_SEPARATOR}{}", self.plugin, self.action)
    }
}

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
    /// What it does to the world.
    pub annotations: Annotations,
    /// How long a call may take.
    pub timeout: Duration,
}

/// A tool that this server holds.
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

/// How far a call has come, as its plugin says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// What is being done, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Takes what a plugin says of its progress. Cheap, never blocks; of many reports in a short time, the last counts.
#[derive(Clone, Default)]
pub struct ProgressReporter(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl ProgressReporter {
    /// Hands every report on.
    #[must_use]
    pub fn new(take: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(take)))
    }

    /// Says how far the call has come: a fraction from 0 to 1 (what lies outside is moved there; not a number is
    /// dropped), and what is being done (cut off after 256 characters).
    pub fn report(&self, fraction: f64, message: Option<&str>) {
        const MAX_CHARS: usize = 256;
        if let Some(take) = &self.0
            && !fraction.is_nan()
        {
            take(Progress {
                fraction: fraction.clamp(0.0, 1.0),
                message: message.map(|text| text.chars().take(MAX_CHARS).collect()),
            });
        }
    }
}

impl fmt::Debug for ProgressReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "ProgressReporter"
        } else {
            "ProgressReporter(none)"
        })
    }
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
    /// Takes what the plugin says of its progress.
    pub progress: ProgressReporter,
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
    /// # Errors
    /// `Invalid` with paths relative to the payload when it fits the schema but not the action;
    /// `PluginFailed` when a retry won't help, `PluginUnavailable` when it may; `NotFound` for what isn't held.
    async fn call(&self, call: Call) -> Result<Value>;
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("echo", true)]
    #[case("dataProcessor", true)]
    #[case("read-file_2", true)]
    #[case("", false)]
    #[case("a__b", false)]
    #[case("a_", false)]
    #[case("_a", false)]
    #[case("1a", false)]
    #[case("a.b", false)]
    #[case("ä", false)]
    #[case("a23456789012345678901234567890123", false)]
    fn name_accepts_what_every_client_can_show(#[case] text: &str, #[case] is_accepted: bool) {
        assert_eq!(PluginName::parse(text).is_ok(), is_accepted);
        assert_eq!(ActionName::parse(text).is_ok(), is_accepted);
    }
}
