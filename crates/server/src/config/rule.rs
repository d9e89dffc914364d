//! Rules that look at more than one value: what production refuses, and what development only warns of.

use model::Secret;

use super::setting::{SETTINGS, Setting};
use super::source::{Origin, Sources};
use super::{Config, CorsOrigins, Environment};

/// Whether this program was built with what speaks to MongoDB.
const HAS_MONGODB: bool = cfg!(feature = "mongodb");

/// Whether this program was built with what speaks to Redis.
const HAS_REDIS: bool = cfg!(feature = "redis");

/// Fewest bytes of a secret that signs or that opens everything: 256 bits, the size of an HMAC-SHA-256 key (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;

/// What samples contain, in lower case.
const SAMPLE_MARKS: [&str; 2] = ["change-in-production", "your-"];

const SIGNING_SECRETS: [&str; 2] = ["JWT_SECRET", "REFRESH_TOKEN_SECRET"];

const RANDOM_HEX: &str = "at least 32 random bytes, for example the output of: openssl rand -hex 32";

/// Checks what is shared and the secrets, and drops an admin key that must never be accepted.
pub(super) fn check(
    config: &mut Config,
    sources: &Sources,
    mistakes: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    sharing(config, sources, mistakes, warnings);
    let is_production = config.environment == Environment::Production;
    for name in SIGNING_SECRETS {
        if let Some(line) = signing_secret(config, sources, name) {
            // A secret that others may know is worse than one that only this machine knows.
            *signing_secret_of(config, name) = None;
            if is_production {
                mistakes.push(line);
            } else {
                warnings.push(format!("{line} (the generated one is used instead)"));
            }
        }
    }
    warnings.extend(secrets_of_one_process(config));
    let before = mistakes.len();
    mistakes.extend(same_secrets(config));
    for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"] {
        mistakes.extend(model_key(config, sources, name));
    }
    if !is_production {
        warnings.extend(
            mistakes
                .drain(before..)
                .map(|line| format!("{line} (production refuses this)")),
        );
    }
    if let Some(line) = admin_key(config, sources) {
        config.auth.admin_api_key = None;
        if is_production {
            mistakes.push(line);
        } else {
            warnings.push(format!("{line} (the key is ignored)"));
        }
    }
    if is_production && config.edge.cors_origins == CorsOrigins::Any {
        warnings.push("CORS_ORIGIN is *: pages of every web site may call this server, though without credentials of the browser".to_owned());
    }
}

/// Checks that what is shared can be, and that a part of the work is left to others only where there are any.
fn sharing(config: &Config, sources: &Sources, mistakes: &mut Vec<String>, warnings: &mut Vec<String>) {
    let shared = &config.shared;
    let (has_database, has_cache) = (shared.mongodb_uri.is_some(), shared.redis_url.is_some());
    let builds = [
        ("MONGODB_URI", has_database && !HAS_MONGODB, "MongoDB", "mongodb"),
        ("REDIS_URL", has_cache && !HAS_REDIS, "Redis", "redis"),
    ];
    for (name, _, what, feature) in builds.iter().filter(|(_, is_missing, ..)| *is_missing) {
        mistakes.push(format!(
            "{name}: set in {}, and this build has no {what}; accepted: nothing, or a build with the feature {feature}",
            origin(sources, name)
        ));
    }
    let does_all = config.roles.api && config.roles.worker;
    if !has_database && !does_all {
        mistakes.push(format!(
            "ROLES: read {:?} from {}; accepted without MONGODB_URI: api,worker, since the embedded store belongs to one \
             process",
            config.roles.to_string(),
            origin(sources, "ROLES")
        ));
    }
    let idle = [
        (
            "DB_NAME",
            "MONGODB_URI or REDIS_URL",
            shared.db_name.is_some() && !has_database && !has_cache,
        ),
        (
            "REDIS_PASSWORD",
            "REDIS_URL",
            shared.redis_password.is_some() && !has_cache,
        ),
    ];
    for (name, needed, _) in idle.iter().filter(|(.., is_idle)| *is_idle) {
        warnings.push(format!("{name} has no effect without {needed}"));
    }
    if has_database && !has_cache {
        warnings.push(
            "REDIS_URL is not set: with several processes, each counts request limits by itself, and clients of MCP's \
             earlier revisions must always reach the same one"
                .to_owned(),
        );
    }
}

