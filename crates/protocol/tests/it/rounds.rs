//! Requests that are answered with questions, and made again with answers.

use protocol::{Capabilities, QuestionKind};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    host::{Bench, Who},
    post::{Answer, meta_with, request},
};

const TEN_MINUTES: u64 = 600_000;

fn greet(arguments: Value, more: &[(&str, &Value)]) -> Value {
    let capabilities = json!({ "elicitation": {} });
    let mut params = json!({ "name": "greet", "arguments": arguments, "_meta": meta_with(capabilities) });
    for (key, value) in more {
        params[*key] = (*value).clone();
    }
    request("tools/call", params)
}

fn answers() -> Value {
    json!({ "name": { "action": "accept", "content": { "name": "Ada" } }, "unasked": {} })
}

async fn asked(bench: &Bench, arguments: Value) -> Value {
    let answer = bench.send(&Who::user("ada"), &greet(arguments, &[])).await;
    answer.result()["requestState"].clone()
}

async fn retry(bench: &Bench, who: &Who, arguments: Value, state: &Value) -> Answer {
    let message = greet(
        arguments,
        &[("inputResponses", &answers()), ("requestState", state)],
    );
    bench.send(who, &message).await
}

#[tokio::test]
async fn a_question_is_a_result_and_its_answer_comes_with_the_request_made_again() {
    let bench = Bench::new();
    let ada = Who::user("ada");
    let first = bench.send(&ada, &greet(json!({ "a": 1 }), &[])).await;
    let result = first.result();
    assert_eq!(first.status, 200);
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["inputRequests"]["name"]["method"], "elicitation/create");
    assert_eq!(result["inputRequests"]["name"]["params"]["mode"], "form");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "lab"
    );
    assert!(result.get("ttlMs").is_none());
    let second = retry(&bench, &ada, json!({ "a": 1 }), &result["requestState"]).await;
    assert_eq!(second.result()["resultType"], "complete");
    assert_eq!(
        second.result()["content"][0]["text"],
        r#"Hello, Ada! {"round":1}"#
    );
}

#[tokio::test]
async fn a_state_says_nothing_to_who_holds_it() {
    let bench = Bench::new();
    let state = asked(&bench, json!({})).await;
    assert!(!state.as_str().unwrap().contains("round"));
}

#[tokio::test]
async fn another_process_with_the_same_key_takes_the_state() {
    let state = asked(&Bench::new(), json!({})).await;
    let answer = retry(&Bench::new(), &Who::user("ada"), json!({}), &state).await;
    assert_eq!(answer.result()["resultType"], "complete");
}

#[tokio::test]
async fn the_order_of_arguments_does_not_matter() {
    let bench = Bench::new();
    let state = asked(&bench, json!({ "a": 1, "b": { "c": 2, "d": 3 } })).await;
    let answer = retry(
        &bench,
        &Who::user("ada"),
        json!({ "b": { "d": 3, "c": 2 }, "a": 1 }),
        &state,
    )
    .await;
    assert_eq!(answer.result()["resultType"], "complete");
}

#[tokio::test]
async fn f06_a_changed_state_is_refused() {
    let bench = Bench::new();
    let state = asked(&bench, json!({})).await;
    let text = state.as_str().unwrap();
    let mut flipped = text.to_owned().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let forms = [
        format!("{text}-TAMPERED"),
        String::from_utf8(flipped).unwrap(),
        text[..text.len() - 4].to_owned(),
        String::new(),
        "x".repeat(1 << 20),
    ];
    for form in forms {
        let answer = retry(&bench, &Who::user("ada"), json!({}), &json!(form)).await;
        assert_eq!((answer.status, answer.code()), (200, -32_602));
    }
}

#[tokio::test]
async fn f06_a_state_of_another_principal_is_refused() {
    let bench = Bench::new();
    let state = asked(&bench, json!({})).await;
    let answer = retry(&bench, &Who::user("eve"), json!({}), &state).await;
    assert_eq!(answer.code(), -32_602);
}

