//! Parameters, read once and strictly.

use serde_json::{Map, Value};

use crate::{
    catalogue::CompletionRequest,
    context::LogLevel,
    error::RpcError,
    handler::{Page, SubscriptionFilter},
};

/// How many resources or tasks one stream of changes may name.
const MAX_NAMED: usize = 256;

/// What a request carries about itself, common to all revisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestMeta {
    /// What progress is to be called; text or an integer.
    pub(crate) progress_token: Option<Value>,
    /// The `traceparent`, when it is well-formed.
    pub(crate) trace_parent: Option<String>,
}

/// Takes `_meta` out of parameters; `None` when there is none.
pub(crate) fn take_meta(params: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, RpcError> {
    match params.remove("_meta") {
        None => Ok(None),
        Some(Value::Object(meta)) => Ok(Some(meta)),
        Some(_) => Err(RpcError::invalid_params("`_meta` must be an object")),
    }
}

impl RequestMeta {
    /// Reads what all revisions share.
    pub(crate) fn read(meta: &Map<String, Value>) -> Result<Self, RpcError> {
        let progress_token = match meta.get("progressToken") {
            None => None,
            Some(token) if token.is_string() || token.is_i64() || token.is_u64() => Some(token.clone()),
            Some(_) => {
                return Err(RpcError::invalid_params(
                    "`progressToken` must be a string or an integer",
                ));
            }
        };
        let trace_parent = meta
            .get("traceparent")
            .and_then(Value::as_str)
            .filter(|text| is_trace_parent(text))
            .map(str::to_owned);
        Ok(Self {
            progress_token,
            trace_parent,
        })
    }
}

/// Tells whether a text is a `traceparent` of W3C Trace Context, version 00.
pub(crate) fn is_trace_parent(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    matches!(parts.as_slice(), ["00", trace, parent, flags]
        if is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2) && !is_zero(trace) && !is_zero(parent))
}

/// Takes a text that must be there.
pub(crate) fn take_text(params: &mut Map<String, Value>, key: &str) -> Result<String, RpcError> {
    match params.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(RpcError::invalid_params(format!("`{key}` must be a string"))),
        None => Err(RpcError::invalid_params(format!("`{key}` is missing"))),
    }
}

/// Takes an object that may be missing.
pub(crate) fn take_object(
    params: &mut Map<String, Value>,
    key: &str,
) -> Result<Map<String, Value>, RpcError> {
    match params.remove(key) {
        None => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(RpcError::invalid_params(format!("`{key}` must be an object"))),
    }
}

/// Takes which page of a list is wanted.
pub(crate) fn take_page(params: &mut Map<String, Value>) -> Result<Page, RpcError> {
    match params.remove("cursor") {
        None => Ok(Page::default()),
        Some(Value::String(cursor)) => Ok(Page { cursor: Some(cursor) }),
        Some(_) => Err(RpcError::invalid_params("`cursor` must be a string")),
    }
}

/// Takes a client's answers to questions; each must be an object, as every result is. `None` when there are none.
pub(crate) fn take_responses(
    params: &mut Map<String, Value>,
) -> Result<Option<Map<String, Value>>, RpcError> {
    let Some(given) = params.remove("inputResponses") else {
        return Ok(None);
    };
    let Value::Object(given) = given else {
        return Err(RpcError::invalid_params("`inputResponses` must be an object"));
    };
    match given.iter().find(|(_, answer)| !answer.is_object()) {
        Some((key, _)) => {
            let shown: String = key.chars().take(64).collect();
            Err(RpcError::invalid_params(format!(
                "`inputResponses.{shown}` must be an object"
            )))
        }
        None => Ok(Some(given)),
    }
}

/// Reads a log level.
pub(crate) fn read_log_level(level: &Value) -> Result<LogLevel, RpcError> {
    serde::Deserialize::deserialize(level).map_err(|_| {
        RpcError::invalid_params(
            "the log level must be debug, info, notice, warning, error, critical, alert or emergency",
        )
    })
}

/// Takes what is to be completed.
pub(crate) fn take_completion(params: &mut Map<String, Value>) -> Result<CompletionRequest, RpcError> {
    let Some(Value::Object(reference)) = params.remove("ref") else {
        return Err(RpcError::invalid_params("`ref` must be an object"));
    };
    let named_by = match reference.get("type").and_then(Value::as_str) {
        Some("ref/prompt") => "name",
        Some("ref/resource") => "uri",
        Some(_) | None => {
            return Err(RpcError::invalid_params(
                "`ref.type` must be `ref/prompt` or `ref/resource`",
            ));
        }
    };
    if !reference.get(named_by).is_some_and(Value::is_string) {
        return Err(RpcError::invalid_params(format!(
            "`ref.{named_by}` must be a string"
        )));
    }
    let Some(Value::Object(mut argument)) = params.remove("argument") else {
        return Err(RpcError::invalid_params("`argument` must be an object"));
    };
    let mut context = take_object(params, "context")?;
    let known = take_object(&mut context, "arguments")?;
    if known.values().any(|value| !value.is_string()) {
        return Err(RpcError::invalid_params("`context.arguments` must hold strings"));
    }
    Ok(CompletionRequest {
        reference,
        argument: take_text(&mut argument, "name")?,
        value: take_text(&mut argument, "value")?,
        known,
    })
}

/// Takes what a client wants to hear of.
pub(crate) fn take_filter(params: &mut Map<String, Value>) -> Result<SubscriptionFilter, RpcError> {
    let Some(Value::Object(wanted)) = params.remove("notifications") else {
        return Err(RpcError::invalid_params("`notifications` must be an object"));
    };
    Ok(SubscriptionFilter {
        tools: read_flag(&wanted, "toolsListChanged")?,
        prompts: read_flag(&wanted, "promptsListChanged")?,
        resources: read_flag(&wanted, "resourcesListChanged")?,
        uris: read_texts(&wanted, "resourceSubscriptions")?,
        task_ids: read_texts(&wanted, "taskIds")?,
    })
}

fn read_flag(wanted: &Map<String, Value>, key: &str) -> Result<bool, RpcError> {
    match wanted.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(RpcError::invalid_params(format!(
            "`notifications.{key}` must be true or false"
        ))),
    }
}

fn read_texts(wanted: &Map<String, Value>, key: &str) -> Result<Vec<String>, RpcError> {
    let wrong = || {
        let message = format!("`notifications.{key}` must be an array of at most {MAX_NAMED} strings");
        RpcError::invalid_params(message)
    };
    let Some(texts) = wanted.get(key) else {
        return Ok(Vec::new());
    };
    let texts = texts
        .as_array()
        .filter(|texts| texts.len() <= MAX_NAMED)
        .ok_or_else(wrong)?;
    let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
    texts.collect::<Option<Vec<String>>>().ok_or_else(wrong)
}
