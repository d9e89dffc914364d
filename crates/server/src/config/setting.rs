//! The table of settings, and what one row of it can do.

use std::path::PathBuf;
use std::time::Duration;

use model::Secret;

use super::{Config, Environment, LlmProvider, LogFormat, MAX_WORKER_CONCURRENCY, parse};

/// What is shown instead of a secret.
const MASK: &str = "********";

/// Longest part of a refused value that is shown, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// One setting: a variable, its flag, its default and its meaning.
#[derive(Debug)]
pub struct Setting {
    /// Name of the variable.
    pub name: &'static str,
    /// Another name of the same variable.
    pub alias: Option<&'static str>,
    /// The default as one would write it.
    pub default: Option<&'static str>,
    /// What holds when there is neither a value nor a default.
    pub otherwise: &'static str,
    /// One sentence for `--help` and `.env.example`.
    pub meaning: &'static str,
    /// Whether the value must never be shown.
    pub is_secret: bool,
    kind: Kind,
}

/// How a text becomes a typed value.
#[derive(Debug)]
enum Kind {
    Whole {
        min: u64,
        max: u64,
        unit: &'static str,
        put: fn(&mut Config, u64),
    },
    Lifetime {
        min: Duration,
        max: Duration,
        accepts: &'static str,
        put: fn(&mut Config, Duration),
    },
    Word {
        words: &'static [&'static str],
        put: fn(&mut Config, &str),
    },
    Text {
        accepts: &'static str,
        put: fn(&mut Config, &str) -> Option<()>,
    },
}

impl Setting {
    /// The flag without its dashes: `RATE_LIMIT_WINDOW_MS` is `rate-limit-window-ms`.
    #[must_use]
    pub fn flag(&self) -> String {
        flag_of(self.name)
    }

    /// The flag that belongs to the other name.
    #[must_use]
    pub fn flag_alias(&self) -> Option<String> {
        self.alias.map(flag_of)
    }

    /// What a value may be, in words.
    #[must_use]
    pub fn accepts(&self) -> String {
        match &self.kind {
            Kind::Whole { min, max, unit, .. } => format!("a whole number{unit} from {min} to {max}"),
            Kind::Word { words, .. } => match words {
                [first @ .., last] => format!("{} or {last}", first.join(", ")),
                [] => String::new(),
            },
            Kind::Lifetime { accepts, .. } | Kind::Text { accepts, .. } => (*accepts).to_owned(),
        }
    }

    /// Puts a value into its place; false, and nothing changed, when the text is not acceptable.
    pub(super) fn store(&self, config: &mut Config, text: &str) -> bool {
        match &self.kind {
            Kind::Whole { min, max, put, .. } => parse::whole(text)
                .filter(|value| (*min..=*max).contains(value))
                .map(|value| put(config, value))
                .is_some(),
            Kind::Lifetime { min, max, put, .. } => parse::lifetime(text)
                .filter(|value| (*min..=*max).contains(value))
                .map(|value| put(config, value))
                .is_some(),
            Kind::Word { words, put } => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
                word.map(|word| put(config, word)).is_some()
            }
            Kind::Text { put, .. } => put(config, text).is_some(),
        }
    }

    /// The value for people to see: masked when it is a secret.
    pub(super) fn show(&self, text: &str) -> String {
        if self.is_secret {
            MASK.to_owned()
        } else {
            without_credentials(text)
        }
    }

    /// A refused value for people to see: in quotes, masked when it is a secret, escaped and cut when it is long.
    pub(super) fn quote(&self, text: &str) -> String {
        if self.is_secret {
            return format!("\"{MASK}\" ({} bytes)", text.len());
        }
        let shown = without_credentials(text);
        match shown.char_indices().nth(MAX_QUOTED_CHARS) {
            None => format!("{shown:?}"),
            Some((end, _)) => format!(
                "{:?}… ({} bytes)",
                shown.get(..end).unwrap_or_default(),
                text.len()
            ),
        }
    }
}

