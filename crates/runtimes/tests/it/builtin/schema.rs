//! What holds for the schemas of all built-in plugins beyond the contract.

use model::Annotations;
use rstest::rstest;
use serde_json::Value;

use crate::fixture::builtin;

fn inputs() -> Vec<(String, Value)> {
    let plugins = builtin().plugins().into_iter();
    let tools = plugins.flat_map(|plugin| {
        let name = plugin.name;
        let named = plugin
            .actions
            .into_iter()
            .map(move |action| (format!("{name}.{}", action.name), action.input_schema));
        named.collect::<Vec<_>>()
    });
    tools.collect()
}

/// Calls `check` with every schema within `schema`, payload examples left out.
fn each_part(schema: &Value, check: &mut dyn FnMut(&Value)) {
    check(schema);
    match schema {
        Value::Object(keywords) => {
            for (name, part) in keywords {
                if name != "examples" {
                    each_part(part, check);
                }
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| each_part(part, check)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[rstest]
#[case("string", &["maxLength"])]
#[case("array", &["maxItems"])]
#[case("integer", &["minimum", "maximum"])]
fn every_part_of_a_payload_has_a_bound(#[case] kind: &str, #[case] bounds: &[&str]) {
    for (tool, schema) in inputs() {
        each_part(&schema, &mut |part| {
            if part.get("type").and_then(Value::as_str) == Some(kind) {
                assert!(
                    bounds.iter().all(|bound| part.get(bound).is_some()),
                    "{tool}: {part}"
                );
            }
        });
    }
}

#[test]
fn every_field_of_a_payload_is_described_and_no_other_is_taken() {
    for (tool, schema) in inputs() {
        assert_eq!(schema["additionalProperties"], false, "{tool}");
        for (name, field) in schema["properties"].as_object().unwrap() {
            assert!(field.get("description").is_some(), "{tool}: {name}");
        }
    }
}

#[test]
fn only_language_models_reach_beyond_this_server() {
    for plugin in builtin().plugins() {
        let expected = if plugin.name.as_str() == "llm" {
            Annotations::REMOTE
        } else {
            Annotations::PURE
        };
        assert!(plugin.actions.iter().all(|action| action.annotations == expected));
    }
}
