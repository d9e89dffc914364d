//! What a server asks its client in the middle of a request, and the answers.
//!
//! A handler that lacks something answers [`Questions`] instead of a result. The request is then made anew with the
//! answers: by the client itself from 2026-07-28 on (multi round-trip requests), by this crate before (it sends the
//! requests on the stream, waits, and calls the handler again), by the host for a task.

use serde_json::{Map, Value};

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    /// Something of the user (`elicitation/create`).
    Elicitation,
    /// A completion of the client's model (`sampling/createMessage`).
    Sampling,
    /// Which folders the client works on (`roots/list`).
    Roots,
}

impl QuestionKind {
    /// The method that asks it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }

    /// The capability of a client that can answer it.
    #[must_use]
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation",
            Self::Sampling => "sampling",
            Self::Roots => "roots",
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What kind.
    pub kind: QuestionKind,
    /// Its parameters, as the method takes them.
    pub params: Map<String, Value>,
}

/// Several questions, by keys that the handler chose, and what it wants to be told again with the answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// In the order in which they are put.
    pub asked: Vec<(String, Question)>,
    /// The handler's own notes; sealed before a client sees them.
    pub state: Option<Value>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// The client's results, by the questions' keys; may hold keys that were never asked for, and lack some that were.
    pub given: Map<String, Value>,
    /// The notes that came with the questions; checked to be the same handler's, caller's and request's.
    pub state: Option<Value>,
}