fn flag_of(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Masks `user:password@` of a URL that was put where none with credentials belongs.
fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let (before, after) = (
                text.get(..scheme).unwrap_or_default(),
                text.get(at..).unwrap_or_default(),
            );
            format!("{before}://{MASK}{after}")
        }
        _ => text.to_owned(),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const SECRET: Setting = Setting {
    is_secret: true,
    ..TEXT
};
const TEXT: Setting = Setting {
    name: "",
    alias: None,
    default: None,
    otherwise: "none",
    meaning: "",
    is_secret: false,
    kind: Kind::Text {
        accepts: "",
        put: |_, _| None,
    },
};

/// Every setting, in the order of `.env.example`.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "NODE_ENV",
        alias: Some("APP_ENV"),
        default: Some("development"),
        meaning: "How strict the start is: production refuses missing, short and sample secrets; test is the same as development.",
        kind: Kind::Word {
            words: &["development", "test", "production"],
            put: |config, word| {
                config.environment = if word == "production" {
                    Environment::Production
                } else {
                    Environment::Development
                };
            },
        },
        ..TEXT
    },
    Setting {
        name: "HOST",
        default: Some("127.0.0.1"),
        meaning: "Address or host name to listen on; 0.0.0.0 or :: lets other machines connect.",
        kind: Kind::Text {
            accepts: "an IP address or a host name",
            put: |config, text| parse::host(text).map(|host| config.host = host),
        },
        ..TEXT
    },
    Setting {
        name: "PORT",
        default: Some("3000"),
        meaning: "Port to listen on; 0 takes a free one, which the server names once it listens.",
        kind: Kind::Whole {
            min: 0,
            max: 65_535,
            unit: "",
            put: |config, value| config.port = u16::try_from(value).unwrap_or_default(),
        },
        ..TEXT
    },
    Setting {
        name: "DATA_DIR",
        default: Some("./data"),
        meaning: "Directory of the embedded store and of the generated secrets; made when it is absent.",
        kind: Kind::Text {
            accepts: "a path",
            put: |config, text| path(text).map(|dir| config.data_dir = dir),
        },
        ..TEXT
    },
    Setting {
        name: "MONGODB_URI",
        otherwise: "none: the embedded store in DATA_DIR",
        meaning: "The MongoDB that any number of processes share as their store.",
        kind: Kind::Text {
            accepts: "an address such as mongodb://user:password@host:27017/?replicaSet=rs0, or mongodb+srv://cluster.example",
            put: |config, text| {
                parse::address_of(text, &["mongodb", "mongodb+srv"])
                    .map(|uri| config.shared.mongodb_uri = Some(uri))
            },
        },
        ..SECRET
    },
    Setting {
        name: "DB_NAME",
        otherwise: "the one in MONGODB_URI, else mcp_server",
        meaning: "Name of the database on that MongoDB; what is kept on a Redis is marked with it, so that several installations can share one.",
        kind: Kind::Text {
            accepts: "1 to 63 letters, digits, _ and -",
            put: |config, text| parse::database_name(text).map(|name| config.shared.db_name = Some(name)),
        },
        ..TEXT
    },
    Setting {
        name: "REDIS_URL",
        otherwise: "none: each process by itself",
        meaning: "The Redis on which processes share request limits, and through which they hear of each other at once.",
        kind: Kind::Text {
            accepts: "an address such as redis://host:6379/0, rediss://... for TLS, or redis-sentinel://host1,host2/0#name",
            put: |config, text| {
                parse::address_of(text, &["redis", "rediss", "redis-sentinel", "rediss-sentinel"])
                    .map(|url| config.shared.redis_url = Some(url))
            },
        },
        ..SECRET
    },
    Setting {
        name: "REDIS_PASSWORD",
        meaning: "The password of that Redis; goes before one in REDIS_URL.",
        kind: Kind::Text {
            accepts: "a text of at most 512 bytes without control characters",
            put: |config, text| {
                let is_plain = text.len() <= 512 && !text.chars().any(char::is_control);
                is_plain.then(|| config.shared.redis_password = Some(Secret::new(text)))
            },
        },
        ..SECRET
    },
    Setting {
        name: "LOG_LEVEL",
        default: Some("info"),
        meaning: "What is logged: a level, or levels for parts of the program such as info,engine=debug.",
        kind: Kind::Text {
            accepts: "off, error, warn, info, debug, trace, and pairs such as engine=debug, separated by commas",
            put: |config, text| parse::log_level(text).map(|level| config.logs.level = level),
        },
        ..TEXT
    },
    Setting {
        name: "LOG_FORMAT",
        otherwise: "pretty on a terminal, else json",
        meaning: "How a log line looks: pretty for people, json for machines.",
        kind: Kind::Word {
            words: &["pretty", "json"],
            put: |config, word| {
                config.logs.format = Some(if word == "json" {
                    LogFormat::Json
                } else {
                    LogFormat::Pretty
                });
            },
        },
        ..TEXT
    },
    Setting {
        name: "LOG_DIR",
        meaning: "Directory for log files beside standard output: one a day, the last 14 are kept.",
        kind: Kind::Text {
            accepts: "a path",
            put: |config, text| path(text).map(|dir| config.logs.dir = Some(dir)),
        },
        ..TEXT
    },
    Setting {
        name: "JWT_SECRET",
        otherwise: "generated once into DATA_DIR",
        meaning: "Signs access tokens; production wants it set, with at least 32 bytes.",
        kind: Kind::Text {
            accepts: "a text of at least 32 random bytes",
            put: |config, text| {
                config.auth.jwt_secret = Some(Secret::new(text));
                Some(())
            },
        },
        ..SECRET
    },
    Setting {
        name: "JWT_EXPIRES_IN",
        default: Some("7d"),
        meaning: "How long an access token lives: 15m, 12h, 7d, or a plain number of milliseconds.",
        kind: Kind::Lifetime {
            min: SECOND,
            max: DAY.saturating_mul(366),
            accepts: "a time from 1s to 366d: 30s, 15m, 12h, 7d, 2w, or a plain number of milliseconds",
            put: |config, value| config.auth.jwt_expires_in = value,
        },
        ..TEXT
    },
    Setting {
        name: "REFRESH_TOKEN_SECRET",
        otherwise: "generated once into DATA_DIR",
        meaning: "Signs refresh tokens; production wants it set, with at least 32 bytes, other than JWT_SECRET.",
        kind: Kind::Text {
            accepts: "a text of at least 32 random bytes",
            put: |config, text| {
                config.auth.refresh_token_secret = Some(Secret::new(text));
                Some(())
            },
        },
        ..SECRET
    },
    Setting {
        name: "REFRESH_TOKEN_EXPIRES_IN",
        default: Some("30d"),
        meaning: "How long a refresh token lives.",
        kind: Kind::Lifetime {
            min: SECOND,
            max: DAY.saturating_mul(3_660),
            accepts: "a time from 1s to 3660d: 12h, 30d, 8w, or a plain number of milliseconds",
            put: |config, value| config.auth.refresh_token_expires_in = value,
        },
        ..TEXT
    },
    Setting {
        name: "ADMIN_API_KEY",
        meaning: "A key that acts as the built-in admin, to bootstrap and automate; at least 32 bytes, never a sample.",
        kind: Kind::Text {
            accepts: "32 to 512 visible ASCII characters without spaces",
            put: |config, text| credential(text).map(|key| config.auth.admin_api_key = Some(key)),
        },
        ..SECRET
    },
    Setting {
        name: "MCP_SERVER_API_KEY",
        meaning: "The key of the caller of `mcp-server stdio`; the server itself doesn't read it.",
        kind: Kind::Text {
            accepts: "a key of visible ASCII characters without spaces",
            put: |config, text| credential(text).map(|key| config.auth.stdio_api_key = Some(key)),
        },
        ..SECRET
    },
    Setting {
        name: "BCRYPT_COST",
        default: Some("10"),
        meaning: "Cost of a password hash: one more doubles its time.",
        kind: Kind::Whole {
            min: 4,
            max: 16,
            unit: "",
            put: |config, value| config.auth.bcrypt_cost = u8::try_from(value).unwrap_or_default(),
        },
        ..TEXT
    },
    Setting {
        name: "LLM_PROVIDER",
        default: Some("openai"),
        meaning: "The provider of the llm plugin when a call names none.",
        kind: Kind::Word {
            words: &["openai", "anthropic"],
            put: |config, word| {
                config.llm.provider = if word == "anthropic" {
                    LlmProvider::Anthropic
                } else {
                    LlmProvider::OpenAi
                };
            },
        },
        ..TEXT
    },
    Setting {
        name: "LLM_MODEL",
        otherwise: "the usual one of the provider",
        meaning: "The model of the llm plugin when a call names none.",
        kind: Kind::Text {
            accepts: "a model name of at most 200 visible characters",
            put: |config, text| {
                let is_name = text.len() <= 200 && !text.chars().any(char::is_control);
                is_name.then(|| config.llm.model = Some(text.to_owned()))
            },
        },
        ..TEXT
    },
    Setting {
        name: "OPENAI_API_KEY",
        meaning: "Key of the llm plugin for OpenAI, or a server that speaks its format.",
        kind: Kind::Text {
            accepts: "a key of visible ASCII characters without spaces",
            put: |config, text| credential(text).map(|key| config.llm.openai_api_key = Some(key)),
        },
        ..SECRET
    },
    Setting {
        name: "OPENAI_BASE_URL",
        default: Some("https://api.openai.com/v1"),
        meaning: "Where the OpenAI format is spoken.",
        kind: Kind::Text {
            accepts: "an http or https URL without credentials, query and fragment",
            put: |config, text| parse::base_url(text).map(|url| config.llm.openai_base_url = url),
        },
        ..TEXT
    },
    Setting {
        name: "ANTHROPIC_API_KEY",
        meaning: "Key of the llm plugin for Anthropic, or a server that speaks its format.",
        kind: Kind::Text {
            accepts: "a key of visible ASCII characters without spaces",
            put: |config, text| credential(text).map(|key| config.llm.anthropic_api_key = Some(key)),
        },
        ..SECRET
    },
    Setting {
        name: "ANTHROPIC_BASE_URL",
        default: Some("https://api.anthropic.com"),
        meaning: "Where the Anthropic format is spoken.",
        kind: Kind::Text {
            accepts: "an http or https URL without credentials, query and fragment",
            put: |config, text| parse::base_url(text).map(|url| config.llm.anthropic_base_url = url),
        },
        ..TEXT
    },
    Setting {
        name: "CORS_ORIGIN",
        default: Some("*"),
        meaning: "Web origins whose pages may call the API, separated by commas; * means any, without browser credentials; /mcp then takes only those of this server's own host names.",
        kind: Kind::Text {
            accepts: "*, or origins such as https://app.example.com separated by commas",
            put: |config, text| parse::origins(text).map(|origins| config.edge.cors_origins = origins),
        },
        ..TEXT
    },
    Setting {
        name: "ALLOWED_HOSTS",
        otherwise: "localhost, 127.0.0.1, ::1 and HOST when HOST is a loopback address, any otherwise",
        meaning: "Host names that this server answers to, separated by commas; * means any.",
        kind: Kind::Text {
            accepts: "*, or host names and IP addresses without ports, separated by commas",
            put: |config, text| parse::hosts(text).map(|hosts| config.edge.allowed_hosts = hosts),
        },
        ..TEXT
    },
    Setting {
        name: "PUBLIC_URL",
        otherwise: "taken from each request",
        meaning: "Where callers reach this server, for what tells them how to sign in: https://tools.example.com.",
        kind: Kind::Text {
            accepts: "an http or https URL without credentials, query and fragment",
            put: |config, text| parse::base_url(text).map(|url| config.edge.public_url = Some(url)),
        },
        ..TEXT
    },
    Setting {
        name: "TRUSTED_PROXIES",
        meaning: "Networks whose Forwarded, X-Forwarded-For and X-Forwarded-Proto are believed, separated by commas.",
        kind: Kind::Text {
            accepts: "networks such as 10.0.0.0/8 and addresses, separated by commas",
            put: |config, text| parse::networks(text).map(|networks| config.edge.trusted_proxies = networks),
        },
        ..TEXT
    },
    Setting {
        name: "MAX_CONNECTIONS",
        default: Some("10000"),
        meaning: "Most connections at one time; further ones wait.",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000,
            unit: "",
            put: |config, value| config.edge.max_connections = usize::try_from(value).unwrap_or(usize::MAX),
        },
        ..TEXT
    },
    Setting {
        name: "MAX_BODY_BYTES",
        default: Some("1048576"),
        meaning: "Largest request body.",
        kind: Kind::Whole {
            min: 1_024,
            max: 1 << 30,
            unit: " of bytes",
            put: |config, value| config.edge.max_body_bytes = usize::try_from(value).unwrap_or(usize::MAX),
        },
        ..TEXT
    },
    Setting {
        name: "REQUEST_TIMEOUT_MS",
        default: Some("30000"),
        meaning: "Longest time for one request.",
        kind: Kind::Whole {
            min: 100,
            max: 3_600_000,
            unit: " of milliseconds",
            put: |config, value| config.edge.request_timeout = Duration::from_millis(value),
        },
        ..TEXT
    },
    Setting {
        name: "RATE_LIMIT_WINDOW_MS",
        default: Some("900000"),
        meaning: "The window that the request limits count in.",
        kind: Kind::Whole {
            min: 100,
            max: 86_400_000,
            unit: " of milliseconds",
            put: |config, value| config.rate_limits.window = Duration::from_millis(value),
        },
        ..TEXT
    },
    Setting {
        name: "RATE_LIMIT_MAX_REQUESTS",
        default: Some("100"),
        meaning: "Anonymous requests for each client address in a window.",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000_000,
            unit: "",
            put: |config, value| config.rate_limits.max_requests = u32::try_from(value).unwrap_or(u32::MAX),
        },
        ..TEXT
    },
    Setting {
        name: "RATE_LIMIT_USER_MAX_REQUESTS",
        default: Some("100000"),
        meaning: "Authenticated requests for each account in a window; an API key's own rateLimit replaces it.",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000_000,
            unit: "",
            put: |config, value| {
                config.rate_limits.user_max_requests = u32::try_from(value).unwrap_or(u32::MAX);
            },
        },
        ..TEXT
    },
    Setting {
        name: "ROLES",
        default: Some("api,worker"),
        meaning: "What this process is there for: api answers requests, worker does tasks; one of them alone needs MONGODB_URI.",
        kind: Kind::Text {
            accepts: "api, worker, or both separated by a comma",
            put: |config, text| parse::roles(text).map(|roles| config.roles = roles),
        },
        ..TEXT
    },
    Setting {
        name: "WORKER_CONCURRENCY",
        otherwise: "four times the number of cores",
        meaning: "How many tasks are done at once; with 0, this process does none.",
        kind: Kind::Whole {
            min: 0,
            max: MAX_WORKER_CONCURRENCY as u64,
            unit: "",
            put: |config, value| config.worker_concurrency = u16::try_from(value).ok(),
        },
        ..TEXT
    },
    Setting {
        name: "TASK_RETENTION",
        default: Some("30d"),
        meaning: "How long a task is kept after it was completed, failed or cancelled.",
        kind: Kind::Lifetime {
            min: SECOND.saturating_mul(60),
            max: DAY.saturating_mul(36_500),
            accepts: "a time from 1m to 36500d: 12h, 30d, 8w, or a plain number of milliseconds",
            put: |config, value| config.task_retention = value,
        },
        ..TEXT
    },
    Setting {
        name: "SHUTDOWN_GRACE_MS",
        default: Some("25000"),
        meaning: "How long a stop waits for requests and tasks in flight.",
        kind: Kind::Whole {
            min: 0,
            max: 600_000,
            unit: " of milliseconds",
            put: |config, value| config.shutdown_grace = Duration::from_millis(value),
        },
        ..TEXT
    },
];

fn path(text: &str) -> Option<PathBuf> {
    (!text.chars().any(char::is_control)).then(|| PathBuf::from(text))
}

/// What fits into one HTTP header; how strong it must be is for the rules to say.
fn credential(text: &str) -> Option<Secret> {
    let is_plain = text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| Secret::new(text))
}