#[tokio::test]
async fn f06_a_state_for_other_arguments_or_another_request_is_refused() {
    let bench = Bench::new();
    let ada = Who::user("ada");
    let state = asked(&bench, json!({ "amount": 1 })).await;
    assert_eq!(
        retry(&bench, &ada, json!({ "amount": 1000 }), &state)
            .await
            .code(),
        -32_602
    );
    let params = json!({ "name": "echo", "arguments": { "amount": 1 }, "requestState": state });
    assert_eq!(bench.ask("tools/call", params).await.code(), -32_602);
    let params = json!({ "uri": "lab://secret", "requestState": state });
    assert_eq!(bench.ask("resources/read", params).await.code(), -32_602);
    assert_eq!(
        retry(&bench, &ada, json!({ "amount": 1 }), &state).await.status,
        200
    );
}

#[tokio::test]
async fn f06_a_state_lasts_ten_minutes() {
    let bench = Bench::new();
    let ada = Who::user("ada");
    let state = asked(&bench, json!({})).await;
    bench.pass(TEN_MINUTES - 1);
    assert_eq!(
        retry(&bench, &ada, json!({}), &state).await.result()["resultType"],
        "complete"
    );
    bench.pass(1);
    let late = retry(&bench, &ada, json!({}), &state).await;
    assert_eq!(late.code(), -32_602);
    assert!(
        late.json["error"]["message"]
            .as_str()
            .unwrap()
            .contains("expired")
    );
}

#[rstest]
#[case::answer_is_a_number("inputResponses", json!({ "name": 12345 }))]
#[case::answers_are_null("inputResponses", json!(null))]
#[case::answers_are_a_list("inputResponses", json!([]))]
#[case::state_is_a_number("requestState", json!(5))]
#[case::state_is_null("requestState", json!(null))]
#[tokio::test]
async fn answers_in_a_wrong_form_are_refused(#[case] key: &str, #[case] value: Value) {
    let answer = Bench::new()
        .send(&Who::user("ada"), &greet(json!({}), &[(key, &value)]))
        .await;
    assert_eq!(answer.code(), -32_602);
}

#[tokio::test]
async fn a_question_that_was_not_answered_is_asked_again() {
    let wrong = json!({ "other": { "action": "accept" } });
    let answer = Bench::new()
        .send(
            &Who::user("ada"),
            &greet(json!({}), &[("inputResponses", &wrong)]),
        )
        .await;
    assert_eq!(answer.result()["resultType"], "input_required");
}

#[rstest]
#[case::nothing(json!({}), json!({ "elicitation": {} }))]
#[case::only_others(json!({ "sampling": {}, "roots": {} }), json!({ "elicitation": {} }))]
#[case::only_by_address(json!({ "elicitation": { "url": {} } }), json!({ "elicitation": { "form": {} } }))]
#[tokio::test]
async fn a_client_that_cannot_answer_is_told_what_it_lacks(
    #[case] capabilities: Value,
    #[case] lacking: Value,
) {
    let params = json!({ "name": "greet", "_meta": meta_with(capabilities) });
    let answer = Bench::new().ask("tools/call", params).await;
    assert_eq!((answer.status, answer.code()), (400, -32_021));
    assert_eq!(answer.json["error"]["data"]["requiredCapabilities"], lacking);
}

#[tokio::test]
async fn a_prompt_may_ask_without_a_state() {
    let params = json!({ "name": "brief", "_meta": meta_with(json!({ "elicitation": { "form": {} } })) });
    let answer = Bench::new().ask("prompts/get", params).await;
    assert_eq!(answer.result()["resultType"], "input_required");
    assert!(answer.result().get("requestState").is_none());
}

#[tokio::test]
async fn what_was_read_with_answers_is_not_to_be_kept() {
    let bench = Bench::new();
    let ada = Who::user("ada");
    let meta = meta_with(json!({ "elicitation": {} }));
    let first = bench
        .send(
            &ada,
            &request("resources/read", json!({ "uri": "lab://secret", "_meta": meta })),
        )
        .await;
    let state = &first.result()["requestState"];
    let params =
        json!({ "uri": "lab://secret", "_meta": meta, "inputResponses": answers(), "requestState": state });
    let second = bench.send(&ada, &request("resources/read", params)).await;
    assert_eq!(second.result()["contents"][0]["text"], "told");
    assert_eq!(second.result()["ttlMs"], 0);
    assert_eq!(second.result()["cacheScope"], "private");
}

#[test]
fn a_capability_counts_only_as_an_object() {
    let said = json!({ "sampling": true, "elicitation": {} });
    let capabilities = Capabilities::new(said.as_object().unwrap().clone());
    assert!(!capabilities.answers(QuestionKind::Sampling));
    assert!(capabilities.answers(QuestionKind::Elicitation));
}
