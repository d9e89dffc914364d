//! From what an action gave to the result of a tool.

use model::ResultForm;
use protocol::{Content, ToolResult};
use serde_json::Value;

use super::fault::failed;

/// The result of a tool whose action gave a value.
pub(super) fn result_of(form: ResultForm, value: Value) -> ToolResult {
    match form {
        ResultForm::Value => plain(value),
        ResultForm::Content => {
            blocks(value).unwrap_or_else(|| failed("the tool gave no content that can be shown"))
        }
    }
}

/// A value both as text, for models, and as it is, for programs.
fn plain(value: Value) -> ToolResult {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ToolResult {
        content: vec![Content::text(text)],
        structured: Some(value).filter(|value| !value.is_null()),
        is_error: false,
    }
}

/// `{"content": […], "structuredContent": …}`; `None` for anything else.
fn blocks(value: Value) -> Option<ToolResult> {
    let Value::Object(mut parts) = value else {
        return None;
    };
    let Some(Value::Array(content)) = parts.remove("content") else {
        return None;
    };
    let is_error = parts.get("isError").and_then(Value::as_bool).unwrap_or_default();
    let content: Option<Vec<Content>> = content.into_iter().map(Content::from_json).collect();
    Some(ToolResult {
        content: content?,
        structured: parts.remove("structuredContent"),
        is_error,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(form: ResultForm, value: Value) -> (Value, Option<Value>, bool) {
        let result = result_of(form, value);
        (
            serde_json::to_value(result.content).unwrap(),
            result.structured,
            result.is_error,
        )
    }

    #[test]
    fn a_value_is_shown_as_text_and_as_it_is() {
        let text = |text: &str| json!([{ "type": "text", "text": text }]);
        let value = json!({ "sum": 3 });
        assert_eq!(
            shown(ResultForm::Value, value.clone()),
            (text(r#"{"sum":3}"#), Some(value), false)
        );
        assert_eq!(
            shown(ResultForm::Value, json!("hello")),
            (text("hello"), Some(json!("hello")), false)
        );
        assert_eq!(shown(ResultForm::Value, json!(null)), (text("null"), None, false));
    }

    #[test]
    fn content_is_passed_on() {
        let content = json!([{ "type": "image", "data": "AA==", "mimeType": "image/png" }]);
        let value = json!({ "content": content, "structuredContent": { "a": 1 } });
        assert_eq!(
            shown(ResultForm::Content, value),
            (content, Some(json!({ "a": 1 })), false)
        );
    }

    #[test]
    fn what_is_no_content_is_a_failure_of_the_tool() {
        for value in [json!(1), json!({}), json!({ "content": [{ "type": "film" }] })] {
            assert!(result_of(ResultForm::Content, value.clone()).is_error, "{value}");
        }
    }
}
