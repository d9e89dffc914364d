//! How much time and room a provider is given.

use std::time::Duration;

use model::ErrorCode;
use runtimes::{LlmProvider::OpenAi, LlmSettings, http::Timeouts};

use super::{ask, question};
use crate::{
    fixture::builtin_with,
    provider::{Provider, Script},
};

#[tokio::test]
async fn e01_an_answer_that_takes_too_long_is_ended_at_the_time_of_the_call() {
    for script in [Script::silent(), Script::stalled("data: {\"choices\":[]}\n\n")] {
        let server = Provider::start([script]).await;
        let error = builtin_with(server.settings(OpenAi))
            .call(question(200))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (ErrorCode::PluginTimedOut, "the provider took longer than 200 ms")
        );
        server.departure().await;
    }
}

#[tokio::test]
async fn e01_a_provider_that_falls_silent_is_given_up() {
    for script in [Script::silent(), Script::stalled("data: {\"choices\":[]}\n\n")] {
        let server = Provider::start([script]).await;
        let timeouts = Timeouts {
            idle: Duration::from_millis(200),
            ..Timeouts::default()
        };
        let settings = LlmSettings {
            timeouts,
            ..server.settings(OpenAi)
        };
        let error = builtin_with(settings).call(question(60_000)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (ErrorCode::PluginUnavailable, "the provider fell silent")
        );
        server.departure().await;
    }
}

#[tokio::test]
async fn e02_an_answer_without_end_is_cut_off() {
    let event = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(10_000)
    );
    for stream in [event.repeat(1_000), "x".repeat(2_000_000)] {
        let (result, _server) = ask(OpenAi, [Script::cut(&stream, 100_000)]).await;
        let error = result.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (ErrorCode::PluginFailed, "the provider's answer can't be read")
        );
    }
}

#[tokio::test]
async fn a_refusal_without_end_is_read_in_part() {
    let long = format!("{{\"error\":{{\"message\":\"{}\"}}}}", "x".repeat(1_000_000));
    let (result, _server) = ask(OpenAi, [Script::status("400 Bad Request", &[], &long)]).await;
    assert!(result.unwrap_err().message().len() < 500);
}

#[tokio::test]
async fn e01_a_call_with_the_longest_time_there_is_can_be_made() {
    let server = Provider::start([Script::events("data: [DONE]\n\n")]).await;
    let call = model::Call {
        timeout: Duration::MAX,
        ..question(0)
    };
    assert!(builtin_with(server.settings(OpenAi)).call(call).await.is_ok());
}

#[tokio::test]
async fn d07_a_question_that_nobody_waits_for_is_taken_back() {
    let server = Provider::start([Script::silent()]).await;
    let runtime = builtin_with(server.settings(OpenAi));
    tokio::select! {
        result = runtime.call(question(60_000)) => panic!("it ended: {result:?}"),
        () = server.arrival() => {}
    }
    server.departure().await;
}
