//! What becomes of a provider's failures.

use std::time::Duration;

use model::{ErrorCode, Secret};
use rstest::rstest;
use runtimes::{
    LlmProvider::{self, Anthropic, OpenAi},
    LlmSettings, ProviderSettings,
};

use super::{OPENAI_REPLY, ask, question, reply_of};
use crate::{
    fixture::{builtin_with, everything_of},
    provider::{KEY, Provider, Script},
};

fn busy(line: &str) -> Script {
    Script::status(line, &["retry-after: 0"], "{}")
}

#[rstest]
#[case(OpenAi, "429 Too Many Requests")]
#[case(OpenAi, "500 Internal Server Error")]
#[case(OpenAi, "503 Service Unavailable")]
#[case(Anthropic, "529 Overloaded")]
#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again(#[case] provider: LlmProvider, #[case] line: &str) {
    let scripts = [
        busy(line),
        Script::status(line, &[], "no JSON"),
        Script::events(reply_of(provider)),
    ];
    let (result, server) = ask(provider, scripts).await;
    assert_eq!(result.unwrap()["text"], "Grüße, 🦀!");
    assert_eq!(server.seen().await.len(), 3);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_tried_again() {
    let scripts = [Script::status("", &[], ""), Script::events(OPENAI_REPLY)];
    let (result, server) = ask(OpenAi, scripts).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(server.seen().await.len(), 2);
}

#[tokio::test]
async fn a_failure_that_stays_away_from_passing_is_given_up_after_four_tries() {
    let (result, server) = ask(OpenAi, [busy("500 Internal Server Error")]).await;
    let error = result.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PluginUnavailable);
    assert_eq!(error.message(), "the provider is not available (status 500)");
    assert!(error.is_retryable() && error.wait().is_some());
    assert_eq!(server.seen().await.len(), 4);
}

#[tokio::test]
async fn a_wait_beyond_the_time_of_the_call_is_told_and_not_waited_for() {
    let (result, server) = ask(
        OpenAi,
        [Script::status(
            "429 Too Many Requests",
            &["retry-after: 3600"],
            "{}",
        )],
    )
    .await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.wait()),
        (ErrorCode::PluginUnavailable, Some(Duration::from_secs(3600)))
    );
    assert_eq!(server.seen().await.len(), 1);
}

#[rstest]
#[case(
    "401 Unauthorized",
    "",
    "the provider refused the API key; check OPENAI_API_KEY"
)]
#[case(
    "400 Bad Request",
    r#"{"error":{"message":"no\nsuch  thing","type":"x"}}"#,
    "the provider refused the request (status 400): no such  thing"
)]
#[case("404 Not Found", "<html>", "the provider refused the request (status 404)")]
#[case(
    "429 Too Many Requests",
    r#"{"error":{"code":"insufficient_quota"}}"#,
    "the account of OPENAI_API_KEY has no quota left at the provider"
)]
#[case(
    "302 Found",
    "",
    "the provider's address has moved (status 302); check OPENAI_BASE_URL"
)]
#[case("200 OK", "{}", "the provider did not answer with a stream of events")]
#[tokio::test]
async fn a_failure_that_stays_is_told_at_once(#[case] line: &str, #[case] body: &str, #[case] message: &str) {
    let (result, server) = ask(OpenAi, [Script::status(line, &[], body)]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::PluginFailed, message)
    );
    assert_eq!(server.seen().await.len(), 1);
}

#[tokio::test]
async fn e03_a_redirect_is_not_followed() {
    let elsewhere = Provider::start([Script::events(OPENAI_REPLY)]).await;
    let location = format!("location: {}", elsewhere.url());
    let (result, _server) = ask(
        OpenAi,
        [Script::status("307 Temporary Redirect", &[&location], "")],
    )
    .await;
    assert_eq!(result.unwrap_err().code(), ErrorCode::PluginFailed);
    assert!(elsewhere.seen().await.is_empty());
}

