//! Two real servers on MongoDB and Redis behind nginx, and a new version of each while callers go on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::curl::{self, Stream};
use crate::nginx::Nginx;
use crate::request::{Reply, Request};
use crate::say;
use crate::services::Services;
use crate::subject::{Setup, Subject, free_address, random_secret};

/// The revision of the Model Context Protocol in which a stream tells of tasks.
const REVISION: &str = "2026-07-28";

/// Where its names of metadata begin.
const META: &str = "io.modelcontextprotocol/";

/// How long callers pause between two requests.
const PAUSE: Duration = Duration::from_millis(2);

/// How many requests each new server has to answer well before the next one is exchanged.
const FEWEST: usize = 50;

/// How long nginx may take to send requests to a server that came back.
const TAKEN_UP_LIMIT: Duration = Duration::from_secs(30);

/// Two servers, always at the same addresses, and what is in front of them.
struct Place {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    servers: Vec<Member>,
    nginx: Nginx,
    folder: PathBuf,
}

struct Member {
    address: SocketAddr,
    folder: PathBuf,
    subject: Option<Subject>,
}

/// Runs it all.
///
/// # Errors
/// Fails at the first thing that isn't as it should be.
pub(super) fn run(services: &Services, binary: &Path, folder: &Path) -> Result<()> {
    let mut place = Place::build(services, binary, folder)?;
    let token = place.register()?;
    place.stream_of_events(&token)?;
    say::line("ok: what a task does is told by one server while another does it, over TLS, at once");
    let counted = place.upgrade(&token)?;
    say::line(format!(
        "ok: each server was stopped and started again, and {counted}"
    ));
    for member in &mut place.servers {
        member.subject.take().context("a server is gone")?.stop()?;
    }
    Ok(())
}

impl Place {
    fn build(services: &Services, binary: &Path, folder: &Path) -> Result<Self> {
        let mut settings = vec![
            ("TRUSTED_PROXIES".to_owned(), "127.0.0.1".to_owned()),
            ("RATE_LIMIT_MAX_REQUESTS".to_owned(), "1000000".to_owned()),
            ("BCRYPT_COST".to_owned(), "4".to_owned()),
            ("DB_NAME".to_owned(), "deployment".to_owned()),
        ];
        for (name, value) in &services.variables {
            if ["MONGODB_URI", "REDIS_URL"].contains(name) {
                settings.push(((*name).to_owned(), value.to_string_lossy().into_owned()));
            }
        }
        for name in ["JWT_SECRET", "REFRESH_TOKEN_SECRET"] {
            settings.push((name.to_owned(), random_secret()?));
        }
        let mut servers = Vec::new();
        for number in 0..2 {
            let folder = folder.join(format!("server-{number}"));
            fs::create_dir_all(&folder)?;
            servers.push(Member {
                address: free_address()?,
                folder,
                subject: None,
            });
        }
        let addresses: Vec<SocketAddr> = servers.iter().map(|member| member.address).collect();
        let mut place = Self {
            binary: binary.to_path_buf(),
            settings,
            servers,
            nginx: Nginx::start(&folder.join("nginx"), &addresses)?,
            folder: folder.to_path_buf(),
        };
        for number in 0..place.servers.len() {
            place.start(number)?;
        }
        Ok(place)
    }

    fn start(&mut self, number: usize) -> Result<()> {
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let member = self.servers.get_mut(number).context("no such server")?;
        let setup = Setup {
            binary: &self.binary,
            folder: &member.folder,
            settings: &settings,
        };
        let mut subject = Subject::launch_at(&setup, member.address)?;
        subject.await_health()?;
        member.subject = Some(subject);
        Ok(())
    }

    /// Makes an account through nginx, and returns its token.
    fn register(&self) -> Result<String> {
        let account = json!({ "email": "ada@example.org", "username": "ada", "password": random_secret()? });
        let made = Request::post("/api/v1/auth/register", &account).send(self.nginx.address())?;
        made.text("/data/token")
    }

