//! Configuration: one table of settings, read once at the start into typed values.
//!
//! The table in [`setting`] drives everything: the flags of `mcp-server serve`, the reading of the environment and of
//! `.env`, `mcp-server config` and `.env.example`. This is the only place that reads the environment.

mod parse;
pub mod setting;
pub mod source;
mod rule;
mod spelling;
pub mod secret;
pub mod example;

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub(crate) use self::parse::lifetime;

use self::setting::{SETTINGS, Setting};
use self::source::{Given, Origin, Sources};
use model::Secret;

/// Everything that can be set, valid by construction.
#[derive(Clone, Debug)]
pub struct Config {
    /// How strict the start is about unsafe settings.
    pub environment: Environment,
    /// Host name or address to listen on.
    pub host: String,
    /// Port to listen on; 0 lets the system choose a free one.
    pub port: u16,
    /// Directory of the embedded store and the generated secrets.
    pub data_dir: PathBuf,
    /// What is shared with other processes, and where.
    pub shared: Shared,
    /// What this process is there for.
    pub roles: Roles,
    /// What is logged, how and where.
    pub logs: Logs,
    /// Tokens, the bootstrap key and the cost of password hashes.
    pub auth: Auth,
    /// Where the `llm` plugin finds its models.
    pub llm: Llm,
    /// What the listener accepts from the network.
    pub edge: Edge,
    /// How many requests a client may make.
    pub rate_limits: RateLimits,
    /// How many tasks are done at once, 0 to 1,024; none means four times the number of cores.
    pub worker_concurrency: Option<u16>,
    /// How long tasks are kept after their end.
    pub task_retention: Duration,
    /// How long a stop waits for requests and tasks in flight.
    pub shutdown_grace: Duration,
}

/// The most tasks that one process does at once.
pub(crate) const MAX_WORKER_CONCURRENCY: u16 = 1_024;

/// How strict the start is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Environment {
    /// Unsafe secrets are answered with a warning.
    Development,
    /// Unsafe secrets stop the start.
    Production,
}

/// What is shared with other processes, and where.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// The address of the MongoDB that is the store; none means the embedded store of `data_dir`.
    pub mongodb_uri: Option<Secret>,
    /// The name of the database there; none means the one in the address, or else `mcp_server`.
    pub db_name: Option<String>,
    /// The address of the Redis on which limits are counted; none means in this process.
    pub redis_url: Option<Secret>,
    /// Goes before the password in `redis_url`.
    pub redis_password: Option<Secret>,
}

impl Shared {
    /// The database that is used when nothing names one.
    const DEFAULT_DATABASE: &str = "mcp_server";

    /// The name of the database, which is that of the installation too: `DB_NAME`, or the one in the address of the
    /// MongoDB, or `mcp_server`.
    #[must_use]
    pub fn database_name(&self) -> &str {
        let of_address = || {
            let (_, address) = self.mongodb_uri.as_ref()?.expose().split_once("://")?;
            let (address, _) = address.split_once('?').unwrap_or((address, ""));
            let (_, hosts) = address.rsplit_once('@').unwrap_or(("", address));
            let (_, name) = hosts.split_once('/')?;
            (!name.is_empty()).then_some(name)
        };
        let given = self.db_name.as_deref();
        given.or_else(of_address).unwrap_or(Self::DEFAULT_DATABASE)
    }
}

/// What a process is there for; at least one of them, and both unless the store is shared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Roles {
    /// Answers requests.
    pub api: bool,
    /// Does tasks, and what has to be done by and by.
    pub worker: bool,
}

