//! How the plugin is set, and what it says when it isn't.

use model::{ErrorCode, Health, PluginName, Secret};
use rstest::rstest;
use runtimes::{Builtin, LlmProvider, LlmSettings, ProviderSettings};
use serde_json::json;

use super::{ANTHROPIC_REPLY, question};
use crate::{
    fixture::{Zeros, builtin, builtin_with, call, run},
    provider::{Provider, Script},
};

fn llm() -> PluginName {
    PluginName::parse("llm").unwrap()
}

#[tokio::test]
async fn without_a_key_it_says_which_variable_to_set() {
    let advice = "set OPENAI_API_KEY to use the provider openai";
    assert_eq!(builtin().health(&llm()), Health::Unavailable(advice.into()));
    let error = run("llm.complete", json!({ "prompt": "Hi" })).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::PluginFailed, advice));
}

#[tokio::test]
async fn with_a_key_for_another_provider_only_it_says_how_to_choose_that_one() {
    let server = Provider::start([Script::events(ANTHROPIC_REPLY)]).await;
    let runtime = builtin_with(LlmSettings {
        provider: LlmProvider::OpenAi,
        ..server.settings(LlmProvider::Anthropic)
    });
    assert_eq!(runtime.health(&llm()), Health::Healthy);
    let error = runtime.call(question(60_000)).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("set OPENAI_API_KEY, or choose the provider anthropic"),
        "{error}"
    );
    let chosen = call("llm.complete", json!({ "prompt": "Hi", "provider": "anthropic" }));
    assert!(runtime.call(chosen).await.is_ok());
}

#[tokio::test]
async fn the_model_of_the_settings_is_for_their_provider_only() {
    let server = Provider::start([Script::events(ANTHROPIC_REPLY)]).await;
    let settings = LlmSettings {
        model: Some("mine".into()),
        ..server.settings(LlmProvider::Anthropic)
    };
    let other = LlmSettings {
        provider: LlmProvider::OpenAi,
        ..settings.clone()
    };
    let asks_anthropic = || call("llm.complete", json!({ "prompt": "Hi", "provider": "anthropic" }));
    for settings in [settings, other] {
        assert!(builtin_with(settings).call(asks_anthropic()).await.is_ok());
    }
    let models: Vec<_> = server
        .seen()
        .await
        .into_iter()
        .map(|seen| seen.body["model"].clone())
        .collect();
    assert_eq!(models, ["mine", LlmProvider::Anthropic.usual_model()]);
}

#[rstest]
#[case("")]
#[case("localhost:8080")]
#[case("file:///etc/passwd")]
#[case("gopher://127.0.0.1")]
#[case("https://user:password@example.com")]
#[case("https://example.com/?x=")]
fn e03_a_base_url_that_is_not_plain_http_is_refused(#[case] base_url: &str) {
    let settings = LlmSettings {
        openai: ProviderSettings {
            api_key: None,
            base_url: base_url.into(),
        },
        ..LlmSettings::default()
    };
    let error = Builtin::new(settings, std::sync::Arc::new(Zeros)).unwrap_err();
    assert_eq!(error.details()[0].path, "OPENAI_BASE_URL");
}

#[test]
fn g16_a_key_that_no_header_can_carry_is_refused_without_being_shown() {
    let settings = LlmSettings {
        anthropic: ProviderSettings {
            api_key: Some(Secret::new("canary\n")),
            base_url: "https://example.com".into(),
        },
        ..LlmSettings::default()
    };
    let error = Builtin::new(settings, std::sync::Arc::new(Zeros)).unwrap_err();
    assert_eq!(error.details()[0].path, "ANTHROPIC_API_KEY");
    assert!(!format!("{error:?}").contains("canary"));
}
