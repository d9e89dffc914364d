//! What a plugin asks in the middle of a call, and the answers.
//!
//! A plugin never waits for an answer: it ends the call with questions, and the same call is made anew with what was
//! answered. So nothing is held while a person thinks, and a question outlives the process that asked it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who can answer a question, and in what way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QuestionKind {
    /// A person, by filling in a form or going to a page.
    Elicitation,
    /// The language model of the caller's program.
    Sampling,
    /// The caller's program, which names the folders that it works on.
    Roots,
}

impl QuestionKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Elicitation, Self::Sampling, Self::Roots];

    /// The method of the Model Context Protocol that asks it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Who can answer it.
    pub kind: QuestionKind,
    /// Its parameters, as [`QuestionKind::method`] takes them.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// What a plugin asks at once: 1 to [`Self::MAX_COUNT`] questions, each by a key of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Questions {
    /// In the order in which they are put. A key names its question among all that one call and its repetitions ask.
    pub asked: Vec<(String, Question)>,
    /// The plugin's own notes, which it gets back with the answers; no caller reads or changes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

impl Questions {
    /// The most questions at once.
    pub const MAX_COUNT: usize = 16;
    /// The most characters of a key.
    pub const MAX_KEY_CHARS: usize = 64;

    /// Asks one question, without notes.
    #[must_use]
    pub fn one(key: impl Into<String>, kind: QuestionKind, params: Map<String, Value>) -> Self {
        Self {
            asked: vec![(key.into(), Question { kind, params })],
            state: None,
        }
    }

    /// Finds what is wrong with the number of questions or their keys: a key has 1 to [`Self::MAX_KEY_CHARS`] ASCII
    /// letters, digits, hyphens, underscores and dots, and none comes twice.
    #[must_use]
    pub fn mistake(&self) -> Option<&'static str> {
        if self.asked.is_empty() || self.asked.len() > Self::MAX_COUNT {
            return Some("the plugin must ask 1 to 16 questions at once");
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let mut keys = self.asked.iter().map(|(key, _)| key.as_str());
        if !keys.all(|key| (1..=Self::MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(fits)) {
            return Some(
                "the plugin's questions must have keys of 1 to 64 letters, digits, '-', '_' and '.'",
            );
        }
        let mut others = self.asked.iter().enumerate();
        let is_repeated = others.any(|(place, (key, _))| {
            let mut before = self.asked.iter().take(place);
            before.any(|(other, _)| other == key)
        });
        is_repeated.then_some("the plugin's questions must have keys that differ")
    }
}

/// What came back for a plugin's questions; empty for a call that was not asked anything yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// The results of the questions' methods, by the questions' keys. Not checked: it may lack some of them, and hold what was never asked.
    #[serde(default)]
    pub given: Map<String, Value>,
    /// The notes that came with the questions, unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

impl Answers {
    /// Tells whether nothing came back, as for the first call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.state.is_none()
    }
}

/// What comes of a call: what it was made for, or questions without whose answers it can't be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<T> {
    /// The result.
    Done(T),
    /// Questions. The same call is to be made anew with the answers.
    Asks(Questions),
}

impl<T> Reply<T> {
    /// Changes the result.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Done(result) => Reply::Done(change(result)),
            Self::Asks(questions) => Reply::Asks(questions),
        }
    }

    /// The result, when there is one.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(result) => Some(result),
            Self::Asks(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn questions(keys: &[&str]) -> Questions {
        let question = Question {
            kind: QuestionKind::Roots,
            params: Map::new(),
        };
        let asked = keys.iter().map(|key| ((*key).to_owned(), question.clone()));
        Questions {
            asked: asked.collect(),
            state: None,
        }
    }

    #[rstest]
    #[case(&["a"], true)]
    #[case(&["a", "b.1", "c-d_e"], true)]
    #[case(&[], false)]
    #[case(&["a"; 17], false)]
    #[case(&["a", "b", "a"], false)]
    #[case(&[""], false)]
    #[case(&["a b"], false)]
    #[case(&["ä"], false)]
    fn questions_are_few_and_have_keys_of_their_own(#[case] keys: &[&str], #[case] is_accepted: bool) {
        assert_eq!(questions(keys).mistake().is_none(), is_accepted);
    }

    #[test]
    fn a_key_has_64_characters_at_most() {
        assert_eq!(questions(&[&"k".repeat(64)]).mistake(), None);
        assert!(questions(&[&"k".repeat(65)]).mistake().is_some());
    }
}
