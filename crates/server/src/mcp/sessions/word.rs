//! What processes tell each other about sessions, and how it is written down.

use model::Notice;
use protocol::{ClientAnswer, LogLevel, SessionKey, StreamKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Under which topic processes speak of sessions.
const TOPIC: &str = "mcp-sessions";

/// A session's name as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Name(pub(super) SessionKey);

impl From<Name> for String {
    fn from(Name(session): Name) -> Self {
        session.to_string()
    }
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        SessionKey::parse(&text).map(Self).ok_or("not a session")
    }
}

/// Something that all processes, or one of them, should know at once. Each may be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub(super) enum Word {
    /// A session was ended, and stays so.
    End { session: Name, until_ms: u64 },
    /// A session wants other log messages.
    Level { session: Name, level: LogLevel },
    /// A session's subscriptions have changed.
    Interests { session: Name },
    /// Another listens for a session now.
    Listen { session: Name, ear: String },
    /// Requests are cancelled.
    Cancel { session: Name, request: String },
    /// An answer lies ready for who asked; `asker` is to say whether it was waited for.
    Answer {
        session: Name,
        question: String,
        asker: String,
        ticket: String,
    },
    /// What became of an answer.
    Taken { ticket: String, was_awaited: bool },
    /// Another reads a stream now.
    Attach {
        session: Name,
        stream: u64,
        reader: String,
    },
    /// A stream has more to read.
    Grown { session: Name, stream: u64 },
}

impl Word {
    /// As a notice; `None` for what can't be said.
    pub(super) fn notice(&self) -> Option<Notice> {
        let body = serde_json::to_string(self).ok()?;
        (body.len() <= Notice::MAX_BODY_BYTES).then(|| Notice::Message {
            topic: TOPIC.to_owned(),
            body,
        })
    }

    /// Reads a notice; `None` when it is about something else, or of a version that says other things.
    pub(super) fn read(notice: &Notice) -> Option<Self> {
        let Notice::Message { topic, body } = notice else {
            return None;
        };
        (topic == TOPIC)
            .then(|| serde_json::from_str(body).ok())
            .flatten()
    }
}

/// An answer on its way to who asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    /// By which the sender knows it again.
    pub(super) ticket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Letter {
    pub(super) fn new(ticket: String, answer: ClientAnswer) -> Self {
        let (result, refused) = match answer {
            ClientAnswer::Result(result) => (Some(result), None),
            ClientAnswer::Refused(why) => (None, Some(why)),
        };
        Self {
            ticket,
            result,
            refused,
        }
    }

    pub(super) fn answer(self) -> ClientAnswer {
        match (self.result, self.refused) {
            (Some(result), _) => ClientAnswer::Result(result),
            (None, refused) => ClientAnswer::Refused(refused.unwrap_or_default()),
        }
    }
}

/// What stands in the log of a stream: an event or its end, in a head line, and the event after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The process that writes the stream.
    pub(super) writer: String,
    /// The event's number; 0 for none.
    pub(super) number: u64,
    /// What the entry is.
    pub(super) kind: EntryKind,
    /// The event.
    pub(super) event: bytes::Bytes,
}

/// What an entry of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// That there is such a stream.
    Begin,
    /// An event with others to come.
    Event,
    /// The last event, or the end without one.
    Last,
    /// What comes is too large to be read elsewhere.
    Gone,
}

impl Entry {
    pub(super) fn write(&self) -> Vec<u8> {
        let kind = match self.kind {
            EntryKind::Begin => 'b',
            EntryKind::Event => 'e',
            EntryKind::Last => 'l',
            EntryKind::Gone => 'g',
        };
        let mut entry = format!("{kind} {} {}\n", self.number, self.writer).into_bytes();
        entry.extend_from_slice(&self.event);
        entry
    }

    /// Reads what [`Self::write`] wrote; `None` for anything else.
    pub(super) fn read(entry: &[u8]) -> Option<Self> {
        let end = entry.iter().position(|byte| *byte == b'\n')?;
        let (head, event) = entry.split_at(end);
        let mut parts = std::str::from_utf8(head).ok()?.splitn(3, ' ');
        let kind = match parts.next()? {
            "b" => EntryKind::Begin,
            "e" => EntryKind::Event,
            "l" => EntryKind::Last,
            "g" => EntryKind::Gone,
            _ => return None,
        };
        Some(Self {
            kind,
            number: parts.next()?.parse().ok()?,
            writer: parts.next()?.to_owned(),
            event: bytes::Bytes::copy_from_slice(event.get(1..)?),
        })
    }
}

/// The keys of what is shared about a session.
pub(super) struct Keys;

impl Keys {
    pub(super) fn standing(session: SessionKey) -> String {
        format!("mcp:s:{session}")
    }

    pub(super) fn interests(session: SessionKey) -> String {
        format!("mcp:u:{session}")
    }

    pub(super) fn cancelled(session: SessionKey) -> String {
        format!("mcp:c:{session}")
    }

    /// Who asked; `None` for a question that nobody here can have asked.
    pub(super) fn asker(session: SessionKey, question: &str) -> Option<String> {
        let is_ours = question.len() <= 64 && question.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_ours.then(|| format!("mcp:q:{session}:{question}"))
    }

    /// Where an answer lies.
    pub(super) fn letter(session: SessionKey, question: &str) -> String {
        format!("mcp:a:{session}:{question}")
    }

    pub(super) fn taken(ticket: &str) -> String {
        format!("mcp:t:{ticket}")
    }

    pub(super) fn log(stream: StreamKey) -> String {
        format!("mcp:l:{}:{:x}", stream.session, stream.number)
    }

    pub(super) fn reader(stream: StreamKey) -> String {
        format!("mcp:r:{}:{:x}", stream.session, stream.number)
    }

    /// That a process lives.
    pub(super) fn alive(process: &str) -> String {
        format!("mcp:p:{process}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (kind, event) in [
            (EntryKind::Begin, ""),
            (EntryKind::Event, "{\n \"a\": 1 }"),
            (EntryKind::Last, ""),
        ] {
            let entry = Entry {
                writer: "p1".to_owned(),
                number: 7,
                kind,
                event: event.to_owned().into(),
            };
            assert_eq!(Entry::read(&entry.write()), Some(entry));
        }
        assert_eq!(Entry::read(b"e 7 p1"), None);
    }

    #[test]
    fn what_others_say_on_the_bus_is_no_word_of_ours() {
        let word = Word::Interests {
            session: Name(SessionKey::new(3)),
        };
        assert_eq!(Word::read(&word.notice().unwrap()), Some(word));
        let other = |topic: &str, body: &str| Notice::Message {
            topic: topic.to_owned(),
            body: body.to_owned(),
        };
        assert_eq!(Word::read(&other("else", "{}")), None);
        assert_eq!(Word::read(&other(TOPIC, "{\"word\":\"unheard\"}")), None);
        assert_eq!(Word::read(&Notice::WorkReady), None);
    }
}
