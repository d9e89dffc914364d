//! What a server says once it listens.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::Engine;

use crate::config::{Config, LogFormat};
use crate::mcp;

/// Says where the server listens, where to go next and, while there is no admin, how to make one.
///
/// For people a few lines of text, for machines two log lines.
pub(super) async fn announce(config: &Config, address: SocketAddr, engine: &Engine) {
    let url = format!("http://{}", reachable(address));
    let setup = match engine.setup_token().await {
        Ok(token) => token.map(|token| format!("{url}/setup?token={}", token.expose())),
        Err(error) => {
            tracing::warn!(%error, "no link for the first admin");
            None
        }
    };
    let is_terminal = io::stdout().is_terminal();
    if config
        .logs
        .format
        .map_or(is_terminal, |format| format == LogFormat::Pretty)
    {
        greet(&url, address, setup.as_deref());
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
    let (version, docs) = (env!("CARGO_PKG_VERSION"), format!("{url}/docs"));
    let mcp = format!("{url}{}", mcp::PATH);
    tracing::info!(url, %address, docs, mcp, version, "listening");
}

fn greet(url: &str, address: SocketAddr, setup: Option<&str>) {
    let mut text = format!("\nMCP Server {} listens on {url}", env!("CARGO_PKG_VERSION"));
    if address.ip().is_unspecified() {
        text.push_str(" and on every other address of this machine");
    }
    text.push_str(&format!("\n\n  every route, to read and to try   {url}/docs"));
    text.push_str(&format!("\n  whether it is well                {url}/health"));
    text.push_str(&format!(
        "\n  for MCP clients, with an API key  {url}{} (how to connect them: docs/mcp.md)",
        mcp::PATH
    ));
    if let Some(link) = setup {
        text.push_str(&format!(
            "\n\nThere is no admin yet. Make one with this link, once and within an hour:\n\n  {link}"
        ));
    }
    text.push_str("\n\nCtrl+C stops it.\n");
    drop(writeln!(io::stdout().lock(), "{text}"));
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