/// Warns of secrets that other processes on the same database can't know.
fn secrets_of_one_process(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let lacking: Vec<&str> = [
        ("JWT_SECRET", &auth.jwt_secret),
        ("REFRESH_TOKEN_SECRET", &auth.refresh_token_secret),
    ]
    .into_iter()
    .filter(|(_, secret)| secret.is_none())
    .map(|(name, _)| name)
    .collect();
    let is_shared = config.shared.mongodb_uri.is_some() && config.environment != Environment::Production;
    (is_shared && !lacking.is_empty()).then(|| {
        format!(
            "{}: not set, so what was generated into DATA_DIR is used; every process on the same MongoDB needs the same",
            lacking.join(" and ")
        )
    })
}

fn signing_secret(config: &mut Config, sources: &Sources, name: &'static str) -> Option<String> {
    let is_production = config.environment == Environment::Production;
    match signing_secret_of(config, name) {
        Some(secret) => weakness(secret).map(|weakness| line(sources, name, weakness)),
        None => is_production.then(|| format!("{name}: not set; accepted in production: {RANDOM_HEX}")),
    }
}

fn signing_secret_of<'a>(config: &'a mut Config, name: &str) -> &'a mut Option<Secret> {
    if name == "JWT_SECRET" {
        &mut config.auth.jwt_secret
    } else {
        &mut config.auth.refresh_token_secret
    }
}

fn same_secrets(config: &Config) -> Option<String> {
    let jwt = config.auth.jwt_secret.as_ref()?;
    let refresh = config.auth.refresh_token_secret.as_ref()?;
    (jwt == refresh)
        .then(|| "REFRESH_TOKEN_SECRET: the same as JWT_SECRET; accepted: a secret of its own".to_owned())
}

fn model_key(config: &Config, sources: &Sources, name: &'static str) -> Option<String> {
    let key = if name == "OPENAI_API_KEY" {
        &config.llm.openai_api_key
    } else {
        &config.llm.anthropic_api_key
    };
    let is_sample = key.as_ref().is_some_and(|key| is_sample(key.expose()));
    is_sample.then(|| {
        format!(
            "{}: a sample from {}; accepted: a real key, or none",
            name,
            origin(sources, name)
        )
    })
}

fn admin_key(config: &Config, sources: &Sources) -> Option<String> {
    let name = "ADMIN_API_KEY";
    if let Some(key) = &config.auth.admin_api_key {
        return weakness(key).map(|weakness| line(sources, name, weakness));
    }
    let is_production = config.environment == Environment::Production;
    let emptied = setting(name)
        .and_then(|setting| sources.emptied(setting))
        .filter(|_| is_production)?;
    Some(format!(
        "{name}: empty in {emptied}; accepted in production: not set at all, or {RANDOM_HEX}"
    ))
}

fn line(sources: &Sources, name: &str, weakness: &str) -> String {
    format!(
        "{name}: {weakness} from {}; accepted: {RANDOM_HEX}",
        origin(sources, name)
    )
}

fn weakness(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    if is_sample(text) {
        Some("a sample (it contains CHANGE-IN-PRODUCTION or your-)")
    } else if text.len() < MIN_SECRET_BYTES {
        Some("shorter than 32 bytes")
    } else if text
        .as_bytes()
        .first()
        .is_some_and(|first| text.bytes().all(|byte| byte == *first))
    {
        Some("one character repeated")
    } else {
        None
    }
}

fn is_sample(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SAMPLE_MARKS.iter().any(|mark| lower.contains(mark))
}

fn origin(sources: &Sources, name: &str) -> Origin {
    let given = setting(name).and_then(|setting| sources.find(setting).ok().flatten());
    given.map_or(Origin::Default, |given| given.origin)
}

fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}
