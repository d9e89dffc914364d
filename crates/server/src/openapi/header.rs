//! The headers of answers.

use serde_json::{Map, Value, json};

/// The headers of every answer; of counted ones, also those that tell of the limit.
pub(super) fn common(is_counted: bool) -> Map<String, Value> {
    let mut headers = Map::new();
    headers.insert("X-Request-Id".to_owned(), reference("RequestId"));
    if is_counted {
        for name in ["Limit", "Remaining", "Reset"] {
            headers.insert(
                format!("RateLimit-{name}"),
                reference(&format!("RateLimit{name}")),
            );
        }
    }
    headers
}

/// Refers to the description of a header.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// Every header, by name.
pub(super) fn definitions() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "RequestId": {
            "description": "Names the request in the log",
            "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" },
        },
        "RateLimitLimit": { "description": "Requests per window", "schema": count },
        "RateLimitRemaining": { "description": "How many more are allowed right now", "schema": count },
        "RateLimitReset": { "description": "Seconds until all of them are allowed again", "schema": count },
        "RetryAfter": { "description": "Seconds to wait before trying again", "required": true, "schema": { "type": "integer", "minimum": 1 } },
        "Challenge": { "description": "The kind of credential that is taken", "required": true, "schema": { "type": "string" } },
        "IdempotencyReplayed": {
            "description": "Present when this is the first answer again",
            "schema": { "type": "string", "const": "true" },
        },
    })
}
