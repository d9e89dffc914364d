//! Clients of both eras, while the server is killed again and again and started anew.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::clients::Place;
use crate::clients::job::Era;
use crate::request::{Reply, Request};
use crate::say;
use crate::subject::Subject;

/// How often the server is killed.
const KILLS: u32 = 5;

/// How long it lives each time.
const LIFE: Duration = Duration::from_millis(1_500);

/// How long a call is tried, over and over, while there is no server.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many clients there are of each era.
const CLIENTS: usize = 2;

/// The older revision that is spoken.
const OLDER: &str = "2025-11-25";

/// Where clients go now, and when it is enough.
pub(super) struct Stage<'a> {
    address: Mutex<SocketAddr>,
    is_over: AtomicBool,
    bearer: &'a str,
}

impl<'a> Stage<'a> {
    /// Begins with an address and a credential.
    pub(super) fn new(address: SocketAddr, bearer: &'a str) -> Self {
        Self {
            address: Mutex::new(address),
            is_over: AtomicBool::new(false),
            bearer,
        }
    }

    fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills the server every other second, starts it again, and lets clients call all the while.
///
/// Each older client has one session all the time. Gives the server that runs now.
///
/// # Errors
/// Fails when a client is told anything but the result of its call, and when an answered call isn't in the history.
pub(super) fn check(place: &Place<'_>, server: Subject) -> Result<Subject> {
    let bearer = format!("Bearer {}", place.token);
    let stage = Stage::new(server.address(), &bearer);
    let (server, told) = while_called(&stage, || live(place, server, &stage))?;
    say::line(format!(
        "{told} through {KILLS} kills of the server, no session lost"
    ));
    Ok(server)
}

/// Lets clients of both eras call until the work is done; gives what the work gives, and what is to be said.
///
/// # Errors
/// As the work; and when a client is told anything but the result of its call, or an answered call isn't in the history.
pub(super) fn while_called<T>(stage: &Stage<'_>, work: impl FnOnce() -> Result<T>) -> Result<(T, String)> {
    let before = calls_in_history(stage)?;
    let (done, answered) = thread::scope(|scope| {
        let eras = [Era::Modern, Era::Legacy]
            .into_iter()
            .flat_map(|era| [era; CLIENTS]);
        let clients: Vec<_> = eras.map(|era| scope.spawn(move || call_on(stage, era))).collect();
        let done = work();
        stage.is_over.store(true, Ordering::Release);
        let mut answered = 0;
        for client in clients {
            let calls = client.join().ok().context("a client broke off")?;
            answered += calls?;
        }
        done.map(|done| (done, answered))
    })?;
    let recorded = calls_in_history(stage)? - before;
    if recorded < answered {
        bail!("{answered} calls were answered, and {recorded} are in the history");
    }
    let told = format!("{answered} calls of both eras, {recorded} in the history,");
    Ok((done, told))
}

/// Kills the server and starts it again, several times; whoever calls meanwhile finds nobody, and tries again.
fn live(place: &Place<'_>, mut server: Subject, stage: &Stage<'_>) -> Result<Subject> {
    for _ in 0..KILLS {
        thread::sleep(LIFE);
        server.kill()?;
        server = place.start()?;
        *stage.address.lock().unwrap_or_else(PoisonError::into_inner) = server.address();
    }
    thread::sleep(LIFE);
    Ok(server)
}

/// Calls until it is enough; gives how many calls were answered.
fn call_on(stage: &Stage<'_>, era: Era) -> Result<u64> {
    let session = match era {
        Era::Modern => None,
        Era::Legacy => Some(open_session(stage)?),
    };
    let mut answered = 0;
    while !stage.is_over.load(Ordering::Acquire) {
        let reply = insist(stage, &call(era), session.as_deref())?;
        let text = reply.body.pointer("/result/structuredContent/message");
        if reply.status != 200 || text != Some(&json!("hello")) {
            bail!("a call of {era:?} was answered {}: {}", reply.status, reply.raw);
        }
        answered += 1;
    }
    Ok(answered)
}

fn open_session(stage: &Stage<'_>) -> Result<String> {
    let initialize = json!({
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": OLDER,
            "capabilities": {},
            "clientInfo": { "name": "restarts", "version": "1" },
        },
    });
    let opened = insist(stage, &initialize, None)?;
    let session = opened.header("mcp-session-id").context("no session")?.to_owned();
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let accepted = insist(stage, &initialized, Some(&session))?;
    if accepted.status != 202 {
        bail!("the session was not accepted: {}", accepted.status);
    }
    Ok(session)
}

/// Sends a message until somebody answers it; what it asks for may be done twice.
fn insist(stage: &Stage<'_>, message: &Value, session: Option<&str>) -> Result<Reply> {
    let begin = Instant::now();
    loop {
        match post(stage.address(), stage.bearer, message, session) {
            // From a proxy that reached nobody, or from a server whose store was away.
            Ok(reply) if matches!(reply.status, 502..=504) && begin.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(reply) => return Ok(reply),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error.context("nobody answers")),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn post(address: SocketAddr, bearer: &str, message: &Value, session: Option<&str>) -> Result<Reply> {
    let mut request = Request::post("/mcp", message)
        .header("Authorization", bearer)
        .header("Accept", "application/json, text/event-stream");
    let is_stateless = message.pointer("/params/_meta").is_some();
    if is_stateless {
        request = request
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", "sample__echo");
    }
    if let Some(session) = session {
        request = request
            .header("MCP-Protocol-Version", OLDER)
            .header("Mcp-Session-Id", session);
    }
    let reply = request.send(address)?;
    if reply.status == 200 && reply.body.is_null() {
        bail!("the answer was cut off");
    }
    Ok(reply)
}

fn call(era: Era) -> Value {
    let mut params = json!({ "name": "sample__echo", "arguments": { "message": "hello" } });
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    if let (Era::Modern, Some(fields)) = (era, params.as_object_mut()) {
        fields.insert("_meta".to_owned(), meta);
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

/// How many calls over MCP are in the account's history.
fn calls_in_history(stage: &Stage<'_>) -> Result<u64> {
    let request = Request::get("/mcp/history?source=mcp&limit=1").header("Authorization", stage.bearer);
    let reply = request.send(stage.address())?;
    let total = reply.body.pointer("/page/total").and_then(Value::as_u64);
    total.with_context(|| format!("no total: {}", reply.raw))
}
