//! Holds every answer against the OpenAPI document.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use http::HeaderMap;
use jsonschema::Validator;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(server::rest::openapi);
static VALIDATORS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);

/// The document.
pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// Every route as `GET /api/v1/users/{id}`.
pub(crate) fn routes() -> Vec<String> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| -> Vec<String> {
        let methods = item.as_object().unwrap().keys();
        methods
            .map(|method| format!("{} {path}", method.to_uppercase()))
            .collect()
    };
    paths.iter().flat_map(of).collect()
}

/// Fails unless the document says that `method path` can give this answer.
pub(crate) fn check(method: &str, path: &str, status: u16, headers: &HeaderMap, body: &Value) {
    let Some(operation) = find(method, path) else {
        assert!(
            [404, 405].contains(&status),
            "{method} {path} isn't described, and answers {status}: {body}"
        );
        return;
    };
    let told = format!("{method} {path} → {status}: {body}");
    let response = follow(&operation["responses"][status.to_string()]);
    assert!(response.is_object(), "the status isn't described: {told}");
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        check_header(name, follow(header), headers, &told);
    }
    let media_type = headers.get("content-type").map(|value| value.to_str().unwrap());
    if media_type == Some("application/json") {
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "JSON isn't described: {told}");
        check_value(schema, body, &told);
    }
}

fn check_header(name: &str, described: &Value, headers: &HeaderMap, told: &str) {
    match headers.get(name) {
        None => assert!(described["required"] != true, "{name} is missing: {told}"),
        Some(value) => {
            let text = value.to_str().unwrap();
            let is_number = described["schema"]["type"] == "integer";
            let value = if is_number {
                text.parse().map_or(json!(text), |number: u64| json!(number))
            } else {
                json!(text)
            };
            check_value(&described["schema"], &value, &format!("{name}: {told}"));
        }
    }
}

fn check_value(schema: &Value, value: &Value, told: &str) {
    let mut validators = VALIDATORS.lock().unwrap();
    let validator = validators
        .entry(schema.to_string())
        .or_insert_with(|| validator(schema));
    let problems: Vec<_> = validator
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect();
    drop(validators);
    assert!(problems.is_empty(), "{problems:#?}\n{told}");
}

/// Tells whether a value fits a schema of the document.
pub(crate) fn is_valid(schema: &Value, value: &Value) -> bool {
    let mut validators = VALIDATORS.lock().unwrap();
    validators
        .entry(schema.to_string())
        .or_insert_with(|| validator(schema))
        .is_valid(value)
}

/// A validator of a part of the document.
fn validator(schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    jsonschema::options()
        .should_validate_formats(true)
        .build(&whole)
        .unwrap()
}

fn follow(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(place.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// The description of an operation by the path of a request; `/api/…` is described as `/api/v1/…`.
fn find(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap();
    let canonical = match path.strip_prefix("/api/") {
        Some(rest) if !rest.starts_with("v1/") => format!("/api/v1/{rest}"),
        _ => path.to_owned(),
    };
    let fits = |template: &str| {
        let (template, given): (Vec<_>, Vec<_>) =
            (template.split('/').collect(), canonical.split('/').collect());
        let same = |(part, segment): (&&str, &&str)| part == segment || part.starts_with('{');
        template.len() == given.len() && template.iter().zip(&given).all(same)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let exact = paths.get(&canonical);
    let item = exact.or_else(|| {
        paths
            .iter()
            .find(|(template, _)| fits(template))
            .map(|(_, item)| item)
    })?;
    item.get(method.to_lowercase())
}
