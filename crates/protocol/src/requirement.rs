//! Whether a client can answer what it is asked.

use serde_json::{Map, Value, json};

use crate::{
    context::Capabilities,
    error::RpcError,
    question::{Question, QuestionKind, Questions},
};

/// Refuses questions that the client has not said it can answer, naming every capability that is missing.
pub(crate) fn check_answerable(questions: &Questions, client: &Capabilities) -> Result<(), RpcError> {
    let mut missing = Map::new();
    for (_, question) in &questions.asked {
        if let Some(detail) = missing_for(question, client) {
            missing.insert(question.kind.capability().to_owned(), detail);
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(RpcError::missing_capabilities(missing))
    }
}

/// Refuses a client that takes no tasks.
pub(crate) fn check_takes_tasks(client: &Capabilities) -> Result<(), RpcError> {
    if client.takes_tasks() {
        return Ok(());
    }
    Err(RpcError::tasks_not_taken())
}

fn missing_for(question: &Question, client: &Capabilities) -> Option<Value> {
    let declared = client
        .said()
        .get(question.kind.capability())
        .and_then(Value::as_object);
    match question.kind {
        QuestionKind::Roots => declared.is_none().then(|| json!({})),
        QuestionKind::Sampling => {
            let needs_tools = question.params.contains_key("tools");
            match declared {
                Some(sampling) if needs_tools && !sampling.contains_key("tools") => {
                    Some(json!({ "tools": {} }))
                }
                Some(_) => None,
                None if needs_tools => Some(json!({ "tools": {} })),
                None => Some(json!({})),
            }
        }
        QuestionKind::Elicitation => {
            let by_url = question.params.get("mode").and_then(Value::as_str) == Some("url");
            match declared {
                Some(modes) if by_url => (!modes.contains_key("url")).then(|| json!({ "url": {} })),
                // Nothing said of modes means forms.
                Some(modes) => {
                    (modes.contains_key("url") && !modes.contains_key("form")).then(|| json!({ "form": {} }))
                }
                None if by_url => Some(json!({ "url": {} })),
                None => Some(json!({})),
            }
        }
    }
}
