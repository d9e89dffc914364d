//! The one place that names concrete adapters: from a configuration to an engine.

use std::error::Error as _;
use std::sync::Arc;
use std::thread;

use backplane::{LocalBus, LocalRateLimiter};
use engine::{Engine, Ports, Settings};
use model::{Clock, Entropy, Ids, Observer, PluginName, Quota, Runtime, Store};
use runtimes::{Builtin, LlmSettings, ProviderSettings};
use stores::{SqliteOptions, SqliteStore};

use crate::config::secret::{GeneratedSecrets, SecretsError};
use crate::config::{Config, Llm, LlmProvider, MAX_WORKER_CONCURRENCY};
use crate::system::{SystemClock, SystemEntropy, SystemIds};

/// An engine on its adapters, with what its opener should tell.
pub struct Wired {
    /// Ready to work; its owner closes it.
    pub engine: Engine,
    /// Where identifiers come from.
    pub ids: Arc<dyn Ids>,
    /// One line for each thing that was put right.
    pub warnings: Vec<String>,
}

/// Puts something around a store.
pub type AroundStore = fn(Arc<dyn Store>) -> Arc<dyn Store>;

/// What a binary adds to the product: fixtures of tests and benchmarks.
#[derive(Clone, Default)]
pub struct Extras {
    /// Hold plugins beside the built-in ones.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// The plugin whose tools and prompts MCP clients see under their own names, without the plugin's before them.
    pub bare_tools: Option<PluginName>,
    /// Puts something around the store.
    pub around_store: Option<AroundStore>,
}

impl From<Vec<Arc<dyn Runtime>>> for Extras {
    fn from(runtimes: Vec<Arc<dyn Runtime>>) -> Self {
        Self {
            runtimes,
            ..Self::default()
        }
    }
}

/// The name that no plugin can have: MCP clients see the server's own tools under it.
pub const RESERVED_PLUGIN_NAME: &str = "tasks";

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The data directory or its secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The store, a plugin or a setting.
    #[error("{}", chain(.0))]
    Part(#[from] model::Error),
}

/// Opens the store of `config.data_dir` and puts the engine together on it, with the built-in plugins and those of
/// `extras`.
///
/// The store belongs to this process until the engine is closed.
///
/// # Errors
/// [`WireError`], fit to be shown as it is.
pub fn open(
    config: &Config,
    observer: Arc<dyn Observer>,
    extras: impl Into<Extras>,
) -> Result<Wired, WireError> {
    let extras = extras.into();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let (secrets, warnings) = GeneratedSecrets::open(&config.data_dir, entropy.as_ref())?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data_dir, &SqliteOptions::default())?);
    let store = match extras.around_store {
        Some(around) => around(store),
        None => store,
    };
    for runtime in &extras.runtimes {
        require_free_names(runtime.as_ref())?;
    }
    let builtin: Arc<dyn Runtime> = Arc::new(Builtin::new(llm_settings(&config.llm), Arc::clone(&entropy))?);
    let ids: Arc<dyn Ids> = Arc::new(SystemIds::new(Arc::clone(&clock), Arc::clone(&entropy)));
    let ports = Ports {
        store,
        limiter: Arc::new(LocalRateLimiter::default()),
        bus: Arc::new(LocalBus),
        runtimes: [builtin].into_iter().chain(extras.runtimes).collect(),
        clock,
        ids: Arc::clone(&ids),
        entropy,
        observer,
    };
    let engine = Engine::new(ports, settings(config, secrets))?;
    Ok(Wired {
        engine,
        ids,
        warnings,
    })
}

/// Refuses plugins under the name of the server's own tools, in whatever case.
fn require_free_names(runtime: &dyn Runtime) -> Result<(), model::Error> {
    let plugins = runtime.plugins();
    let mut names = plugins.iter().map(|plugin| plugin.name.as_str());
    match names.find(|name| name.eq_ignore_ascii_case(RESERVED_PLUGIN_NAME)) {
        Some(name) => {
            let message = "is the name of this server's own tools; give the plugin another";
            Err(model::Error::invalid(name, message))
        }
        None => Ok(()),
    }
}

fn settings(config: &Config, secrets: GeneratedSecrets) -> Settings {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let auth = &config.auth;
    let limits = &config.rate_limits;
    Settings {
        access_token_secret: auth.jwt_secret.clone().unwrap_or(secrets.jwt),
        access_token_lifetime: auth.jwt_expires_in,
        refresh_token_secret: auth.refresh_token_secret.clone().unwrap_or(secrets.refresh_token),
        refresh_token_lifetime: auth.refresh_token_expires_in,
        sealing_secret: secrets.sealing,
        admin_api_key: auth.admin_api_key.clone(),
        password_cost: auth.bcrypt_cost,
        password_workers: cores,
        anonymous_quota: Quota {
            requests: limits.max_requests,
            window: limits.window,
        },
        principal_quota: Quota {
            requests: limits.user_max_requests,
            window: limits.window,
        },
        task_retention: config.task_retention,
        worker_concurrency: config.worker_concurrency.unwrap_or_else(|| tasks_at_once(cores)),
    }
}

/// How many tasks are done at once when nobody says: most of them wait for something else than a core.
fn tasks_at_once(cores: usize) -> u16 {
    u16::try_from(cores * 4)
        .unwrap_or(u16::MAX)
        .min(MAX_WORKER_CONCURRENCY)
}

fn llm_settings(llm: &Llm) -> LlmSettings {
    LlmSettings {
        provider: match llm.provider {
            LlmProvider::OpenAi => runtimes::LlmProvider::OpenAi,
            LlmProvider::Anthropic => runtimes::LlmProvider::Anthropic,
        },
        model: llm.model.clone(),
        openai: ProviderSettings {
            api_key: llm.openai_api_key.clone(),
            base_url: llm.openai_base_url.clone(),
        },
        anthropic: ProviderSettings {
            api_key: llm.anthropic_api_key.clone(),
            base_url: llm.anthropic_base_url.clone(),
        },
        ..LlmSettings::default()
    }
}

/// An error with its causes, in one line: here the reader is the operator, who needs them.
fn chain(error: &model::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(known) = cause {
        let text = known.to_string();
        // Some messages quote their cause already.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = known.source();
    }
    line
}
