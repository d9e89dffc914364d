//! Where a provider is reached, and how a question is put into its format.

use std::borrow::Cow;

use model::{Error, Result, Secret};
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;

use super::{LlmProvider, ProviderSettings, anthropic, openai, question::Question, reply::Reader};

/// Keys shorter than this are place-holders for servers that need none, and may be part of any word.
const SHORTEST_KEY: usize = 8;

/// A provider, ready to be asked.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    provider: LlmProvider,
    url: Url,
    key: Option<Secret>,
    headers: HeaderMap,
}

impl Endpoint {
    /// Checks the settings of a provider.
    ///
    /// # Errors
    /// `Invalid`, naming the variable.
    pub(super) fn new(provider: LlmProvider, settings: ProviderSettings) -> Result<Self> {
        let path = match provider {
            LlmProvider::OpenAi => openai::PATH,
            LlmProvider::Anthropic => anthropic::PATH,
        };
        let refused = || {
            let accepted = "must be an http or https URL without credentials, query and fragment";
            Error::invalid(provider.base_url_variable(), accepted)
        };
        let url = Url::parse(&format!("{}{path}", settings.base_url.trim_end_matches('/')));
        let url = url.ok().filter(is_plain).ok_or_else(refused)?;
        let headers = match &settings.api_key {
            Some(key) => headers(provider, key)?,
            None => HeaderMap::new(),
        };
        Ok(Self {
            provider,
            url,
            key: settings.api_key,
            headers,
        })
    }

    pub(super) fn provider(&self) -> LlmProvider {
        self.provider
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Takes the key out of what a provider says: some repeat it.
    pub(super) fn without_key<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.key {
            Some(key) if key.expose().len() >= SHORTEST_KEY && text.contains(key.expose()) => {
                text.replace(key.expose(), "***").into()
            }
            _ => text.into(),
        }
    }

    /// The headers of a request, the key among them, marked as sensitive.
    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// The body of a request.
    pub(super) fn body(&self, question: &Question) -> Value {
        match self.provider {
            LlmProvider::OpenAi => openai::body(question, self.is_openai_itself()),
            LlmProvider::Anthropic => anthropic::body(question),
        }
    }

    /// What reads the answer.
    pub(super) fn reader(&self) -> Box<dyn Reader> {
        match self.provider {
            LlmProvider::OpenAi => Box::new(openai::ChatReader::default()),
            LlmProvider::Anthropic => Box::new(anthropic::MessageReader::default()),
        }
    }

    fn is_openai_itself(&self) -> bool {
        self.url.host_str() == Some("api.openai.com")
    }
}

fn is_plain(url: &Url) -> bool {
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_web && !has_credentials && url.query().is_none() && url.fragment().is_none()
}

fn headers(provider: LlmProvider, key: &Secret) -> Result<HeaderMap> {
    let refused = |_| {
        let accepted = "must consist of visible ASCII characters";
        Error::invalid(provider.key_variable(), accepted)
    };
    let mut headers = HeaderMap::new();
    let (name, value) = match provider {
        LlmProvider::OpenAi => (AUTHORIZATION, format!("Bearer {}", key.expose())),
        LlmProvider::Anthropic => {
            headers.insert("anthropic-version", HeaderValue::from_static(anthropic::VERSION));
            (HeaderName::from_static("x-api-key"), key.expose().to_owned())
        }
    };
    let mut value = HeaderValue::try_from(value).map_err(refused)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}