/// What is logged, how and where.
#[derive(Clone, Debug)]
pub struct Logs {
    /// Comma separated levels and `target=level` pairs, for example `info,engine=debug`.
    pub level: String,
    /// The chosen format; none means pretty on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// Directory of daily files beside standard output.
    pub dir: Option<PathBuf>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people: one line of text an event.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// Tokens, the bootstrap key and the cost of password hashes.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Signs access tokens; none means the generated one of `data_dir`.
    pub jwt_secret: Option<Secret>,
    /// How long an access token lives.
    pub jwt_expires_in: Duration,
    /// Signs refresh tokens; none means the generated one of `data_dir`.
    pub refresh_token_secret: Option<Secret>,
    /// How long a refresh token lives.
    pub refresh_token_expires_in: Duration,
    /// Key that acts as the built-in admin; never a sample, at least 32 bytes.
    pub admin_api_key: Option<Secret>,
    /// The credential of whoever speaks over standard input and output.
    pub stdio_api_key: Option<Secret>,
    /// Binary logarithm of the rounds of a password hash, 4–16.
    pub bcrypt_cost: u8,
}

/// Where the `llm` plugin finds its models.
#[derive(Clone, Debug)]
pub struct Llm {
    /// The provider of a call that names none.
    pub provider: LlmProvider,
    /// The model of a call that names none; none means the provider's usual one.
    pub model: Option<String>,
    /// Key for the OpenAI wire format.
    pub openai_api_key: Option<Secret>,
    /// Base URL of the OpenAI wire format, without a slash at its end.
    pub openai_base_url: String,
    /// Key for the Anthropic wire format.
    pub anthropic_api_key: Option<Secret>,
    /// Base URL of the Anthropic wire format, without a slash at its end.
    pub anthropic_base_url: String,
}

/// A wire format of language models.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LlmProvider {
    /// OpenAI chat completions.
    OpenAi,
    /// Anthropic messages.
    Anthropic,
}

/// What the listener accepts from the network.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Web origins that browsers may call from.
    pub cors_origins: CorsOrigins,
    /// Host names that this server answers to.
    pub allowed_hosts: AllowedHosts,
    /// Where callers reach this server, when that can't be told from their requests; without a slash at its end.
    pub public_url: Option<String>,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Longest time for one request, from its first byte to the answer.
    pub request_timeout: Duration,
    /// Most connections at one time.
    pub max_connections: usize,
}

/// Web origins that browsers may call from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CorsOrigins {
    /// Every origin, and therefore never with credentials of the browser.
    Any,
    /// Only these, each as `scheme://host[:port]`.
    Listed(Vec<String>),
}

/// Host names that this server answers to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AllowedHosts {
    /// Whatever the client wrote.
    Any,
    /// Only these: lower case, without a port, IPv6 addresses without brackets.
    Listed(Vec<String>),
}

/// How many requests a client may make.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// The window that both limits count in.
    pub window: Duration,
    /// Anonymous requests for each client address.
    pub max_requests: u32,
    /// Authenticated requests for each principal.
    pub user_max_requests: u32,
}

/// A configuration with what its reader should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The typed values.
    pub config: Config,
    /// One line for each thing that works but should be looked at.
    pub warnings: Vec<String>,
    /// Every setting with its value as text and where that came from, in the order of the table.
    pub effective: Vec<Effective>,
}

/// One setting as it counts now.
#[derive(Debug)]
pub struct Effective {
    /// Name of the variable.
    pub name: &'static str,
    /// Its value, a secret masked.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(pub Vec<String>);

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Config {
    /// Reads every setting from `sources`: a flag wins over the environment, that over `.env`, that over the default.
    ///
    /// An empty value counts as none, so that the default applies.
    ///
    /// # Errors
    /// All mistakes at once, each in a line that names the variable, what was read and what is accepted.
    pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
        let mut config = Self::blank();
        let mut mistakes = sources.mistakes().to_vec();
        let mut warnings = spelling::warnings(sources);
        let mut effective = Vec::with_capacity(SETTINGS.len());
        for setting in SETTINGS {
            match sources.find(setting) {
                Ok(given) => {
                    mistakes.extend(config.apply(setting, given.as_ref()));
                    effective.push(Effective::of(setting, given.as_ref()));
                }
                Err(disagreement) => mistakes.push(disagreement),
            }
        }
        rule::check(&mut config, sources, &mut mistakes, &mut warnings);
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        config.complete();
        for row in effective
            .iter_mut()
            .filter(|row| row.name == "ALLOWED_HOSTS" && row.origin == Origin::Default)
        {
            row.value = config.edge.allowed_hosts.to_string();
        }
        Ok(Loaded {
            config,
            warnings,
            effective,
        })
    }

