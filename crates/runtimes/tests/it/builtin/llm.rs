//! `llm`, against servers on this machine that speak the wire formats.

mod failure;
mod format;
mod limit;
mod setting;

use std::time::Duration;

use model::{Call, Result};
use runtimes::LlmProvider;
use serde_json::{Value, json};

use crate::{
    fixture::{builtin_with, call, done},
    provider::{Provider, Script},
};

/// A whole answer in the format of OpenAI.
const OPENAI_REPLY: &str = concat!(
    "data: {\"id\":\"c1\",\"model\":\"gpt-test-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-test-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, \"},\"finish_reason\":null}]}\n\n",
    ": keep-alive\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-test-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"🦀!\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-test-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c1\",\"model\":\"gpt-test-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}\n\n",
    "data: [DONE]\n\n",
);

/// A whole answer in the format of Anthropic.
const ANTHROPIC_REPLY: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"model\":\"claude-test-1\",\"content\":[],\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":2,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Grüße, \"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"🦀!\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":4}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

fn reply_of(provider: LlmProvider) -> &'static str {
    match provider {
        LlmProvider::OpenAi => OPENAI_REPLY,
        LlmProvider::Anthropic => ANTHROPIC_REPLY,
    }
}

/// A question of one message, which may take so many milliseconds.
fn question(millis: u64) -> Call {
    Call {
        timeout: Duration::from_millis(millis),
        ..call("llm.complete", json!({ "prompt": "Greet." }))
    }
}

/// Asks a provider that plays the scripts.
async fn ask(provider: LlmProvider, scripts: impl IntoIterator<Item = Script>) -> (Result<Value>, Provider) {
    let server = Provider::start(scripts).await;
    let result = builtin_with(server.settings(provider))
        .call(question(60_000))
        .await;
    (done(result), server)
}
