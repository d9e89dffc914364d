//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.
//!
//! A route names its parameters, its body, its answers and the statuses with which it alone refuses. What any
//! route can answer (a bad credential, a limit, an overload) follows from those, and is added here.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::{
    field::schema,
    openapi::refusal::{Facts, refusals},
};

mod header;
mod refusal;

/// The version of the interface; a change that breaks clients would come with another prefix.
const INTERFACE_VERSION: &str = "1.0.0";

const DESCRIPTION: &str = "A self-hosted backend that holds a team's tools (plugins with actions) and lets people, programs and AI \
agents use them safely.

**Paths.** Every path under `/api/v1` also answers under `/api`; the versioned form is the canonical one.

**Answers.** Success is `{\"ok\":true,\"data\":…}`; a list also has `page` with `limit`, `nextCursor` and `total`. Failure is \
`{\"ok\":false,\"error\":{\"code\":…,\"message\":…,\"details\":[…],\"requestId\":…}}`. The codes are a closed list: `ErrorCode`. \
A method that a path doesn't support is answered with 405 and `Allow`, a path that doesn't exist with 404. Unknown fields and \
parameters are refused, never ignored.

**Credentials.** `Authorization: Bearer <access token>`, or an API key as `X-API-Key` or as the bearer.

**MCP.** `/mcp` itself speaks the Model Context Protocol, with the same credentials and limits: each action is a tool there.

**Repeating safely.** A POST that creates or executes takes an `Idempotency-Key`: the same key and body within 24 hours get the \
first answer again, another body is refused with 409.";

/// Completes what the routes say of themselves.
pub(crate) fn complete(drawn: OpenApi) -> Value {
    let mut document = serde_json::to_value(drawn).unwrap_or_default();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, item) in paths {
            complete_path(path, item);
        }
    }
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        for (name, schema) in schemas.iter_mut() {
            fix_envelope(name, schema);
        }
        schemas.extend(refusal::schemas());
        schemas.extend(schema::definitions());
    }
    let parts = [
        ("info", info()),
        ("servers", json!([{ "url": "/", "description": "This server" }])),
        ("tags", tags()),
    ];
    let Some(root) = document.as_object_mut() else {
        return document;
    };
    root.extend(parts.map(|(name, part)| (name.to_owned(), part)));
    let components = root.entry("components").or_insert_with(|| json!({}));
    if let Some(components) = components.as_object_mut() {
        components.extend([
            ("parameters".to_owned(), parameters()),
            ("headers".to_owned(), header::definitions()),
            ("responses".to_owned(), refusal::responses()),
            ("securitySchemes".to_owned(), security_schemes()),
        ]);
    }
    document
}

fn complete_path(path: &str, item: &mut Value) {
    let Some(item) = item.as_object_mut() else {
        return;
    };
    for (method, operation) in item {
        if let Some(operation) = operation.as_object_mut() {
            complete_operation(path, method, operation);
        }
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let facts = Facts::of(path, method, operation);
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(json!({ "$ref": "#/components/parameters/RequestId" }));
        if facts.is_repeatable {
            parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
        }
    }
    operation.remove("x-repeatable");
    if let Some(schema) = operation
        .get_mut("requestBody")
        .and_then(|body| body.pointer_mut("/content/application~1json/schema"))
    {
        fix_optional_body(schema);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let mut own_refusals = Vec::new();
    for (status, response) in responses.iter_mut() {
        if !status.starts_with(['4', '5']) {
            add_headers(response, &facts);
        } else if response.get("content").is_some() {
            // A page for people; what fails before the page is reached is told as everywhere.
            refusal::add_usual(status, response);
        } else {
            own_refusals.push(status.clone());
        }
    }
    for status in own_refusals {
        responses.insert(status.clone(), refusal::reference(&status));
    }
    for status in refusals(&facts) {
        let reference = refusal::reference(&status);
        responses.entry(status).or_insert(reference);
    }
    responses.sort_keys();
}

/// Says of a body that may be left out what it is when it is there; it is never `null`.
fn fix_optional_body(schema: &mut Value) {
    let there = schema
        .pointer("/oneOf")
        .and_then(Value::as_array)
        .and_then(|choices| choices.iter().find(|choice| choice.get("$ref").is_some()));
    if let Some(there) = there.cloned() {
        *schema = there;
    }
}

/// The headers of a successful answer.
fn add_headers(response: &mut Value, facts: &Facts) {
    let Some(response) = response.as_object_mut() else {
        return;
    };
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    if let Some(headers) = headers.as_object_mut() {
        headers.extend(header::common(facts.is_counted));
        if facts.is_repeatable {
            headers.insert(
                "Idempotency-Replayed".to_owned(),
                header::reference("IdempotencyReplayed"),
            );
        }
    }
}

/// Says of an envelope that its `ok` is always true, and names what it holds instead of repeating it.
fn fix_envelope(name: &str, schema: &mut Value) {
    let (held, place) = match name.split_once('_') {
        Some(("Envelope", held)) => (held, "/properties/data"),
        Some(("ListEnvelope", held)) => (held, "/properties/data/items"),
        _ => return,
    };
    if let Some(data) = schema.pointer_mut(place) {
        *data = json!({ "$ref": format!("#/components/schemas/{held}") });
    }
    if let Some(ok) = schema.pointer_mut("/properties/ok") {
        *ok = json!({ "type": "boolean", "const": true });
    }
}

fn info() -> Value {
    json!({
        "title": "MCP Server",
        "version": INTERFACE_VERSION,
        "description": DESCRIPTION,
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}

fn tags() -> Value {
    json!([
        { "name": "Auth", "description": "Signing in and out, one's own account" },
        { "name": "API keys", "description": "Credentials for programs, narrowed by scopes" },
        { "name": "Users", "description": "Accounts" },
        { "name": "Plugins", "description": "Tools, and calling them" },
        { "name": "Tasks", "description": "Work that is kept until it is done: now, later, after other work, or on a schedule" },
        { "name": "History", "description": "What was called" },
        { "name": "Health", "description": "Whether the server is well" },
        { "name": "Metrics", "description": "What the server counts" },
        { "name": "Pages", "description": "For people with a browser" },
    ])
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token from signing in (a JSON Web Token), or an API key",
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "An API key, or the operator's key",
        },
    })
}

fn parameters() -> Value {
    json!({
        "RequestId": {
            "name": "X-Request-Id",
            "in": "header",
            "required": false,
            "description": "Names the request in answers and logs: 1 to 128 letters, digits, dots, underscores and hyphens. \
                            Anything else is replaced.",
            "schema": { "type": "string" },
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "Makes the request safe to repeat for 24 hours: 1 to 255 visible ASCII characters",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        },
    })
}
