//! What is a message, and what is said of what is none.

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::{Answer, VERSION, collect, headers_of, request},
};

async fn post_text(text: &str) -> Answer {
    let headers = headers_of(&request("tools/list", json!({})));
    let bench = Bench::new();
    collect(bench.raw(&Who::user("ada"), headers, text.to_owned()).await).await
}

#[rstest]
#[case::nothing("")]
#[case::half_an_object(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list""#)]
#[case::text_behind(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"} x"#)]
#[case::half_a_batch("[{}")]
#[case::no_json("tools/list")]
#[case::wrong_id_and_then_no_json(r#"{"jsonrpc":"2.0","id":1.5,"method":"#)]
#[tokio::test]
async fn f03_malformed_json_is_a_parse_error(#[case] text: &str) {
    let answer = post_text(text).await;
    assert_eq!((answer.status, answer.code()), (400, -32_700));
    assert!(answer.json.get("id").is_none());
}

#[tokio::test]
async fn json_nested_too_deep_is_a_parse_error() {
    let deep = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{{\"a\":{}}}}}",
        "[".repeat(100_000)
    );
    assert_eq!(post_text(&deep).await.code(), -32_700);
}

#[rstest]
#[case::null(json!(null))]
#[case::fraction(json!(1.5))]
#[case::whole_fraction(json!(1.0))]
#[case::beyond_64_bits(json!(1e30))]
#[case::flag(json!(true))]
#[case::list(json!([1]))]
#[case::object(json!({ "a": 1 }))]
#[tokio::test]
async fn f03_an_id_that_is_neither_text_nor_an_integer_is_an_invalid_request(#[case] id: Value) {
    let mut message = request("tools/list", json!({}));
    message["id"] = id;
    let answer = post_text(&message.to_string()).await;
    assert_eq!((answer.status, answer.code()), (400, -32_600));
    assert!(answer.json.get("id").is_none());
}

#[rstest]
#[case::batch(json!([request("tools/list", json!({}))]))]
#[case::empty_batch(json!([]))]
#[case::members_in_a_row(json!(["2.0", 1, "tools/list", {}]))]
#[case::text(json!("tools/list"))]
#[case::null(json!(null))]
#[case::other_version(json!({ "jsonrpc": "1.0", "id": 1, "method": "tools/list" }))]
#[case::no_version(json!({ "id": 1, "method": "tools/list" }))]
#[case::no_method(json!({ "jsonrpc": "2.0", "id": 1 }))]
#[case::method_is_a_number(json!({ "jsonrpc": "2.0", "id": 1, "method": 5 }))]
#[case::request_and_response(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "result": {} }))]
#[case::params_are_text(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": "all" }))]
#[case::response(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }))]
#[tokio::test]
async fn f03_what_is_no_single_request_is_invalid(#[case] message: Value) {
    let answer = post_text(&message.to_string()).await;
    assert_eq!((answer.status, answer.code()), (400, -32_600), "{}", answer.json);
}

#[tokio::test]
async fn a_member_given_twice_makes_a_message_invalid() {
    let answer = post_text(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#).await;
    assert_eq!((answer.status, answer.code()), (400, -32_600));
}

#[tokio::test]
async fn an_invalid_request_is_told_with_its_id_when_there_is_one() {
    let answer = post_text(r#"{"jsonrpc":"1.0","id":"x-1","method":"tools/list"}"#).await;
    assert_eq!(answer.json["id"], "x-1");
}

#[tokio::test]
async fn positional_params_are_invalid_params() {
    let answer = post_text(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[1]}"#).await;
    assert_eq!(answer.code(), -32_602);
    assert_eq!(answer.json["id"], 1);
}

#[rstest]
#[case::text(json!("a \"quoted\" id"))]
#[case::negative(json!(-3))]
#[case::zero(json!(0))]
#[case::empty_text(json!(""))]
#[tokio::test]
async fn an_id_comes_back_as_it_was(#[case] id: Value) {
    let mut message = request("tools/list", json!({}));
    message["id"] = id.clone();
    let answer = Bench::new().send(&Who::user("ada"), &message).await;
    assert_eq!(answer.json["id"], id);
    assert!(answer.json.get("result").is_some());
}

#[tokio::test]
async fn unknown_members_are_ignored() {
    let mut message = request("tools/list", json!({ "unheard": 1 }));
    message["more"] = json!({ "of": ["it"] });
    assert_eq!(Bench::new().send(&Who::user("ada"), &message).await.status, 200);
}

#[tokio::test]
async fn a_notification_is_taken_without_a_word() {
    let message = json!({ "jsonrpc": "2.0", "method": "notifications/whatever" });
    let answer = Bench::new().send(&Who::user("ada"), &message).await;
    assert_eq!((answer.status, answer.json), (202, Value::Null));
}

#[tokio::test]
async fn f03_a_notification_with_an_id_is_an_unknown_method() {
    let answer = Bench::new().ask("notifications/cancelled", json!({})).await;
    assert_eq!((answer.status, answer.code()), (404, -32_601));
}

#[rstest]
#[case::text(Some("text/plain"))]
#[case::form(Some("application/x-www-form-urlencoded"))]
#[case::none(None)]
#[tokio::test]
async fn a_body_that_does_not_say_json_is_refused(#[case] kind: Option<&str>) {
    let message = request("tools/list", json!({}));
    let answer = Bench::new().send_with(&message, &[("content-type", kind)]).await;
    assert_eq!(answer.status, 415);
}

#[rstest]
#[case::json("application/json; charset=utf-8", 200)]
#[tokio::test]
async fn a_charset_is_fine(#[case] kind: &str, #[case] status: u16) {
    let message = request("tools/list", json!({}));
    let answer = Bench::new()
        .send_with(&message, &[("content-type", Some(kind))])
        .await;
    assert_eq!(answer.status, status);
}

#[rstest]
#[case::neither(Some("text/html"), 406)]
#[case::anything(Some("*/*"), 200)]
#[case::unsaid(None, 200)]
#[case::json_only(Some("application/json"), 200)]
#[case::events_only(Some("text/event-stream"), 200)]
#[tokio::test]
async fn accept_is_read(#[case] accept: Option<&str>, #[case] status: u16) {
    let message = request("tools/call", json!({ "name": "echo", "arguments": {} }));
    let answer = Bench::new().send_with(&message, &[("accept", accept)]).await;
    assert_eq!(answer.status, status);
    if accept == Some("text/event-stream") {
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    }
}

#[tokio::test]
async fn one_that_accepts_nothing_of_it_hears_with_its_id_what_to_send() {
    let message = request("tools/list", json!({}));
    let answer = Bench::new()
        .send_with(&message, &[("accept", Some("text/html"))])
        .await;
    assert_eq!((answer.status, &answer.json["id"]), (406, &message["id"]));
    let told = answer.json["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("Accept: application/json, text/event-stream"),
        "{told}"
    );
}

#[rstest]
#[case::get("GET")]
#[case::delete("DELETE")]
#[case::put("PUT")]
#[tokio::test]
async fn only_post_means_anything_without_sessions(#[case] verb: &str) {
    let request = http::Request::builder()
        .method(verb)
        .header("mcp-protocol-version", VERSION);
    let request = request.body(bytes::Bytes::new()).unwrap();
    let bench = Bench::new();
    let response = bench.service.handle(Who::user("ada"), request).await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_posted_has_an_answer(body in any::<Vec<u8>>(), text in "[\\[{]?(\\PC|[{}\\[\\]\",:0-9])*") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let headers = headers_of(&request("tools/list", json!({})));
        let bench = Bench::new();
        for body in [body, text.into_bytes()] {
            let response = runtime.block_on(bench.raw(&Who::user("ada"), headers.clone(), body));
            let answer = runtime.block_on(collect(response));
            prop_assert!(matches!(answer.code(), -32_700 | -32_600 | -32_602), "{}", answer.json);
        }
    }
}