#[rstest]
#[case(OpenAi, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n")]
#[case(OpenAi, "")]
#[case(
    Anthropic,
    "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}}\n\n"
)]
#[tokio::test]
async fn a_stream_that_ends_before_its_end_is_no_answer(#[case] provider: LlmProvider, #[case] events: &str) {
    for script in [Script::events(events), Script::broken(events)] {
        let (result, server) = ask(provider, [script]).await;
        let error = result.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (ErrorCode::PluginUnavailable, "the provider's answer broke off")
        );
        // It may have cost something already: whether to ask again is for the caller to say.
        assert_eq!(server.seen().await.len(), 1);
    }
}

#[rstest]
#[case(OpenAi, "data: {\"choices\":\n\n")]
#[case(OpenAi, "data: {\"choices\":[{\"delta\":{\"content\":7}}]}\n\n")]
#[case(OpenAi, "data: []\n\n")]
#[case(Anthropic, "data: {\"no\":\"type\"}\n\n")]
#[case(Anthropic, "data: {\"type\":\"content_block_delta\"}\n\n")]
#[tokio::test]
async fn e01_an_answer_in_another_form_is_refused(#[case] provider: LlmProvider, #[case] events: &str) {
    let (result, _server) = ask(provider, [Script::events(events)]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::PluginFailed, "the provider's answer can't be read")
    );
}

#[rstest]
#[case(
    Anthropic,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    ErrorCode::PluginUnavailable
)]
#[case(
    Anthropic,
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"Overloaded"}}"#,
    ErrorCode::PluginFailed
)]
#[case(
    OpenAi,
    r#"{"error":{"type":"server_error","message":"Overloaded"}}"#,
    ErrorCode::PluginUnavailable
)]
#[tokio::test]
async fn a_failure_within_the_answer_is_told(
    #[case] provider: LlmProvider,
    #[case] event: &str,
    #[case] code: ErrorCode,
) {
    let (result, _server) = ask(provider, [Script::events(&format!("data: {event}\n\n"))]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (code, "the provider failed while it answered: Overloaded")
    );
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = LlmSettings {
        openai: ProviderSettings {
            api_key: Some(Secret::new(KEY)),
            base_url: format!("http://{free}"),
        },
        ..LlmSettings::default()
    };
    let error = builtin_with(settings).call(question(60_000)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::PluginUnavailable, "the provider can't be reached")
    );
}

#[rstest]
#[case(OpenAi, "400 Bad Request")]
#[case(OpenAi, "401 Unauthorized")]
#[case(OpenAi, "403 Forbidden")]
#[case(Anthropic, "400 Bad Request")]
#[case(Anthropic, "503 Service Unavailable")]
#[tokio::test]
async fn g16_a_key_that_a_provider_repeats_is_in_no_error(#[case] provider: LlmProvider, #[case] line: &str) {
    let body = format!(r#"{{"error":{{"message":"bad key {KEY}!","type":"{KEY}"}}}}"#);
    let (result, server) = ask(provider, [Script::status(line, &["retry-after: 0"], &body)]).await;
    let shown = everything_of(&result.unwrap_err());
    assert!(!shown.contains(KEY), "{shown}");
    let settings = format!("{:?}", server.settings(provider));
    assert!(!settings.contains(KEY), "{settings}");
}

#[rstest]
#[case(OpenAi, format!(r#"{{"error":{{"message":"bad key {KEY}"}}}}"#))]
#[case(OpenAi, format!(r#"{{"choices":"{KEY}"}}"#))]
#[case(Anthropic, format!(r#"{{"type":"error","error":{{"message":"bad key {KEY}"}}}}"#))]
#[case(Anthropic, format!(r#"{{"type":{{"{KEY}":1}}}}"#))]
#[tokio::test]
async fn g16_a_key_that_is_repeated_within_an_answer_is_in_no_error(
    #[case] provider: LlmProvider,
    #[case] event: String,
) {
    let (result, _server) = ask(provider, [Script::events(&format!("data: {event}\n\n"))]).await;
    let shown = everything_of(&result.unwrap_err());
    assert!(!shown.contains(KEY), "{shown}");
}
