//! What an API key is narrowed to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// One thing that a narrowed key may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read tasks.
    TasksRead,
    /// Create, change and run tasks.
    TasksWrite,
    /// See plugins and their actions.
    PluginsRead,
    /// Call every plugin.
    PluginsExecute,
    /// Call one plugin.
    PluginsExecuteOne(String),
    /// Read the history of calls.
    HistoryRead,
    /// Read accounts, one's own included.
    UsersRead,
    /// Change accounts, one's own included.
    UsersWrite,
    /// Everything that the owner may.
    Admin,
}

impl Scope {
    /// The scopes that have a fixed text.
    pub const FIXED: [Self; 8] = [
        Self::TasksRead,
        Self::TasksWrite,
        Self::PluginsRead,
        Self::PluginsExecute,
        Self::HistoryRead,
        Self::UsersRead,
        Self::UsersWrite,
        Self::Admin,
    ];

    /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of JSON
    /// Schema (ECMA-262).
    pub const PATTERN: &'static str = "^(?:tasks:read|tasks:write|plugins:read|plugins:execute|history:read|users:read|users:write|admin|\
         plugins:execute:[A-Za-z](?:_?[A-Za-z0-9-])*)$";
    /// The most characters that a scope has: those of `plugins:execute:` and of the longest plugin's name.
    pub const MAX_CHARS: usize = 48;

    /// Tells whether holding this scope is enough where `needed` is asked for.
    #[must_use]
    pub fn covers(&self, needed: &Self) -> bool {
        self == needed
            || *self == Self::Admin
            || (*self == Self::PluginsExecute && matches!(needed, Self::PluginsExecuteOne(_)))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TasksRead => f.write_str("tasks:read"),
            Self::TasksWrite => f.write_str("tasks:write"),
            Self::PluginsRead => f.write_str("plugins:read"),
            Self::PluginsExecute => f.write_str("plugins:execute"),
            Self::PluginsExecuteOne(plugin) => write!(f, "plugins:execute:{plugin}"),
            Self::HistoryRead => f.write_str("history:read"),
            Self::UsersRead => f.write_str("users:read"),
            Self::UsersWrite => f.write_str("users:write"),
            Self::Admin => f.write_str("admin"),
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(plugin) = text.strip_prefix("plugins:execute:") {
            require_name(plugin, PLUGIN_NAME_CHARS)?;
            return Ok(Self::PluginsExecuteOne(plugin.to_owned()));
        }
        Self::FIXED.into_iter().find(|scope| scope.to_string() == text).ok_or_else(|| {
            Error::invalid(
                "",
                "must be one of tasks:read, tasks:write, plugins:read, plugins:execute, plugins:execute:<plugin>, \
                 history:read, users:read, users:write, admin",
            )
        })
    }
}

/// The most characters of a plugin's name.
pub(crate) const PLUGIN_NAME_CHARS: usize = 32;

/// Refuses what can't be the name of a plugin, or of what it brings (the rule of [`crate::PluginName`]).
pub(crate) fn require_name(text: &str, max_chars: usize) -> Result<()> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let characters_fit = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let ends_well = !text.ends_with('_');
    if starts_well && characters_fit && ends_well && text.len() <= max_chars && !text.contains("__") {
        return Ok(());
    }
    Err(Error::invalid(
        "",
        format!(
            "must be 1 to {max_chars} ASCII letters, digits, hyphens or single underscores, beginning with a letter \
             and not ending with an underscore"
        ),
    ))
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What a key is narrowed to; an empty set narrows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// The most scopes that one key can have.
    pub const MAX: usize = 50;

    /// Takes a set of scopes; doubles are dropped and the order is made canonical.
    ///
    /// # Errors
    /// `Invalid` for more than [`Self::MAX`].
    pub fn new(mut scopes: Vec<Scope>) -> Result<Self> {
        if scopes.len() > Self::MAX {
            return Err(Error::invalid("scopes", "must hold at most 50 entries"));
        }
        scopes.sort();
        scopes.dedup();
        Ok(Self(scopes))
    }

    /// Tells whether these scopes allow what `needed` stands for.
    #[must_use]
    pub fn allow(&self, needed: &Scope) -> bool {
        self.0.is_empty() || self.0.iter().any(|scope| scope.covers(needed))
    }

    /// The scopes, in canonical order; empty when nothing is narrowed.
    #[must_use]
    pub fn as_slice(&self) -> &[Scope] {
        &self.0
    }
}
