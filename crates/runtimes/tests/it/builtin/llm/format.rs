//! What is sent and how answers are read.

use rstest::rstest;
use runtimes::LlmProvider;
use serde_json::{Value, json};

use super::{OPENAI_REPLY, ask, reply_of};
use crate::{
    fixture::{builtin_with, call, done, refused_path},
    provider::{KEY, Provider, Script, Seen},
};

#[rstest]
#[case(LlmProvider::OpenAi, "gpt-test-1")]
#[case(LlmProvider::Anthropic, "claude-test-1")]
#[tokio::test]
async fn an_answer_comes_with_its_model_reason_and_tokens(
    #[case] provider: LlmProvider,
    #[case] model: &str,
) {
    let (result, _server) = ask(provider, [Script::events(reply_of(provider))]).await;
    let expected = json!({
        "text": "Grüße, 🦀!",
        "model": model,
        "provider": provider.as_str(),
        "finishReason": "stop",
        "usage": { "inputTokens": 9, "outputTokens": 4, "totalTokens": 13 },
    });
    assert_eq!(result.unwrap(), expected);
}

#[rstest]
#[case(LlmProvider::OpenAi, 1)]
#[case(LlmProvider::OpenAi, 7)]
#[case(LlmProvider::Anthropic, 1)]
#[case(LlmProvider::Anthropic, 13)]
#[tokio::test]
async fn a_stream_that_is_cut_anywhere_is_put_together(#[case] provider: LlmProvider, #[case] size: usize) {
    let (result, _server) = ask(provider, [Script::cut(reply_of(provider), size)]).await;
    assert_eq!(result.unwrap()["text"], "Grüße, 🦀!");
}

async fn sent(provider: LlmProvider, tool: &str, payload: Value) -> Seen {
    let server = Provider::start([Script::events(reply_of(provider))]).await;
    let runtime = builtin_with(server.settings(provider));
    runtime.call(call(tool, payload)).await.unwrap();
    server.seen().await.remove(0)
}

#[tokio::test]
async fn a_chat_is_sent_in_the_format_of_openai() {
    let payload = json!({
        "messages": [{ "role": "system", "content": "Rhyme." }, { "role": "user", "content": "Hi" }],
        "system": "Be brief.",
        "model": "some-model",
        "temperature": 1.5,
        "maxTokens": 50,
    });
    let Seen { head, body } = sent(LlmProvider::OpenAi, "llm.chat", payload).await;
    assert!(head.starts_with("POST /chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {KEY}")), "{head}");
    assert!(
        head.contains(concat!("user-agent: mcp-server/", env!("CARGO_PKG_VERSION"))),
        "{head}"
    );
    let expected = json!({
        "model": "some-model",
        "messages": [{ "role": "system", "content": "Be brief.\n\nRhyme." }, { "role": "user", "content": "Hi" }],
        "stream": true,
        "stream_options": { "include_usage": true },
        "temperature": 1.5,
        "max_tokens": 50,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_chat_is_sent_in_the_format_of_anthropic() {
    let payload = json!({
        "messages": [{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "Ho" }],
        "system": "Be brief.",
        "temperature": 1,
        "maxTokens": 50.0,
    });
    let Seen { head, body } = sent(LlmProvider::Anthropic, "llm.chat", payload).await;
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("x-api-key: {KEY}")), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01"), "{head}");
    let expected = json!({
        "model": LlmProvider::Anthropic.usual_model(),
        "messages": [{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "Ho" }],
        "max_tokens": 50,
        "stream": true,
        "system": "Be brief.",
        "temperature": 1.0,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_prompt_is_sent_as_one_message() {
    let Seen { body, .. } = sent(LlmProvider::Anthropic, "llm.complete", json!({ "prompt": "Hi" })).await;
    assert_eq!(body["messages"], json!([{ "role": "user", "content": "Hi" }]));
    assert_eq!(body["max_tokens"], 4096);
}

#[rstest]
#[case("length", "length")]
#[case("content_filter", "contentFilter")]
#[case("tool_calls", "other")]
#[tokio::test]
async fn the_reason_of_the_end_is_one_of_few(#[case] said: &str, #[case] told: &str) {
    let reply = OPENAI_REPLY.replace("\"stop\"", &format!("\"{said}\""));
    let (result, _server) = ask(LlmProvider::OpenAi, [Script::events(&reply)]).await;
    assert_eq!(result.unwrap()["finishReason"], told);
}

#[tokio::test]
async fn a_server_that_counts_no_tokens_is_not_guessed_for() {
    let reply = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    let (result, _server) = ask(LlmProvider::OpenAi, [Script::events(reply)]).await;
    let result = result.unwrap();
    assert_eq!((&result["usage"], &result["text"]), (&Value::Null, &json!("Hi")));
    assert_eq!(result["model"], LlmProvider::OpenAi.usual_model());
}

#[rstest]
#[case("llm.chat", json!({ "messages": [] }), "messages")]
#[case("llm.chat", json!({ "prompt": "Hi" }), "messages")]
#[case("llm.complete", json!({ "messages": [{ "role": "user", "content": "Hi" }] }), "prompt")]
#[case("llm.complete", json!({ "prompt": "" }), "prompt")]
#[case("llm.chat", json!({ "messages": [{ "role": "system", "content": "x" }] }), "messages")]
#[case("llm.chat", json!({ "messages": [{ "role": "tool", "content": "x" }] }), "messages.0.role")]
#[case("llm.chat", json!({ "messages": [{ "role": "user", "content": "x" }, { "role": "system", "content": "x" }] }), "messages.1.role")]
#[case("llm.complete", json!({ "prompt": "x", "temperature": 2.1 }), "temperature")]
#[case("llm.complete", json!({ "prompt": "x", "temperature": 1.1, "provider": "anthropic" }), "temperature")]
#[case("llm.complete", json!({ "prompt": "x", "maxTokens": 0 }), "maxTokens")]
#[case("llm.complete", json!({ "prompt": "x", "maxTokens": 1.5 }), "maxTokens")]
#[case("llm.complete", json!({ "prompt": "x", "model": "" }), "model")]
#[case("llm.complete", json!({ "prompt": "x", "provider": "none" }), "provider")]
#[tokio::test]
async fn what_can_not_be_asked_is_refused_before_anything_is_sent(
    #[case] tool: &str,
    #[case] payload: Value,
    #[case] path: &str,
) {
    let server = Provider::start([Script::silent()]).await;
    let refused = builtin_with(server.settings(LlmProvider::OpenAi))
        .call(call(tool, payload))
        .await;
    assert_eq!(refused_path(done(refused)), path);
    assert!(server.seen().await.is_empty());
}
