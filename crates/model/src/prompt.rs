//! Prompts: texts that a plugin brings, for a person to choose and fill in.

use serde_json::Value;

use crate::name::PromptName;

/// One prompt of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its name within the plugin.
    pub name: PromptName,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What can be put in, in the order in which a person is asked.
    pub arguments: Vec<PromptArgument>,
}

/// What can be put into a prompt; always a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptArgument {
    /// Its name, which no other argument of the prompt has.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Whether the prompt makes no sense without it.
    pub is_required: bool,
}

/// A prompt with its arguments put in.
#[derive(Clone, Debug, PartialEq)]
pub struct FilledPrompt {
    /// What it is for, now that the arguments are known.
    pub description: Option<String>,
    /// What is said, in order.
    pub messages: Vec<PromptMessage>,
}

/// Who says a message of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// The person.
    User,
    /// The language model.
    Assistant,
}

impl Speaker {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptMessage {
    /// Who says it.
    pub speaker: Speaker,
    /// What: a block of content of the Model Context Protocol (`{"type": "text", "text": …}`, …).
    pub content: Value,
}
