//! The servers that are compared, and the one call that each gets.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::bench::contenders::{Bare, Other, Ours};
use crate::bench::load::Load;
use crate::request::{Reply, Request};

/// The text that goes there and comes back.
const MESSAGE: &str = "hello";

/// The tool that gives it back.
const TOOL: &str = "sample__echo";

/// Which revision of the protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revision {
    /// 2026-07-28.
    Stateless,
    /// 2025-11-25, all calls in one session.
    WithSession,
}

impl Revision {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stateless => "2026-07-28",
            Self::WithSession => "2025-11-25",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bare axum.
    Bare,
    /// Ours, by token; with its history, or without.
    Ours(Revision, bool),
    /// The other library's.
    Rmcp(Revision),
}

impl Kind {
    /// Its name in the table.
    pub(super) fn title(self) -> String {
        match self {
            Self::Bare => "bare axum".to_owned(),
            Self::Ours(revision, true) => format!("ours, {}", revision.as_str()),
            Self::Ours(revision, false) => format!("ours without history, {}", revision.as_str()),
            Self::Rmcp(revision) => format!("rmcp, {}", revision.as_str()),
        }
    }
}

/// One server, spoken to in one way.
pub(super) struct Contender {
    pub(super) kind: Kind,
    pub(super) pid: u32,
    pub(super) load: Load,
}

impl Contender {
    /// The bare server gets the body of a call, which it parses and sends back.
    pub(super) fn bare(bare: &Bare) -> Self {
        let mut load = load(bare.echo_url(), headers(Revision::Stateless, None));
        load.body = Some(call(Revision::Stateless).to_string());
        Self {
            kind: Kind::Bare,
            pid: bare.pid(),
            load,
        }
    }

    /// Our server, by access token.
    ///
    /// # Errors
    /// Fails when the call doesn't give what it must.
    pub(super) fn ours(ours: &Ours, revision: Revision, has_history: bool) -> Result<Self> {
        Ok(Self {
            kind: Kind::Ours(revision, has_history),
            pid: ours.pid(),
            load: speaking(ours.base(), revision, Some(&ours.bearer()))?,
        })
    }

    /// The other server, which asks for no credential.
    ///
    /// # Errors
    /// Fails when the call doesn't give what it must.
    pub(super) fn rmcp(rmcp: &Other, revision: Revision) -> Result<Self> {
        Ok(Self {
            kind: Kind::Rmcp(revision),
            pid: rmcp.pid(),
            load: speaking(rmcp.base(), revision, None)?,
        })
    }
}

fn load(url: String, headers: Vec<(&'static str, String)>) -> Load {
    Load {
        url,
        method: "POST",
        headers,
        body: None,
        connections: 1,
    }
}

/// Calls of the tool at an MCP server; one was made already, and gave what it must.
fn speaking(base: &str, revision: Revision, bearer: Option<&str>) -> Result<Load> {
    let address: SocketAddr = base.trim_start_matches("http://").parse()?;
    let mut headers = headers(revision, bearer);
    if revision == Revision::WithSession {
        headers.push(("Mcp-Session-Id", open_session(address, bearer)?));
    }
    let body = call(revision);
    let reply = post(address, &headers, &body)?;
    let is_right = reply.status == 200 && reply.raw.contains(MESSAGE) && !reply.raw.contains("\"error\"");
    if !is_right {
        bail!("{base} answered {}: {}", reply.status, reply.raw);
    }
    let mut load = load(format!("{base}/mcp"), headers);
    load.body = Some(body.to_string());
    Ok(load)
}

/// Opens a session and gives its id.
fn open_session(address: SocketAddr, bearer: Option<&str>) -> Result<String> {
    let mut headers = common(bearer);
    let initialize = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": Revision::WithSession.as_str(),
            "capabilities": {},
            "clientInfo": { "name": "bench", "version": "1" },
        },
    });
    let reply = post(address, &headers, &initialize)?;
    let id = reply.header("mcp-session-id").context("no session was opened")?;
    headers.push(("Mcp-Session-Id", id.to_owned()));
    headers.push(("MCP-Protocol-Version", Revision::WithSession.as_str().to_owned()));
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let accepted = post(address, &headers, &initialized)?;
    if accepted.status != 202 {
        bail!("the session was not accepted: {}", accepted.status);
    }
    Ok(id.to_owned())
}

fn post(address: SocketAddr, headers: &[(&'static str, String)], body: &Value) -> Result<Reply> {
    let request = headers
        .iter()
        // The request sends this one by itself.
        .filter(|(name, _)| *name != "Content-Type")
        .fold(Request::post("/mcp", body), |request, (name, value)| {
            request.header(name, value)
        });
    request.send(address)
}

fn common(bearer: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("Accept", "application/json, text/event-stream".to_owned()),
    ];
    headers.extend(bearer.map(|bearer| ("Authorization", bearer.to_owned())));
    headers
}

fn headers(revision: Revision, bearer: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = common(bearer);
    headers.push(("MCP-Protocol-Version", revision.as_str().to_owned()));
    if revision == Revision::Stateless {
        headers.push(("Mcp-Method", "tools/call".to_owned()));
        headers.push(("Mcp-Name", TOOL.to_owned()));
    }
    headers
}

/// The call that is made again and again.
fn call(revision: Revision) -> Value {
    let mut params = json!({ "name": TOOL, "arguments": { "message": MESSAGE } });
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": revision.as_str(),
        "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    if let (Revision::Stateless, Some(fields)) = (revision, params.as_object_mut()) {
        fields.insert("_meta".to_owned(), meta);
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}