    /// Listens to a task over TLS while it is made to run.
    fn stream_of_events(&self, token: &str) -> Result<()> {
        let bearer = format!("Bearer {token}");
        let address = self.nginx.address();
        let later = json!({ "title": "later", "plugin": "sample", "action": "echo",
            "payload": { "message": "hello" }, "scheduledAt": "2099-01-01T08:00:00Z" });
        let task = Request::post("/api/v1/tasks", &later)
            .header("Authorization", &bearer)
            .send(address)?;
        let task = task.text("/data/id")?;
        let mut command = curl::over_tls(&self.nginx, "/mcp");
        curl::with_body(&mut command, &self.folder, &listen(&task).to_string())?;
        let headers = [
            &format!("Authorization: {bearer}"),
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            &format!("MCP-Protocol-Version: {REVISION}"),
            "Mcp-Method: subscriptions/listen",
        ];
        command.args(headers.iter().flat_map(|header| ["--header", header]));
        let stream = Stream::open(command)?;
        stream.await_line("notifications/subscriptions/acknowledged")?;
        let path = format!("/api/v1/tasks/{task}/execute");
        let begun = Request::post_nothing(&path)
            .header("Authorization", &bearer)
            .send(address)?;
        ensure!((200..300).contains(&begun.status), "{begun:?}");
        stream.await_line("\"completed\"")?;
        Ok(())
    }

    /// Stops and starts one server after the other, while callers read and change things.
    fn upgrade(&mut self, token: &str) -> Result<String> {
        let address = self.nginx.address();
        let bearer = format!("Bearer {token}");
        let is_over = AtomicBool::new(false);
        let (reads, calls) = thread::scope(|scope| {
            let call = json!({ "plugin": "sample", "action": "echo", "payload": { "message": "hello" } });
            let (over, bearer) = (&is_over, &bearer);
            let reads = scope.spawn(move || {
                repeat(over, || {
                    Request::get("/api/v1/tasks?limit=1")
                        .header("Authorization", bearer)
                        .send(address)
                })
            });
            let calls = scope.spawn(move || {
                repeat(over, || {
                    Request::post("/mcp/execute", &call)
                        .header("Authorization", bearer)
                        .send(address)
                })
            });
            let exchanged = self.exchange_all();
            is_over.store(true, Ordering::Relaxed);
            let counted =
                [reads, calls].map(|caller| caller.join().unwrap_or_else(|_| bail!("a caller failed")));
            exchanged?;
            let [reads, calls] = counted;
            anyhow::Ok((reads?, calls?))
        })?;
        ensure!(
            reads >= FEWEST && calls >= FEWEST,
            "only {reads} reads and {calls} calls"
        );
        Ok(format!(
            "all of {reads} reads and {calls} calls were answered well"
        ))
    }

    /// Goes on with the next server only when nginx has taken up the one before, as whoever does this by hand has to.
    fn exchange_all(&mut self) -> Result<()> {
        for number in 0..self.servers.len() {
            let member = self.servers.get_mut(number).context("no such server")?;
            let answered = format!("upstream={} tries=200 ", member.address);
            member.subject.take().context("a server is gone")?.stop()?;
            self.start(number)?;
            let before = self.nginx.logged()?.matches(&answered).count();
            let begin = Instant::now();
            while self.nginx.logged()?.matches(&answered).count() < before + FEWEST {
                ensure!(
                    begin.elapsed() < TAKEN_UP_LIMIT,
                    "nginx sends nothing to server {number} again"
                );
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

/// The request for a stream that tells of one task.
fn listen(task: &str) -> Value {
    let mut meta = serde_json::Map::new();
    meta.insert(format!("{META}protocolVersion"), json!(REVISION));
    meta.insert(
        format!("{META}clientInfo"),
        json!({ "name": "deploy", "version": "1" }),
    );
    // Only who knows of tasks is told of them.
    meta.insert(
        format!("{META}clientCapabilities"),
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }),
    );
    json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
        "params": { "notifications": { "taskIds": [task] }, "_meta": meta } })
}

/// Sends requests until it is over; fails at the first that isn't answered well, else counts them.
fn repeat(is_over: &AtomicBool, send: impl Fn() -> Result<Reply>) -> Result<usize> {
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let reply = send()?;
        ensure!(reply.status == 200, "after {count} good answers: {reply:?}");
        count += 1;
        thread::sleep(PAUSE);
    }
    Ok(count)
}
