//! What a plugin may answer.

use model::{Error, ErrorCode, Question, QuestionKind, Questions, Reply, Result, ResultForm};
use serde_json::Value;

use crate::registry::{Excess, Extent, Ready, Schema};

/// How large and how deep a result may be.
pub(crate) const RESULT_EXTENT: Extent = Extent {
    bytes: 8 * 1024 * 1024,
    levels: 64,
};

/// How large all that is asked at once may be together with the plugin's notes, which travel through the caller; and
/// how deep each part.
const ASKED_EXTENT: Extent = Extent {
    bytes: 256 * 1024,
    levels: 32,
};

/// The most characters that an error shows of what is asked.
const MAX_SHOWN_CHARS: usize = 200;

/// Passes when a plugin's answer is within the limits and as the plugin itself said that it would be.
///
/// # Errors
/// `PluginFailed`.
pub(super) fn require_acceptable(ready: &Ready, reply: &Reply<Value>) -> Result<()> {
    let result = match reply {
        Reply::Done(result) => result,
        Reply::Asks(questions) => return require_askable(questions),
    };
    match RESULT_EXTENT.holds(result) {
        Ok(()) => {}
        Err(Excess::Bytes) => return Err(failed("the plugin's result is larger than 8 MiB")),
        Err(Excess::Levels) => return Err(failed("the plugin's result has more than 64 levels")),
    }
    match ready.result_form {
        ResultForm::Value => require_fit(ready.output.as_ref(), result),
        ResultForm::Content => require_content(ready.output.as_ref(), result),
    }
}

fn require_fit(schema: Option<&Schema>, result: &Value) -> Result<()> {
    let Some(schema) = schema else {
        return Ok(());
    };
    if schema.accepts(result) {
        return Ok(());
    }
    let error = failed("the plugin's result doesn't fit the plugin's own schema");
    Err(match schema.first_mistake(result) {
        Some(mistake) => error.source(mistake),
        None => error,
    })
}

fn require_content(schema: Option<&Schema>, result: &Value) -> Result<()> {
    let blocks = result.get("content").and_then(Value::as_array);
    if !blocks.is_some_and(|blocks| blocks.iter().all(is_block)) {
        return Err(failed("the plugin's result isn't made of blocks of content"));
    }
    match result.get("structuredContent") {
        Some(structured) => require_fit(schema, structured),
        // What tells of a failure in words has nothing else to show.
        None if result.get("isError") == Some(&Value::Bool(true)) => Ok(()),
        None if schema.is_some() => Err(failed(
            "the plugin's result lacks what the plugin's own schema is about",
        )),
        None => Ok(()),
    }
}

/// Tells whether a value is a block of content of the Model Context Protocol.
pub(crate) fn is_block(value: &Value) -> bool {
    let text = |name: &str| value.get(name).is_some_and(Value::is_string);
    match value.get("type").and_then(Value::as_str) {
        Some("text") => text("text"),
        Some("image" | "audio") => text("data") && text("mimeType"),
        Some("resource_link") => text("uri") && text("name"),
        Some("resource") => value
            .get("resource")
            .is_some_and(|resource| resource.get("uri").is_some_and(Value::is_string)),
        Some(_) | None => false,
    }
}

/// Passes when what a plugin asks is within the limits.
///
/// # Errors
/// `PluginFailed`.
pub(crate) fn require_askable(questions: &Questions) -> Result<()> {
    if let Some(mistake) = questions.mistake() {
        return Err(failed(mistake));
    }
    let params = questions
        .asked
        .iter()
        .flat_map(|(_, question)| question.params.values());
    ASKED_EXTENT
        .holds_all(params.chain(&questions.state))
        .map_err(|_excess| failed("the plugin asks with more words than can be passed on"))
}

/// Says what is asked to a caller that can't answer.
pub(crate) fn unanswered(questions: &Questions) -> Error {
    let message =
        "the action asks something first, which can't be answered here; call it over MCP, or as a task";
    let error = Error::new(ErrorCode::InputRequired, message);
    let add = |error: Error, (key, question): &(String, Question)| error.detail(key.clone(), words(question));
    questions.asked.iter().fold(error, add)
}

fn words(question: &Question) -> String {
    let said = question.params.get("message").and_then(Value::as_str);
    match (question.kind, said) {
        (QuestionKind::Elicitation, Some(said)) => said.chars().take(MAX_SHOWN_CHARS).collect(),
        (QuestionKind::Elicitation, None) => "asks something of a person".to_owned(),
        (QuestionKind::Sampling, _) => "asks the language model of the caller's program".to_owned(),
        (QuestionKind::Roots, _) => "asks which folders the caller's program works on".to_owned(),
    }
}

fn failed(message: &'static str) -> Error {
    Error::new(ErrorCode::PluginFailed, message)
}
