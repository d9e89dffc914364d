//! The names of plugins, and of what they bring.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::{Error, Result},
    scope::{PLUGIN_NAME_CHARS, require_name},
};

/// What stands between plugin and action in the name of a tool; neither name can contain it.
pub const TOOL_NAME_SEPARATOR: &str = "__";

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $max:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// Up to [`Self::MAX_CHARS`] ASCII letters, digits, hyphens and single underscores; begins with a letter, does
        /// not end with an underscore. So a tool's name (`plugin__action`) can be taken apart in one way only.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of
            /// JSON Schema (ECMA-262).
            pub const PATTERN: &'static str = "^[A-Za-z](?:_?[A-Za-z0-9-])*$";
            /// The most characters that a name has.
            pub const MAX_CHARS: usize = $max;

            /// Reads a name.
            ///
            /// # Errors
            /// `Invalid`, without a path.
            pub fn parse(text: &str) -> Result<Self> {
                require_name(text, Self::MAX_CHARS)?;
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
    PluginName: PLUGIN_NAME_CHARS;
    /// Names an action within its plugin. With its plugin's name, it must fit into [`ToolName::MAX_CHARS`].
    ActionName: ToolName::MAX_CHARS - TOOL_NAME_SEPARATOR.len() - 1;
    /// Names a prompt within its plugin. With its plugin's name, it must fit into [`ToolName::MAX_CHARS`].
    PromptName: ToolName::MAX_CHARS - TOOL_NAME_SEPARATOR.len() - 1;
}

/// Names an action among all plugins: `plugin__action`, as MCP clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolName {
    /// The plugin.
    pub plugin: PluginName,
    /// Its action.
    pub action: ActionName,
}

impl ToolName {
    /// The most characters of such a name that every MCP client takes.
    pub const MAX_CHARS: usize = 64;

    /// Takes a name apart; `None` for what can't be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (plugin, action) = text.split_once(TOOL_NAME_SEPARATOR)?;
        Some(Self {
            plugin: PluginName::parse(plugin).ok()?,
            action: ActionName::parse(action).ok()?,
        })
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{TOOL_NAME_SEPARATOR}{}", self.plugin, self.action)
    }
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
    fn name_accepts_what_every_client_can_show(#[case] text: &str, #[case] is_accepted: bool) {
        assert_eq!(PluginName::parse(text).is_ok(), is_accepted);
        assert_eq!(ActionName::parse(text).is_ok(), is_accepted);
    }

    #[test]
    fn a_name_has_as_many_characters_as_its_kind_may() {
        assert!(PluginName::parse(&"a".repeat(32)).is_ok());
        let error = PluginName::parse(&"a".repeat(33)).unwrap_err();
        assert!(
            error.message().starts_with("must be 1 to 32 ASCII letters"),
            "{error}"
        );
        assert!(ActionName::parse(&"a".repeat(61)).is_ok());
        assert!(ActionName::parse(&"a".repeat(62)).is_err());
    }

    #[rstest]
    #[case("files__read", true)]
    #[case("files__read_all", true)]
    #[case("files", false)]
    #[case("files__", false)]
    #[case("__read", false)]
    #[case("files__read__all", false)]
    #[case("files___read", false)]
    fn a_tool_s_name_is_taken_apart_in_one_way_or_not_at_all(#[case] text: &str, #[case] is_accepted: bool) {
        let name = ToolName::parse(text);
        assert_eq!(name.is_some(), is_accepted);
        assert!(name.is_none_or(|name| name.to_string() == text));
    }
}
