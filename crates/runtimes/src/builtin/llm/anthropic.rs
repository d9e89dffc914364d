//! The wire format of Anthropic's messages, streamed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    fault::{Fault, ProviderError},
    question::Question,
    reply::{FinishReason, Reader, Reply, Usage},
};

/// Where a message is asked for, below the base URL.
pub(super) const PATH: &str = "/v1/messages";

/// The version of the format, which every request names.
pub(super) const VERSION: &str = "2023-06-01";

/// The limit of tokens when the call names none; the format asks for one.
const USUAL_MAX_TOKENS: u64 = 4096;

/// The body of a request.
pub(super) fn body(question: &Question) -> Value {
    let mut body = json!({
        "model": question.model,
        "messages": question.messages,
        "max_tokens": question.max_tokens.unwrap_or(USUAL_MAX_TOKENS),
        "stream": true,
    });
    if let Value::Object(fields) = &mut body {
        if let Some(system) = &question.system {
            fields.insert("system".to_owned(), system.as_str().into());
        }
        if let Some(temperature) = question.temperature {
            fields.insert("temperature".to_owned(), temperature.into());
        }
    }
    body
}

/// The events that matter. There are others, and the format says that new ones may come.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: MessageStart,
    },
    ContentBlockDelta {
        delta: BlockDelta,
    },
    MessageDelta {
        delta: MessageDelta,
        usage: Option<EventUsage>,
    },
    MessageStop,
    Error {
        error: ProviderError,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct MessageStart {
    model: Option<String>,
    usage: Option<EventUsage>,
}

#[derive(Debug, Deserialize)]
struct BlockDelta {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct MessageDelta {
    stop_reason: Option<String>,
}

/// Counts so far; what is left out has not changed.
#[derive(Debug, Default, Deserialize)]
struct EventUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl EventUsage {
    fn merge(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }

    /// Input from the cache is counted apart in this format, and is input all the same.
    fn total(&self) -> Option<Usage> {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let cached = cached.into_iter().flatten().fold(0, u64::saturating_add);
        Some(Usage {
            input: self.input_tokens?.saturating_add(cached),
            output: self.output_tokens?,
        })
    }
}

/// Puts the answer together from its events.
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    text: String,
    model: Option<String>,
    finish_reason: Option<FinishReason>,
    usage: EventUsage,
    is_stopped: bool,
}

impl Reader for MessageReader {
    fn read(&mut self, data: &str) -> Result<(), Fault> {
        match serde_json::from_str(data).map_err(Fault::unreadable)? {
            Event::MessageStart { message } => {
                self.model = message.model;
                self.usage.merge(message.usage.unwrap_or_default());
            }
            Event::ContentBlockDelta { delta } => {
                if delta.kind.as_deref() == Some("text_delta") {
                    self.text.extend(delta.text);
                }
            }
            Event::MessageDelta { delta, usage } => {
                let reason = delta.stop_reason.as_deref().map(finish_reason);
                self.finish_reason = reason.or(self.finish_reason);
                self.usage.merge(usage.unwrap_or_default());
            }
            Event::MessageStop => self.is_stopped = true,
            Event::Error { error } => return Err(error.in_stream()),
            Event::Other => {}
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.is_stopped
    }

    fn into_reply(self: Box<Self>, asked: &str) -> Option<Reply> {
        if !self.is_stopped {
            return None;
        }
        let usage = self.usage.total();
        Some(Reply {
            text: self.text,
            model: self.model.unwrap_or_else(|| asked.to_owned()),
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Other),
            usage,
        })
    }
}

fn finish_reason(word: &str) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}
