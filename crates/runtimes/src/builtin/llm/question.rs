//! What a language model is asked, independent of the wire format.

use model::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LlmProvider;
use crate::builtin::payload;

pub(super) const MAX_MESSAGES: usize = 1_000;
pub(super) const MAX_CONTENT_CHARS: usize = 1_000_000;
pub(super) const MAX_MODEL_CHARS: usize = 200;
pub(super) const MAX_TOKENS: u64 = 1_000_000;

/// Which action was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Chat,
    Complete,
}

/// The payloads of both actions; which of `messages` and `prompt` is there depends on the action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Payload {
    messages: Option<Vec<Message>>,
    prompt: Option<String>,
    model: Option<String>,
    pub(super) provider: Option<LlmProvider>,
    temperature: Option<f64>,
    #[serde(default, deserialize_with = "payload::optional_whole")]
    max_tokens: Option<u64>,
    system: Option<String>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) role: MessageRole,
    pub(super) content: String,
}

/// Who says a message; both wire formats use these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MessageRole {
    System,
    User,
    Assistant,
}

/// A question that both wire formats can carry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    /// All instructions, in their order, with an empty line between them.
    pub(super) system: Option<String>,
    /// The conversation, at least one message, none of it by `System`.
    pub(super) messages: Vec<Message>,
    pub(super) model: String,
    pub(super) temperature: Option<f64>,
    pub(super) max_tokens: Option<u64>,
}

/// Reads the payload of either action.
pub(super) fn read(payload: Value) -> Result<Payload> {
    payload::read(payload)
}

impl Question {
    pub(super) fn new(
        ask: Ask,
        payload: Payload,
        provider: LlmProvider,
        default_model: &str,
    ) -> Result<Self> {
        payload.check(provider)?;
        let (instructions, messages) = match (ask, payload.messages, payload.prompt) {
            (Ask::Chat, Some(messages), None) => split(messages)?,
            (Ask::Complete, None, Some(content)) if !content.is_empty() => {
                let role = MessageRole::User;
                (Vec::new(), vec![Message { role, content }])
            }
            (Ask::Chat, ..) => return Err(Error::invalid("messages", "must be given, and no prompt")),
            (Ask::Complete, ..) => return Err(Error::invalid("prompt", "must be given, and no messages")),
        };
        let system: Vec<String> = payload.system.into_iter().chain(instructions).collect();
        Ok(Self {
            system: (!system.is_empty()).then(|| system.join("\n\n")),
            messages,
            model: payload.model.unwrap_or_else(|| default_model.to_owned()),
            temperature: payload.temperature,
            max_tokens: payload.max_tokens,
        })
    }
}

impl Payload {
    fn check(&self, provider: LlmProvider) -> Result<()> {
        let hottest = match provider {
            LlmProvider::OpenAi => 2.0,
            LlmProvider::Anthropic => 1.0,
        };
        if self
            .temperature
            .is_some_and(|temperature| !(0.0..=hottest).contains(&temperature))
        {
            let reason = format!("must be from 0 to {hottest} with {}", provider.as_str());
            return Err(Error::invalid("temperature", reason));
        }
        if self
            .max_tokens
            .is_some_and(|tokens| !(1..=MAX_TOKENS).contains(&tokens))
        {
            return Err(Error::invalid(
                "maxTokens",
                format!("must be from 1 to {MAX_TOKENS}"),
            ));
        }
        let is_name = |name: &String| (1..=MAX_MODEL_CHARS).contains(&name.chars().count());
        if self.model.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(Error::invalid(
                "model",
                format!("must have 1 to {MAX_MODEL_CHARS} characters"),
            ));
        }
        Ok(())
    }
}

/// Takes the instructions from before the conversation; one format has no place for them within it.
fn split(messages: Vec<Message>) -> Result<(Vec<String>, Vec<Message>)> {
    if messages.len() > MAX_MESSAGES {
        return Err(Error::invalid(
            "messages",
            format!("must hold at most {MAX_MESSAGES} messages"),
        ));
    }
    let (mut instructions, mut conversation) = (Vec::new(), Vec::new());
    for (index, message) in messages.into_iter().enumerate() {
        if message.role != MessageRole::System {
            conversation.push(message);
        } else if conversation.is_empty() {
            instructions.push(message.content);
        } else {
            let reason = "must not be system after the first other message";
            return Err(Error::invalid(format!("messages.{index}.role"), reason));
        }
    }
    if conversation.is_empty() {
        return Err(Error::invalid(
            "messages",
            "must hold a message that isn't a system one",
        ));
    }
    Ok((instructions, conversation))
}
