//! With which statuses and codes a route refuses, and why.

use http::StatusCode;
use model::ErrorCode;
use serde_json::{Map, Value, json};

use crate::{failure::status_of, openapi::header};

/// What of an operation decides with which statuses it can refuse.
pub(super) struct Facts {
    takes_credential: bool,
    has_parameters: bool,
    has_body: bool,
    is_changing: bool,
    /// Whether requests count against a limit.
    pub(super) is_counted: bool,
    /// Whether it takes an idempotency key.
    pub(super) is_repeatable: bool,
}

impl Facts {
    /// Reads off the facts of an operation.
    pub(super) fn of(path: &str, method: &str, operation: &Map<String, Value>) -> Self {
        let has_entries = |name| {
            operation
                .get(name)
                .and_then(Value::as_array)
                .is_some_and(|list| !list.is_empty())
        };
        let is_free = ["/health", "/metrics", "/openapi.json", "/docs"]
            .iter()
            .any(|free| path.starts_with(free));
        let names_scheme =
            |requirement: &Value| requirement.as_object().is_some_and(|schemes| !schemes.is_empty());
        let security = operation.get("security").and_then(Value::as_array);
        Self {
            takes_credential: security.is_some_and(|choices| choices.iter().any(names_scheme)),
            has_parameters: has_entries("parameters"),
            has_body: operation.contains_key("requestBody"),
            is_changing: method != "get",
            is_counted: !is_free,
            is_repeatable: operation.contains_key("x-repeatable"),
        }
    }
}

/// The statuses with which an operation can refuse beside those that it names itself.
pub(super) fn refusals(facts: &Facts) -> Vec<String> {
    let conditional = [
        (facts.takes_credential, StatusCode::UNAUTHORIZED),
        (facts.takes_credential || facts.is_changing, StatusCode::FORBIDDEN),
        (facts.has_body, StatusCode::REQUEST_TIMEOUT),
        (facts.is_repeatable, StatusCode::CONFLICT),
        (facts.has_body, StatusCode::PAYLOAD_TOO_LARGE),
        (facts.has_body, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            facts.has_body || facts.has_parameters || facts.is_repeatable,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (facts.is_counted, StatusCode::TOO_MANY_REQUESTS),
    ];
    let always = [
        StatusCode::BAD_REQUEST,
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    let conditional = conditional
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, status)| status);
    conditional
        .chain(always)
        .map(|status| status.as_str().to_owned())
        .collect()
}

/// Refers to the description of the answer with a status.
pub(super) fn reference(status: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/Refusal{status}") })
}

/// Adds the usual answer with a status to one in another form.
pub(super) fn add_usual(status: &str, own: &mut Value) {
    let usual = status.parse().map(response).unwrap_or_default();
    for part in ["headers", "content"] {
        let entries = usual
            .get(part)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        match own.get_mut(part).and_then(Value::as_object_mut) {
            Some(present) => present.extend(entries),
            None => own.as_object_mut().into_iter().for_each(|own| {
                own.insert(part.to_owned(), entries.clone().into());
            }),
        }
    }
}

/// The schemas of failures.
pub(super) fn schemas() -> Map<String, Value> {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let schemas = json!({
        "ErrorCode": {
            "type": "string",
            "enum": codes,
            "description": "What went wrong, for programs; the list is closed",
        },
        "ErrorDetail": {
            "type": "object",
            "description": "One field that is not acceptable",
            "required": ["path", "message"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "description": "Names joined by dots, elements by index; empty for the whole" },
                "message": { "type": "string", "description": "What is accepted there" },
            },
        },
    });
    schemas.as_object().cloned().unwrap_or_default()
}

/// Every answer with a failure, by status.
pub(super) fn responses() -> Value {
    let mut statuses: Vec<_> = ErrorCode::ALL.iter().map(|code| status_of(code.kind())).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let responses = statuses
        .into_iter()
        .map(|status| (format!("Refusal{}", status.as_u16()), response(status)));
    Value::Object(responses.collect())
}

fn response(status: StatusCode) -> Value {
    let mut headers = header::common(status == StatusCode::TOO_MANY_REQUESTS);
    if status == StatusCode::UNAUTHORIZED {
        headers.insert("WWW-Authenticate".to_owned(), header::reference("Challenge"));
    }
    if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
        headers.insert("Retry-After".to_owned(), header::reference("RetryAfter"));
    }
    json!({
        "description": description(status),
        "headers": headers,
        "content": { "application/json": { "schema": failure(status) } },
    })
}

/// The body of a failure: only the codes that go with its status.
fn failure(status: StatusCode) -> Value {
    let codes: Vec<_> = ErrorCode::ALL
        .iter()
        .filter(|code| status_of(code.kind()) == status)
        .map(|code| code.as_str())
        .collect();
    json!({
        "type": "object",
        "required": ["ok", "error"],
        "additionalProperties": false,
        "properties": {
            "ok": { "type": "boolean", "const": false },
            "error": {
                "type": "object",
                "required": ["code", "message", "requestId"],
                "additionalProperties": false,
                "properties": {
                    "code": { "allOf": [{ "$ref": "#/components/schemas/ErrorCode" }, { "enum": codes }] },
                    "message": { "type": "string", "description": "For people; may change between versions" },
                    "details": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": model::Error::MAX_DETAILS,
                        "items": { "$ref": "#/components/schemas/ErrorDetail" },
                    },
                    "requestId": { "type": "string", "description": "Leads to this request in the log" },
                },
            },
        },
    })
}

fn description(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request can't be read",
        StatusCode::UNAUTHORIZED => "No credential, or none that is accepted",
        StatusCode::FORBIDDEN => "The caller may not do this",
        StatusCode::NOT_FOUND => "There is no such thing, or it isn't the caller's",
        StatusCode::METHOD_NOT_ALLOWED => {
            "The path doesn't support the method; `Allow` names those that it does"
        }
        StatusCode::REQUEST_TIMEOUT => "The body came too slowly",
        StatusCode::CONFLICT => "The state of things doesn't permit it",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is larger than the limit",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The body isn't JSON by its media type",
        StatusCode::MISDIRECTED_REQUEST => "The host name of the request isn't one of this server",
        StatusCode::UNPROCESSABLE_ENTITY => "The content isn't acceptable; the details name each field",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests, or too many failed sign-ins",
        StatusCode::BAD_GATEWAY => "The plugin failed",
        StatusCode::SERVICE_UNAVAILABLE => {
            "Something that the server needs doesn't answer, or too much is waiting"
        }
        StatusCode::GATEWAY_TIMEOUT => "The work took longer than its limit",
        _ => "An internal error, which the request id leads to in the log",
    }
}
