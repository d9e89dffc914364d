//! In which forms a client takes an answer.

use http::{HeaderMap, header};

/// In which forms a client takes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// `application/json`.
    pub(crate) json: bool,
    /// `text/event-stream`.
    pub(crate) stream: bool,
}

impl Accepted {
    /// Reads `Accept`; without it anything goes.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return Self {
                json: true,
                stream: true,
            };
        }
        let mut accepted = Self {
            json: false,
            stream: false,
        };
        for value in values {
            for range in value.to_str().unwrap_or_default().split(',') {
                let range = media_type(range);
                let is = |names: [&str; 3]| names.iter().any(|name| range.eq_ignore_ascii_case(name));
                accepted.json |= is(["application/json", "application/*", "*/*"]);
                accepted.stream |= is(["text/event-stream", "text/*", "*/*"]);
            }
        }
        accepted
    }
}

/// A media type without its parameters.
pub(crate) fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}
