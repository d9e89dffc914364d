//! What a language model answered, independent of the wire format.

use serde_json::{Value, json};

use super::{LlmProvider, fault::Fault};

/// An answer, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) model: String,
    pub(super) finish_reason: FinishReason,
    pub(super) usage: Option<Usage>,
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FinishReason {
    Stop,
    Length,
    ContentFilter,
    Other,
}

impl FinishReason {
    pub(super) const ALL: [Self; 4] = [Self::Stop, Self::Length, Self::ContentFilter, Self::Other];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "contentFilter",
            Self::Other => "other",
        }
    }
}

/// How many tokens were consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Reply {
    pub(super) fn into_result(self, provider: LlmProvider) -> Value {
        json!({
            "text": self.text,
            "model": self.model,
            "provider": provider.as_str(),
            "finishReason": self.finish_reason.as_str(),
            "usage": self.usage.map(|usage| json!({
                "inputTokens": usage.input,
                "outputTokens": usage.output,
                "totalTokens": usage.input.saturating_add(usage.output),
            })),
        })
    }
}

/// Puts an answer together from the events of a stream.
pub(super) trait Reader: Send {
    /// Takes the data of one event.
    ///
    /// # Errors
    /// A fault when it can't be read, or says that the provider failed.
    fn read(&mut self, data: &str) -> Result<(), Fault>;

    /// Whether nothing more is to come.
    fn is_finished(&self) -> bool;

    /// The answer; `None` when the stream broke off before its end. `asked` is the model that was asked.
    fn into_reply(self: Box<Self>, asked: &str) -> Option<Reply>;
}
