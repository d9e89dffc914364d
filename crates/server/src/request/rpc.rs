//! What a message of the Model Context Protocol asks for and what came of it, for the log.

use std::borrow::Cow;

use serde::Deserialize;

/// The longest message that is looked into, in bytes: larger ones go unnamed.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How much of a method or name is kept, in characters.
const MAX_CHARS: usize = 128;

/// Within how many bytes of a response its error begins: only the id of the request comes before it.
const HEAD_BYTES: usize = 1024;

/// How an error begins within a response.
const ERROR: &[u8] = br#""error":{"code":"#;

/// What is known of the one message of a request.
#[derive(Clone, Debug, Default)]
pub struct Rpc {
    /// The method, bounded and of visible ASCII characters only.
    pub method: Option<String>,
    /// The tool, prompt, resource or task that it is about, in the same way.
    pub name: Option<String>,
    /// The number of the error that was answered, where it was known before the answer began.
    pub error: Option<i64>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Subject<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow)]
    task_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Answered {
    error: Option<Code>,
}

#[derive(Deserialize)]
struct Code {
    code: i64,
}

impl Rpc {
    /// Looks into a message; what is no single message, or is too large, stays unnamed.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let is_single = message.len() <= MAX_MESSAGE_BYTES && message.trim_ascii_start().starts_with(b"{");
        let asked = is_single
            .then(|| serde_json::from_slice::<Asked<'_>>(message).ok())
            .flatten();
        let Some(asked) = asked else {
            return Self::default();
        };
        let subject = asked.params.and_then(|it| it.name.or(it.uri).or(it.task_id));
        Self {
            method: asked.method.as_deref().map(shown),
            name: subject.as_deref().map(shown),
            error: None,
        }
    }

    /// The number of the error in a response that is one.
    #[must_use]
    pub fn error_in(response: &[u8]) -> Option<i64> {
        let head = response.get(..HEAD_BYTES).unwrap_or(response);
        if response.len() > MAX_MESSAGE_BYTES || !head.windows(ERROR.len()).any(|part| part == ERROR) {
            return None;
        }
        let answered: Answered = serde_json::from_slice(response).ok()?;
        answered.error.map(|error| error.code)
    }
}

/// A text that a stranger made up, cut, and with `?` for what could mislead whoever reads the log.
fn shown(text: &str) -> String {
    let kept = text.chars().take(MAX_CHARS);
    kept.map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}
