//! The one place that names concrete adapters: from a configuration to an engine.

mod secrets;
mod database;
mod cache;
pub(crate) mod transfer;

use std::error::Error as _;
use std::sync::Arc;
use std::thread;

use engine::{Engine, Ports, Settings};
use model::{Clock, Entropy, Ids, Observer, PluginName, Quota, Runtime, Store};
use runtimes::{Builtin, LlmSettings, ProviderSettings};

pub use self::cache::{Cache, CacheState};

use self::secrets::{Secrets, hexadecimal};
use crate::config::secret::SecretsError;
use crate::config::{Config, Llm, LlmProvider, MAX_WORKER_CONCURRENCY};
use crate::system::{SystemClock, SystemEntropy, SystemIds};

/// An engine on its adapters, with what its opener should tell.
pub struct Wired {
    /// Ready to work; its owner closes it.
    pub engine: Engine,
    /// Where identifiers come from.
    pub ids: Arc<dyn Ids>,
    /// The kind of store: `sqlite` or `mongodb`.
    pub store_kind: &'static str,
    /// What is shared with other processes beside the store; to be closed after the engine.
    pub cache: Cache,
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
    /// The shared store, for now: a later try can go well.
    #[error("MONGODB_URI: {}", chain(.0))]
    Unreachable(model::Error),
    /// The shared store, for good.
    #[error("MONGODB_URI: {}", chain(.0))]
    Database(model::Error),
    /// The embedded store, a plugin or a setting.
    #[error("{}", chain(.0))]
    Part(#[from] model::Error),
}

/// Opens the store that `config` names and puts the engine together on it, with the built-in plugins and those of
/// `extras`.
///
/// An embedded store belongs to this process until the engine is closed. A shared one is refused when its other
/// processes have other secrets. Needs the timers and the network of an asynchronous runtime.
///
/// # Errors
/// [`WireError`], fit to be shown as it is.
pub async fn open(
    config: &Config,
    observer: Arc<dyn Observer>,
    extras: impl Into<Extras>,
) -> Result<Wired, WireError> {
    let (secrets, warnings) = Secrets::of(config, &SystemEntropy)?;
    let store = database::open(config, Some(&secrets)).await?;
    let parts = Opened {
        config,
        store,
        secrets,
        warnings,
    };
    let wired = parts.assemble(observer, extras.into())?;
    wired.cache.settle().await;
    Ok(wired)
}

/// Opens the store that `config` names for a verb or two of the operator, without what tasks and callers need.
///
/// On a shared store it needs none of the secrets that its servers have.
///
/// # Errors
/// [`WireError`], fit to be shown as it is.
pub async fn open_briefly(config: &Config, observer: Arc<dyn Observer>) -> Result<Wired, WireError> {
    let is_shared = config.shared.mongodb_uri.is_some();
    let (secrets, warnings) = if is_shared {
        (Secrets::momentary(&SystemEntropy), Vec::new())
    } else {
        Secrets::of(config, &SystemEntropy)?
    };
    let store = database::open(config, None).await?;
    let mut config = config.clone();
    // Whom it tells a thing, the store tells as well; a moment later.
    config.shared.redis_url = None;
    let parts = Opened {
        config: &config,
        store,
        secrets,
        warnings,
    };
    parts.assemble(observer, Extras::default())
}

/// A store that is open, and with what an engine on it is set.
struct Opened<'a> {
    config: &'a Config,
    store: Arc<dyn Store>,
    secrets: Secrets,
    warnings: Vec<String>,
}

impl Opened<'_> {
    fn assemble(self, observer: Arc<dyn Observer>, extras: Extras) -> Result<Wired, WireError> {
        let config = self.config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let store = match extras.around_store {
            Some(around) => around(self.store),
            None => self.store,
        };
        for runtime in &extras.runtimes {
            require_free_names(runtime.as_ref())?;
        }
        let builtin: Arc<dyn Runtime> =
            Arc::new(Builtin::new(llm_settings(&config.llm), Arc::clone(&entropy))?);
        let ids: Arc<dyn Ids> = Arc::new(SystemIds::new(Arc::clone(&clock), Arc::clone(&entropy)));
        let cache = Cache::open(config, &installation(config, &self.secrets), &clock)?;
        let store_kind = store.kind();
        let ports = Ports {
            store,
            limiter: cache.limiter(),
            bus: cache.bus(),
            runtimes: [builtin].into_iter().chain(extras.runtimes).collect(),
            clock,
            ids: Arc::clone(&ids),
            entropy,
            observer,
        };
        let engine = Engine::new(ports, settings(config, self.secrets))?;
        Ok(Wired {
            engine,
            ids,
            store_kind,
            cache,
            warnings: self.warnings,
        })
    }
}

/// Names the processes that belong together, for what they keep on a Redis that others may use too: by the name of
/// their database, and by their secrets, since many databases have the same name.
fn installation(config: &Config, secrets: &Secrets) -> String {
    let mark = secrets.mark();
    let (short, _) = mark.split_at(4);
    format!("{}-{}", config.shared.database_name(), hexadecimal(short))
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

fn settings(config: &Config, secrets: Secrets) -> Settings {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let at_once = config.worker_concurrency.unwrap_or_else(|| tasks_at_once(cores));
    let auth = &config.auth;
    let limits = &config.rate_limits;
    Settings {
        access_token_secret: secrets.access_token,
        access_token_lifetime: auth.jwt_expires_in,
        refresh_token_secret: secrets.refresh_token,
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
        worker_concurrency: if config.roles.worker { at_once } else { 0 },
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
