//! Suggestions for what a person is typing.

use std::collections::BTreeMap;

use engine::{SuggestionRequest, SuggestionSubject};
use model::ErrorKind;
use protocol::{Completion, CompletionRequest, Context, RpcError};
use serde_json::{Map, Value};

use super::{caller::Caller, door::Door, fault::request_error, resource::OWN_TEMPLATES};

/// `completion/complete`. What can't be completed has no suggestions; what isn't there is refused.
pub(super) async fn complete(
    door: &Door,
    context: &Context<Caller>,
    request: CompletionRequest,
) -> Result<Completion, RpcError> {
    let Some(subject) = subject_of(door, &request.reference)? else {
        return Ok(Completion::default());
    };
    let request = SuggestionRequest {
        subject,
        argument: request.argument,
        typed: request.value,
        known: texts(request.known),
    };
    let suggested = door.engine().suggest(context.caller.principal(), request).await;
    match suggested {
        Ok(found) => Ok(Completion {
            values: found.values,
            total: found.total,
            has_more: found.has_more,
        }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Forbidden) => Err(unknown()),
        Err(error) => Err(request_error(&error)),
    }
}

/// What the argument is of; `None` for patterns of the server itself, whose ids nobody types.
fn subject_of(door: &Door, reference: &Map<String, Value>) -> Result<Option<SuggestionSubject>, RpcError> {
    let text = |key: &str| reference.get(key).and_then(Value::as_str);
    match text("type") {
        Some("ref/prompt") => {
            let name = text("name").and_then(|name| door.names().find_prompt(name));
            let (plugin, prompt) = name.ok_or_else(unknown)?;
            Ok(Some(SuggestionSubject::Prompt(plugin, prompt)))
        }
        Some("ref/resource") => {
            let uri = text("uri").ok_or_else(unknown)?;
            let is_own = OWN_TEMPLATES.iter().any(|template| template.pattern == uri);
            Ok((!is_own).then(|| SuggestionSubject::Template(uri.to_owned())))
        }
        _ => Err(unknown()),
    }
}

fn unknown() -> RpcError {
    RpcError::invalid_params("ref names no prompt and no resource template that is listed")
}

/// The values that are texts: arguments of prompts and patterns always are.
pub(super) fn texts(values: Map<String, Value>) -> BTreeMap<String, String> {
    let texts = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    texts.collect()
}
