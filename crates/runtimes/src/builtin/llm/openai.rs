//! The wire format of OpenAI's chat completions, streamed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    fault::{Fault, ProviderError},
    question::{Message, MessageRole, Question},
    reply::{FinishReason, Reader, Reply, Usage},
};

/// Where a completion is asked for, below the base URL.
pub(super) const PATH: &str = "/chat/completions";

/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// The body of a request. OpenAI itself has renamed the limit of tokens, and newer models refuse the old
/// name; other servers of this format commonly know the old one only.
pub(super) fn body(question: &Question, is_openai_itself: bool) -> Value {
    let system = question.system.iter().map(|content| Message {
        role: MessageRole::System,
        content: content.clone(),
    });
    let messages: Vec<Message> = system.chain(question.messages.iter().cloned()).collect();
    let mut body = json!({
        "model": question.model,
        "messages": messages,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    if let Value::Object(fields) = &mut body {
        if let Some(temperature) = question.temperature {
            fields.insert("temperature".to_owned(), temperature.into());
        }
        if let Some(tokens) = question.max_tokens {
            let name = if is_openai_itself {
                "max_completion_tokens"
            } else {
                "max_tokens"
            };
            fields.insert(name.to_owned(), tokens.into());
        }
    }
    body
}

#[derive(Debug, Deserialize)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<ChunkUsage>,
    error: Option<ProviderError>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ChunkUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// Puts the answer together from its chunks.
#[derive(Debug, Default)]
pub(super) struct ChatReader {
    text: String,
    model: Option<String>,
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
    is_done: bool,
}

impl Reader for ChatReader {
    fn read(&mut self, data: &str) -> Result<(), Fault> {
        if data.trim() == DONE {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(Fault::unreadable)?;
        if let Some(error) = chunk.error {
            return Err(error.in_stream());
        }
        self.model = self
            .model
            .take()
            .or(chunk.model.filter(|model| !model.is_empty()));
        if let Some(usage) = chunk.usage {
            self.usage = Some(Usage {
                input: usage.prompt_tokens,
                output: usage.completion_tokens,
            });
        }
        // One answer is asked for, so that there is one choice.
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            self.text
                .extend(choice.delta.content.into_iter().chain(choice.delta.refusal));
            let reason = choice.finish_reason.as_deref().map(finish_reason);
            self.finish_reason = reason.or(self.finish_reason);
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.is_done
    }

    /// A stream that ends after the reason why it ends is taken as complete: some servers leave the mark of
    /// the end out.
    fn into_reply(self: Box<Self>, asked: &str) -> Option<Reply> {
        if !self.is_done && self.finish_reason.is_none() {
            return None;
        }
        Some(Reply {
            text: self.text,
            model: self.model.unwrap_or_else(|| asked.to_owned()),
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Other),
            usage: self.usage,
        })
    }
}

fn finish_reason(word: &str) -> FinishReason {
    match word {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}