    /// Stores a given value, or the default; answers the line to show when it was not understood.
    fn apply(&mut self, setting: &Setting, given: Option<&Given>) -> Option<String> {
        let text = given.map(|given| given.text.as_str()).or(setting.default)?;
        if setting.store(self, text) {
            return None;
        }
        let origin = given.map_or(Origin::Default, |given| given.origin);
        Some(format!(
            "{}: read {} from {origin}; accepted: {}",
            setting.name,
            setting.quote(text),
            setting.accepts()
        ))
    }

    /// Fills in the defaults that follow from other settings.
    fn complete(&mut self) {
        if self.edge.allowed_hosts == AllowedHosts::Listed(Vec::new()) {
            self.edge.allowed_hosts = default_hosts(&self.host);
        }
    }

    /// The state before the defaults of the table are stored.
    fn blank() -> Self {
        Self {
            environment: Environment::Development,
            host: String::new(),
            port: 0,
            data_dir: PathBuf::new(),
            shared: Shared::default(),
            roles: Roles {
                api: true,
                worker: true,
            },
            logs: Logs {
                level: String::new(),
                format: None,
                dir: None,
            },
            auth: Auth {
                jwt_secret: None,
                jwt_expires_in: Duration::ZERO,
                refresh_token_secret: None,
                refresh_token_expires_in: Duration::ZERO,
                admin_api_key: None,
                stdio_api_key: None,
                bcrypt_cost: 0,
            },
            llm: Llm {
                provider: LlmProvider::OpenAi,
                model: None,
                openai_api_key: None,
                openai_base_url: String::new(),
                anthropic_api_key: None,
                anthropic_base_url: String::new(),
            },
            edge: Edge {
                cors_origins: CorsOrigins::Any,
                allowed_hosts: AllowedHosts::Listed(Vec::new()),
                public_url: None,
                trusted_proxies: Vec::new(),
                max_body_bytes: 0,
                request_timeout: Duration::ZERO,
                max_connections: 0,
            },
            rate_limits: RateLimits {
                window: Duration::ZERO,
                max_requests: 0,
                user_max_requests: 0,
            },
            worker_concurrency: None,
            task_retention: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
        }
    }
}

impl Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.api, self.worker) {
            (true, true) => "api,worker",
            (true, false) => "api",
            (false, true) => "worker",
            (false, false) => "none",
        })
    }
}

impl AllowedHosts {
    /// Whether `host` (without its port) is a name that this server answers to.
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(hosts) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(bare))
            }
        }
    }
}

impl Display for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Listed(hosts) => f.write_str(&hosts.join(",")),
        }
    }
}

impl Effective {
    fn of(setting: &Setting, given: Option<&Given>) -> Self {
        let value = match (given, setting.default) {
            (Some(given), _) => setting.show(&given.text),
            (None, Some(default)) => default.to_owned(),
            (None, None) => format!("({})", setting.otherwise),
        };
        Self {
            name: setting.name,
            value,
            origin: given.map_or(Origin::Default, |given| given.origin),
        }
    }
}

/// The loopback names when only this machine can connect, any name otherwise.
///
/// A browser that was lured to a foreign name which resolves to this machine (DNS rebinding) sends that name.
fn default_hosts(host: &str) -> AllowedHosts {
    if !parse::is_loopback(host) {
        return AllowedHosts::Any;
    }
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !hosts.iter().any(|known| known == host) {
        hosts.push(host.to_ascii_lowercase());
    }
    AllowedHosts::Listed(hosts)
}
