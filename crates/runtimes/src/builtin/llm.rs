//! `llm`: answers of language models, by the wire formats of OpenAI and Anthropic.

mod question;
mod fault;
mod reply;
mod sse;
mod openai;
mod anthropic;
mod endpoint;
mod refusal;
mod transport;
mod describe;

use std::{sync::Arc, time::Duration};

use model::{Call, Entropy, Error, ErrorCode, Health, Plugin, Result, Secret};
use serde_json::Value;

use self::{
    endpoint::Endpoint,
    question::{Ask, Question},
    transport::Transport,
};
use super::{Answer, BuiltinPlugin};
use crate::http::Timeouts;

/// A wire format of language models, and the service that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmProvider {
    /// OpenAI's chat completions, which many other servers speak too.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
}

impl LlmProvider {
    const ALL: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    /// The name in payloads, results and settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// Where the service itself is reached.
    #[must_use]
    pub const fn public_base_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com",
        }
    }

    /// The model that is asked when neither the call nor the settings name one.
    #[must_use]
    pub const fn usual_model(self) -> &'static str {
        match self {
            Self::OpenAi => "gpt-5-mini",
            Self::Anthropic => "claude-sonnet-4-5",
        }
    }

    const fn key_variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
        }
    }

    const fn base_url_variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_BASE_URL",
            Self::Anthropic => "ANTHROPIC_BASE_URL",
        }
    }
}

/// Where a provider is reached, and by which key.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The key; without one, calls to this provider are refused.
    pub api_key: Option<Secret>,
    /// An `http` or `https` URL; a slash at its end makes no difference.
    pub base_url: String,
}

/// How the `llm` plugin is set.
#[derive(Clone, Debug)]
pub struct LlmSettings {
    /// The provider of a call that names none.
    pub provider: LlmProvider,
    /// The model of a call to that provider that names none.
    pub model: Option<String>,
    /// Where the format of OpenAI is spoken.
    pub openai: ProviderSettings,
    /// Where the format of Anthropic is spoken.
    pub anthropic: ProviderSettings,
    /// How long a provider may be silent.
    pub timeouts: Timeouts,
}

impl Default for LlmSettings {
    /// The services themselves, without keys.
    fn default() -> Self {
        let settings = |provider: LlmProvider| ProviderSettings {
            api_key: None,
            base_url: provider.public_base_url().to_owned(),
        };
        Self {
            provider: LlmProvider::OpenAi,
            model: None,
            openai: settings(LlmProvider::OpenAi),
            anthropic: settings(LlmProvider::Anthropic),
            timeouts: Timeouts::default(),
        }
    }
}

pub(super) struct Llm {
    plugin: Plugin,
    default_provider: LlmProvider,
    default_model: Option<String>,
    openai: Endpoint,
    anthropic: Endpoint,
    transport: Transport,
}

impl Llm {
    pub(super) fn new(settings: LlmSettings, entropy: Arc<dyn Entropy>) -> Result<Self> {
        Ok(Self {
            plugin: describe::plugin(settings.provider)?,
            default_provider: settings.provider,
            default_model: settings.model,
            openai: Endpoint::new(LlmProvider::OpenAi, settings.openai)?,
            anthropic: Endpoint::new(LlmProvider::Anthropic, settings.anthropic)?,
            transport: Transport::new(settings.timeouts, entropy),
        })
    }

    async fn answer(&self, ask: Ask, payload: Value, timeout: Duration) -> Result<Value> {
        let payload = question::read(payload)?;
        let provider = payload.provider.unwrap_or(self.default_provider);
        let question = Question::new(ask, payload, provider, self.default_model_of(provider))?;
        let endpoint = self.endpoint(provider);
        if !endpoint.has_key() {
            return Err(Error::new(ErrorCode::PluginFailed, self.advice(provider)));
        }
        let reply = self.transport.ask(endpoint, &question, timeout).await?;
        Ok(reply.into_result(provider))
    }

    fn endpoint(&self, provider: LlmProvider) -> &Endpoint {
        match provider {
            LlmProvider::OpenAi => &self.openai,
            LlmProvider::Anthropic => &self.anthropic,
        }
    }

    fn default_model_of(&self, provider: LlmProvider) -> &str {
        let set = self
            .default_model
            .as_deref()
            .filter(|_| provider == self.default_provider);
        set.unwrap_or(provider.usual_model())
    }

    /// What to do when a provider has no key.
    fn advice(&self, provider: LlmProvider) -> String {
        let variable = provider.key_variable();
        let other = LlmProvider::ALL
            .into_iter()
            .find(|other| *other != provider && self.endpoint(*other).has_key());
        match other {
            Some(other) => {
                let other = other.as_str();
                format!(
                    "set {variable}, or choose the provider {other}, which has a key, in the call or by LLM_PROVIDER"
                )
            }
            None => format!("set {variable} to use the provider {}", provider.as_str()),
        }
    }
}

impl BuiltinPlugin for Llm {
    fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// It can be called when some provider has a key, if need be by naming that one.
    fn health(&self) -> Health {
        if LlmProvider::ALL
            .into_iter()
            .any(|provider| self.endpoint(provider).has_key())
        {
            return Health::Healthy;
        }
        Health::Unavailable(self.advice(self.default_provider))
    }

    fn call(&self, call: Call) -> Answer<'_> {
        let ask = match call.action.as_str() {
            "chat" => Ask::Chat,
            "complete" => Ask::Complete,
            _ => return Answer::unknown_action(),
        };
        Answer::later(self.answer(ask, call.payload, call.timeout))
    }
}
