//! Questions of plugins and the answers to them, between the engine's words and the protocol's.

use protocol::{Answers, Question, QuestionKind, Questions};
use serde_json::{Map, Value, json};

/// What comes back with answers: the notes of who asked, or the task that did.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Note {
    /// The plugin's own notes.
    OfPlugin(Option<Value>),
    /// The task that asked, by its id.
    OfTask(String),
}

const TASK: &str = "task";
const PLUGIN: &str = "plugin";

/// The questions of a call that isn't a task.
pub(super) fn of_call(questions: model::Questions) -> Questions {
    let state = questions.state.map(|state| json!({ PLUGIN: state }));
    Questions {
        asked: shown(questions.asked),
        state,
    }
}

/// The questions of a task, put to the client in place of the task itself.
pub(super) fn of_task(id: &str, asked: Vec<(String, model::Question)>) -> Questions {
    Questions {
        asked: shown(asked),
        state: Some(json!({ TASK: id })),
    }
}

/// Takes answers apart: what was given, and what came back with it.
pub(super) fn taken(answers: Answers) -> (Map<String, Value>, Note) {
    let note = match answers.state {
        Some(Value::Object(mut state)) => match (state.remove(TASK), state.remove(PLUGIN)) {
            (Some(Value::String(id)), _) => Note::OfTask(id),
            (_, notes) => Note::OfPlugin(notes),
        },
        _ => Note::OfPlugin(None),
    };
    (answers.given, note)
}

fn shown(asked: Vec<(String, model::Question)>) -> Vec<(String, Question)> {
    let asked = asked.into_iter();
    asked
        .map(|(key, question)| (key, shown_question(question)))
        .collect()
}

/// One question.
pub(super) fn shown_question(question: model::Question) -> Question {
    Question {
        kind: match question.kind {
            model::QuestionKind::Elicitation => QuestionKind::Elicitation,
            model::QuestionKind::Sampling => QuestionKind::Sampling,
            model::QuestionKind::Roots => QuestionKind::Roots,
        },
        params: question.params,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Vec<(String, model::Question)> {
        let question = model::Question {
            kind: model::QuestionKind::Roots,
            params: Map::new(),
        };
        vec![("where".to_owned(), question)]
    }

    fn back(questions: Questions) -> Note {
        taken(Answers {
            given: Map::new(),
            state: questions.state,
        })
        .1
    }

    #[test]
    fn what_goes_out_with_questions_comes_back_with_answers() {
        for notes in [None, Some(json!("mine")), Some(json!({ "task": "not an id" }))] {
            let questions = model::Questions {
                asked: asked(),
                state: notes.clone(),
            };
            assert_eq!(back(of_call(questions)), Note::OfPlugin(notes));
        }
        assert_eq!(back(of_task("t1", asked())), Note::OfTask("t1".to_owned()));
    }
}
