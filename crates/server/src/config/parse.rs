//! Texts into values: each function answers none for what it does not understand.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use model::Secret;
use url::Url;

use super::{AllowedHosts, CorsOrigins, Roles};

/// Most entries of a comma separated list.
const MAX_ENTRIES: usize = 256;

/// Understands `900000` (milliseconds), `500ms`, `30s`, `15m`, `12h`, `7d` and `2w`.
pub(crate) fn lifetime(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms: u64 = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// Understands decimal digits only: no sign, no point, no separators.
pub(super) fn whole(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Understands an IP address, with or without brackets, or a host name; answers it in lower case and without brackets.
pub(super) fn host(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Some(bare.to_ascii_lowercase());
    }
    let is_name = !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(is_label)
        // What looks like an address but is none (`256.0.0.1`) must not be sent to a name server.
        && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_name.then(|| text.to_ascii_lowercase())
}

/// Whether only this machine can connect to `host`.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Understands `*`, or host names and addresses separated by commas.
pub(super) fn hosts(text: &str) -> Option<AllowedHosts> {
    if text.trim() == "*" {
        return Some(AllowedHosts::Any);
    }
    list(text, host).map(AllowedHosts::Listed)
}

/// Understands `*`, or origins (`https://app.example.com`) separated by commas.
pub(super) fn origins(text: &str) -> Option<CorsOrigins> {
    if text.trim() == "*" {
        return Some(CorsOrigins::Any);
    }
    list(text, origin).map(CorsOrigins::Listed)
}

/// Understands networks (`10.0.0.0/8`) and single addresses separated by commas.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    list(text, |entry| {
        entry
            .parse::<IpNet>()
            .ok()
            .or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from))
    })
}

/// Understands an `http` or `https` URL without credentials, query and fragment; answers it without a slash at its end.
pub(super) fn base_url(text: &str) -> Option<String> {
    let url = web_url(text)?;
    let is_plain = url.query().is_none() && url.fragment().is_none();
    is_plain.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Understands an address with one of `schemes` and something after it; what exactly, its library says.
pub(super) fn address_of(text: &str, schemes: &[&str]) -> Option<Secret> {
    let (scheme, rest) = text.split_once("://")?;
    let is_plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let is_known = schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let is_address = is_known && is_plain && !rest.is_empty();
    is_address.then(|| Secret::new(format!("{}://{rest}", scheme.to_ascii_lowercase())))
}

/// Understands the name of a database: a part of what the server itself accepts, without what differs by its system.
pub(super) fn database_name(text: &str) -> Option<String> {
    let is_name = (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_name.then(|| text.to_owned())
}

/// Understands `api` and `worker` separated by a comma.
pub(super) fn roles(text: &str) -> Option<Roles> {
    let named = list(text, |entry| {
        ["api", "worker"]
            .into_iter()
            .find(|role| role.eq_ignore_ascii_case(entry))
    })?;
    Some(Roles {
        api: named.contains(&"api"),
        worker: named.contains(&"worker"),
    })
}

/// Understands levels (`info`) and pairs (`engine=debug`) separated by commas.
pub(super) fn log_level(text: &str) -> Option<String> {
    let entries = list(text, |entry| {
        let understood = match entry.split_once('=') {
            None => is_level(entry),
            Some((target, level)) => is_target(target) && is_level(level),
        };
        understood.then(|| entry.to_owned())
    })?;
    Some(entries.join(","))
}

fn list<T>(text: &str, entry: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let entries: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    if entries.is_empty() || entries.len() > MAX_ENTRIES {
        return None;
    }
    entries.into_iter().map(entry).collect()
}

fn origin(text: &str) -> Option<String> {
    let url = web_url(text)?;
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    is_bare.then(|| url.origin().ascii_serialization())
}

fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (is_web && is_anonymous).then_some(url)
}

fn is_label(label: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    label.len() <= 63
        && is_edge(label.as_bytes().first())
        && is_edge(label.as_bytes().last())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_level(word: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"]
        .iter()
        .any(|level| word.eq_ignore_ascii_case(level))
}

fn is_target(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-'))
}
