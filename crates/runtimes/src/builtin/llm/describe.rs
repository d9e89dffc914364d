//! What the plugin and its actions are, for people and agents.

use std::time::Duration;

use model::{Action, ActionName, Annotations, Plugin, PluginName, Result, ResultForm, Span};
use serde_json::{Map, Value, json};

use super::{
    LlmProvider,
    question::{MAX_CONTENT_CHARS, MAX_MESSAGES, MAX_MODEL_CHARS, MAX_TOKENS},
    reply::FinishReason,
};
use crate::builtin::schema;

/// Long enough for most answers; the request that carries the call may end sooner.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(super) fn plugin(default_provider: LlmProvider) -> Result<Plugin> {
    Ok(Plugin {
        name: PluginName::parse("llm")?,
        title: "Language models".into(),
        description: "Asks a language model of OpenAI, Anthropic, or a server that speaks the format of one \
                      of them."
            .into(),
        version: env!("CARGO_PKG_VERSION").into(),
        actions: vec![chat(default_provider)?, complete(default_provider)?],
        prompts: Vec::new(),
        resources: Vec::new(),
        resource_templates: Vec::new(),
        max_concurrency: 64,
    })
}

fn chat(default_provider: LlmProvider) -> Result<Action> {
    let message = json!({
        "role": {
            "enum": ["system", "user", "assistant"],
            "description": "Who says it; system messages come before all others.",
        },
        "content": { "type": "string", "minLength": 1, "maxLength": MAX_CONTENT_CHARS, "description": "What is said." },
    });
    let own = json!({
        "messages": {
            "type": "array",
            "items": schema::object(&message, &["role", "content"]),
            "minItems": 1,
            "maxItems": MAX_MESSAGES,
            "description": "The conversation so far, oldest first.",
        },
    });
    let examples = json!([{ "messages": [{ "role": "user", "content": "Say hello." }], "maxTokens": 20 }]);
    Ok(Action {
        name: ActionName::parse("chat")?,
        title: "Chat".into(),
        description: "Gives a language model's next message in a conversation.".into(),
        input_schema: schema::input(&with_options(own, default_provider), &["messages"], examples),
        output_schema: Some(reply()),
        result_form: ResultForm::Value,
        annotations: Annotations::REMOTE,
        span: Span::Varies,
        timeout: TIMEOUT,
    })
}

fn complete(default_provider: LlmProvider) -> Result<Action> {
    let own = json!({
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_CONTENT_CHARS,
            "description": "What to answer or to go on from.",
        },
    });
    let examples = json!([{ "prompt": "Say hello.", "system": "You are brief.", "temperature": 0.2 }]);
    Ok(Action {
        name: ActionName::parse("complete")?,
        title: "Complete".into(),
        description: "Gives a language model's answer to a single prompt.".into(),
        input_schema: schema::input(&with_options(own, default_provider), &["prompt"], examples),
        output_schema: Some(reply()),
        result_form: ResultForm::Value,
        annotations: Annotations::REMOTE,
        span: Span::Varies,
        timeout: TIMEOUT,
    })
}

fn with_options(own: Value, default_provider: LlmProvider) -> Value {
    let options = json!({
        "model": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_MODEL_CHARS,
            "description": "The model by the provider's name for it; the server's usual one when left out.",
        },
        "provider": {
            "enum": LlmProvider::ALL.map(LlmProvider::as_str),
            "default": default_provider.as_str(),
            "description": "Whom to ask.",
        },
        "temperature": {
            "type": "number",
            "minimum": 0,
            "maximum": 2,
            "description": "How much the answer varies: 0 least; at most 1 with anthropic. Not every model takes it.",
        },
        "maxTokens": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_TOKENS,
            "description": "How long the answer may get, in tokens.",
        },
        "system": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_CONTENT_CHARS,
            "description": "Instructions that stand above the conversation.",
        },
    });
    let mut all = Map::new();
    for part in [own, options] {
        if let Value::Object(properties) = part {
            all.extend(properties);
        }
    }
    Value::Object(all)
}

fn reply() -> Value {
    let count = |description| json!({ "type": "integer", "minimum": 0, "description": description });
    let usage = schema::object(
        &json!({
            "inputTokens": count("Tokens that were read."),
            "outputTokens": count("Tokens that were written."),
            "totalTokens": count("Both together."),
        }),
        &["inputTokens", "outputTokens", "totalTokens"],
    );
    let properties = json!({
        "text": { "type": "string", "description": "The answer." },
        "model": { "type": "string", "description": "The model that answered, by the provider's name for it." },
        "provider": { "enum": LlmProvider::ALL.map(LlmProvider::as_str), "description": "Who was asked." },
        "finishReason": {
            "enum": FinishReason::ALL.map(FinishReason::as_str),
            "description": "Why the answer ends: stop (it is complete), length (maxTokens), contentFilter, other.",
        },
        "usage": {
            "anyOf": [usage, { "type": "null" }],
            "description": "What was consumed; null when the server does not say.",
        },
    });
    schema::whole(
        &properties,
        &["text", "model", "provider", "finishReason", "usage"],
    )
}
