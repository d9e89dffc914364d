//! What a server says once it listens.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, LogFormat};
use crate::mcp;
use crate::wire::Wired;

/// Says where the server listens, what it stands on, where to go next and, while there is no admin, how to make one.
///
/// For people a few lines of text, for machines two log lines.
pub(super) async fn announce(config: &Config, address: SocketAddr, wired: &Wired) {
    let url = format!("http://{}", reachable(address));
    let setup = setup_link(config, &url, wired).await;
    let is_terminal = io::stdout().is_terminal();
    if config
        .logs
        .format
        .map_or(is_terminal, |format| format == LogFormat::Pretty)
    {
        greet(config, &url, address, setup.as_deref());
        if config.logs.dir.is_none() {
            return;
        }
    } else if let Some(link) = &setup {
        // The link is a secret for an hour; without it nobody could make the first admin.
        tracing::warn!(
            link,
            "there is no admin yet: make one with this link, once and within an hour"
        );
    }
    let of_api = |path: &str| config.roles.api.then(|| format!("{url}{path}"));
    let (docs, mcp) = (of_api("/docs"), of_api(mcp::PATH));
    let (store, cache, roles) = (wired.store_kind, wired.cache.state().kind, config.roles);
    let database = is_on_mongodb(config).then(|| config.shared.database_name());
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(url, %address, docs, mcp, store, database, cache, %roles, version, "listening");
}

/// Where the first admin is made, by a process that answers callers.
async fn setup_link(config: &Config, url: &str, wired: &Wired) -> Option<String> {
    if !config.roles.api {
        return None;
    }
    match wired.engine.setup_token().await {
        Ok(token) => token.map(|token| format!("{url}/setup?token={}", token.expose())),
        Err(error) => {
            tracing::warn!(%error, "no link for the first admin");
            None
        }
    }
}

fn greet(config: &Config, url: &str, address: SocketAddr, setup: Option<&str>) {
    let mut text = format!("\nMCP Server {} listens on {url}", env!("CARGO_PKG_VERSION"));
    if address.ip().is_unspecified() {
        text.push_str(" and on every other address of this machine");
    }
    text.push('\n');
    if config.roles.api {
        text.push_str(&format!("\n  every route, to read and to try   {url}/docs"));
    }
    text.push_str(&format!("\n  whether it is well                {url}/health"));
    if config.roles.api {
        text.push_str(&format!(
            "\n  for MCP clients, with an API key  {url}{} (how to connect them: docs/mcp.md)",
            mcp::PATH
        ));
    }
    text.push_str(&format!("\n\n{}", footing(config)));
    if let Some(link) = setup {
        text.push_str(&format!(
            "\n\nThere is no admin yet. Make one with this link, once and within an hour:\n\n  {link}"
        ));
    }
    text.push_str("\n\nCtrl+C stops it.\n");
    drop(writeln!(io::stdout().lock(), "{text}"));
}

/// What the server stands on, and what it leaves to other processes.
fn footing(config: &Config) -> String {
    let mut text = if is_on_mongodb(config) {
        let name = config.shared.database_name();
        format!("Everything is kept in the database {name} on MongoDB")
    } else {
        format!("Everything is kept in {}", config.data_dir.display())
    };
    text.push_str(if config.shared.redis_url.is_some() {
        "; request limits are shared on Redis."
    } else if is_on_mongodb(config) {
        "; request limits are counted by each process alone."
    } else {
        "."
    });
    text.push_str(match (config.roles.api, config.roles.worker) {
        (true, false) => "\nIt does no tasks: that is left to processes with the role worker.",
        (false, _) => "\nIt does tasks and answers no callers: that is left to processes with the role api.",
        (true, true) => "",
    });
    text
}

fn is_on_mongodb(config: &Config) -> bool {
    config.shared.mongodb_uri.is_some()
}

/// The address that a browser on this machine can open.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(loopback, address.port())
}
