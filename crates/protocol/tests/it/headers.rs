//! Headers that repeat parts of the body.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::Bench,
    post::{VERSION_KEY, request},
};

fn echo() -> Value {
    request("tools/call", json!({ "name": "echo", "arguments": {} }))
}

#[rstest]
#[case::version_missing("mcp-protocol-version", None)]
#[case::version_other("mcp-protocol-version", Some("2025-11-25"))]
#[case::version_unknown("mcp-protocol-version", Some("v999"))]
#[case::method_missing("mcp-method", None)]
#[case::method_other("mcp-method", Some("tools/list"))]
#[case::method_in_capitals("mcp-method", Some("TOOLS/CALL"))]
#[case::method_encoded("mcp-method", Some("=?base64?dG9vbHMvY2FsbA==?="))]
#[case::name_missing("mcp-name", None)]
#[case::name_other("mcp-name", Some("fail"))]
#[case::name_in_capitals("mcp-name", Some("ECHO"))]
#[case::name_not_ascii("mcp-name", Some("échö"))]
#[case::name_encoded_wrongly("mcp-name", Some("=?base64?ZWNobw=?="))]
#[tokio::test]
async fn f02_a_header_that_is_missing_or_disagrees_is_refused(
    #[case] header: &str,
    #[case] value: Option<&str>,
) {
    let bench = Bench::new();
    let answer = bench.send_with(&echo(), &[(header, value)]).await;
    assert_eq!((answer.status, answer.code()), (400, -32_020), "{}", answer.json);
    assert_eq!(answer.json["id"], 7);
    assert_eq!(bench.lab.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[rstest]
#[case::space_around("mcp-name", "  echo\t")]
#[case::encoded("mcp-name", "=?base64?ZWNobw==?=")]
#[case::name_of_the_header_in_capitals("MCP-METHOD", "tools/call")]
#[tokio::test]
async fn f02_other_forms_of_the_same_are_taken(#[case] header: &str, #[case] value: &str) {
    let answer = Bench::new().send_with(&echo(), &[(header, Some(value))]).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
}

#[tokio::test]
async fn a_header_given_twice_is_refused() {
    let message = echo();
    let mut headers = crate::post::headers_of(&message);
    headers.append("mcp-name", "echo".parse().unwrap());
    let bench = Bench::new();
    let response = bench
        .raw(&crate::host::Who::user("ada"), headers, message.to_string())
        .await;
    assert_eq!(response.status(), 400);
}

#[rstest]
#[case("prompts/get", json!({ "name": "brief", "arguments": { "topic": "x" } }))]
#[case("resources/read", json!({ "uri": "lab://notes/1" }))]
#[case("tasks/get", json!({ "taskId": "task-0" }))]
#[case("tasks/update", json!({ "taskId": "task-0", "inputResponses": {} }))]
#[case("tasks/cancel", json!({ "taskId": "task-0" }))]
#[tokio::test]
async fn f02_every_method_with_a_name_is_checked(#[case] method: &str, #[case] params: Value) {
    let bench = Bench::new();
    for value in [None, Some("other")] {
        let answer = bench
            .send_with(&request(method, params.clone()), &[("mcp-name", value)])
            .await;
        assert_eq!((answer.status, answer.code()), (400, -32_020));
    }
}

#[tokio::test]
async fn a_name_that_a_header_cannot_hold_comes_encoded() {
    let bench = Bench::new();
    bench
        .lab
        .notes
        .lock()
        .insert("lab://notes/世界".to_owned(), "far".to_owned());
    let message = request("resources/read", json!({ "uri": "lab://notes/世界" }));
    let encoded = "=?base64?bGFiOi8vbm90ZXMv5LiW55WM?=";
    let answer = bench.send_with(&message, &[("mcp-name", Some(encoded))]).await;
    assert_eq!(answer.result()["contents"][0]["text"], "far");
}

#[tokio::test]
async fn a_version_in_the_body_makes_a_request_stateless_whatever_the_headers_say() {
    let mut message = echo();
    message["params"]["_meta"][VERSION_KEY] = json!("2025-11-25");
    let answer = Bench::new()
        .send_with(&message, &[("mcp-protocol-version", None)])
        .await;
    assert_eq!((answer.status, answer.code()), (400, -32_022));
}

fn route(arguments: Value) -> Value {
    request("tools/call", json!({ "name": "route", "arguments": arguments }))
}

#[rstest]
#[case::plain(json!({ "region": "us-west1" }), "mcp-param-region", "us-west1")]
#[case::encoded(json!({ "region": "Hello, 世界" }), "mcp-param-region", "=?base64?SGVsbG8sIOS4lueVjA==?=")]
#[case::encoded_without_need(json!({ "region": "Hello" }), "mcp-param-region", "=?base64?SGVsbG8=?=")]
#[case::padded(json!({ "region": " padded " }), "mcp-param-region", "=?base64?IHBhZGRlZCA=?=")]
#[case::lines(json!({ "region": "line1\nline2" }), "mcp-param-region", "=?base64?bGluZTEKbGluZTI=?=")]
#[case::looks_encoded(json!({ "region": "=?base64?literal?=" }), "mcp-param-region", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=")]
#[case::no_prefix(json!({ "region": "SGVsbG8=" }), "mcp-param-region", "SGVsbG8=")]
#[case::no_suffix(json!({ "region": "=?base64?SGVsbG8=" }), "mcp-param-region", "=?base64?SGVsbG8=")]
#[case::integer(json!({ "count": 42 }), "mcp-param-count", "42")]
#[case::integer_written_otherwise(json!({ "count": 42 }), "mcp-param-count", "42.0")]
#[case::negative(json!({ "count": -7 }), "mcp-param-count", "-7")]
#[case::flag_deep_down(json!({ "options": { "force": true } }), "mcp-param-force", "true")]
#[tokio::test]
async fn f02_a_parameter_in_a_header_is_compared_by_its_meaning(
    #[case] arguments: Value,
    #[case] header: &str,
    #[case] value: &str,
) {
    let answer = Bench::new()
        .send_with(&route(arguments), &[(header, Some(value))])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json);
}

#[rstest]
#[case::missing(json!({ "region": "x" }), "mcp-param-region", None)]
#[case::other(json!({ "region": "x" }), "mcp-param-region", Some("y"))]
#[case::other_case(json!({ "region": "x" }), "mcp-param-region", Some("X"))]
#[case::no_padding(json!({ "region": "Hello" }), "mcp-param-region", Some("=?base64?SGVsbG8?="))]
#[case::no_base64(json!({ "region": "Hello" }), "mcp-param-region", Some("=?base64?SGVs!!!bG8=?="))]
#[case::no_utf8(json!({ "region": "Hello" }), "mcp-param-region", Some("=?base64?/w==?="))]
#[case::marker_in_capitals(json!({ "region": "Hello" }), "mcp-param-region", Some("=?BASE64?SGVsbG8=?="))]
#[case::only_in_the_header(json!({}), "mcp-param-region", Some("x"))]
#[case::null_in_the_body(json!({ "region": null }), "mcp-param-region", Some("null"))]
#[case::other_number(json!({ "count": 42 }), "mcp-param-count", Some("43"))]
#[case::no_number(json!({ "count": 42 }), "mcp-param-count", Some("forty-two"))]
#[case::other_flag(json!({ "options": { "force": true } }), "mcp-param-force", Some("True"))]
#[case::object(json!({ "region": {} }), "mcp-param-region", Some("{}"))]
#[tokio::test]
async fn f02_a_parameter_that_disagrees_is_refused(
    #[case] arguments: Value,
    #[case] header: &str,
    #[case] value: Option<&str>,
) {
    let answer = Bench::new()
        .send_with(&route(arguments), &[(header, value)])
        .await;
    assert_eq!((answer.status, answer.code()), (400, -32_020), "{}", answer.json);
}

#[tokio::test]
async fn a_parameter_that_is_nowhere_or_null_needs_no_header() {
    let bench = Bench::new();
    for arguments in [json!({}), json!({ "region": null }), json!({ "options": {} })] {
        assert_eq!(bench.send_with(&route(arguments), &[]).await.status, 200);
    }
}

#[tokio::test]
async fn unknown_parameters_in_headers_are_ignored() {
    let answer = Bench::new()
        .send_with(&echo(), &[("mcp-param-other", Some("x"))])
        .await;
    assert_eq!(answer.status, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_agrees_with_its_encoding_and_with_no_other(text in any::<String>(), other in any::<String>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let encoded = format!("=?base64?{}?=", STANDARD.encode(&other));
        let post = |region: &str| {
            let message = route(json!({ "region": region }));
            runtime.block_on(Bench::new().send_with(&message, &[("mcp-param-region", Some(&encoded))])).status
        };
        prop_assert_eq!(post(&other), 200);
        prop_assert_eq!(post(&text), if text == other { 200 } else { 400 });
    }
}
