//! `cargo xtask clients`: the MCP clients that people use, against our server.
//!
//! Each lists the tools and calls some, by token and by API key, in each era that it knows, over HTTP and over standard
//! input and output. Tasks are handed in by one client, the server is killed, and others get the results; and calls go
//! on while it is killed again and again, and while of several servers on one store one after the other is.

mod job;
mod kit;
mod survival;
mod restarts;
mod several;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::request::Request;
use crate::subject::{Setup, Subject, random_secret};
use crate::{install, say, tree};
use job::{Era, Job, Report};
use kit::Kit;

/// What the clients command is told.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Clients {
    /// Use this program instead of building the debug server
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Only kill one after the other of several servers on one store, while clients call them through a proxy
    #[arg(long)]
    several: bool,
}

/// Settings of the server under test.
const SETTINGS: [(&str, &str); 4] = [
    ("RATE_LIMIT_MAX_REQUESTS", "100000000"),
    ("RATE_LIMIT_USER_MAX_REQUESTS", "100000000"),
    ("BCRYPT_COST", "4"),
    ("LOG_LEVEL", "info"),
];

/// Tools that every client must be shown.
const EXPECTED_TOOLS: [&str; 4] = [
    "sample__echo",
    "dataProcessor__process",
    "tasks__submit",
    "tasks__wait",
];

/// A place with a server's data, and who may use it.
struct Place<'a> {
    binary: &'a Path,
    folder: PathBuf,
    admin_key: String,
    token: String,
    key: String,
}

/// Builds what is needed, and lets every client talk with the server.
///
/// # Errors
/// Fails when a client can't be had, and when one of them didn't get what it must.
pub(crate) fn run(settings: &Clients) -> Result<()> {
    let binary = match &settings.server {
        Some(given) => given.canonicalize()?,
        None => install::debug_server()?,
    };
    let folder = tree::scratch("clients")?;
    if settings.several {
        several::check(&binary, &folder)?;
        fs::remove_dir_all(&folder)?;
        return Ok(());
    }
    let kits = Kit::all()?;
    let (place, server) = Place::open(&binary, &folder)?;
    let over_http = over_http(&kits, &place, &server);
    if over_http.is_err() {
        say::line(format!("last lines of the server's log:\n{}", server.tail()));
    }
    let tools = over_http?;
    let server = survival::check(&kits, &place, server)?;
    let server = restarts::check(&place, server)?;
    server.stop()?;
    over_pipes(&kits, &place, &tools)?;
    several::check(&binary, &folder.join("several")).context("several servers")?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

impl<'a> Place<'a> {
    /// Starts a server on new data and makes an account with a token and a key.
    fn open(binary: &'a Path, folder: &Path) -> Result<(Self, Subject)> {
        let mut place = Self {
            binary,
            folder: folder.to_path_buf(),
            admin_key: random_secret()?,
            token: String::new(),
            key: String::new(),
        };
        let server = place.start()?;
        let account = json!({
            "email": "clients@clients.example",
            "username": "clients",
            "password": "correct horse battery staple",
        });
        let registered = Request::post("/api/v1/auth/register", &account).send(server.address())?;
        place.token = registered.text("/data/token").context("can't register")?;
        let bearer = format!("Bearer {}", place.token);
        let wish = json!({"name": "clients"});
        let made = Request::post("/api/v1/auth/api-key/generate", &wish)
            .header("Authorization", &bearer)
            .send(server.address())?;
        place.key = made.text("/data/key").context("can't make a key")?;
        Ok((place, server))
    }

    /// Starts a server on the data that is there.
    fn start(&self) -> Result<Subject> {
        let mut settings = SETTINGS.to_vec();
        settings.push(("ADMIN_API_KEY", &self.admin_key));
        Subject::start(&Setup {
            binary: self.binary,
            folder: &self.folder,
            settings: &settings,
        })
    }

    /// The two credentials, as headers.
    fn credentials(&self) -> [(&'static str, &'static str, String); 2] {
        [
            ("token", "Authorization", format!("Bearer {}", self.token)),
            ("API key", "X-API-Key", self.key.clone()),
        ]
    }
}

/// Lets every client list and call over HTTP; gives the names of the tools, which must be the same for all.
fn over_http(kits: &[Kit], place: &Place<'_>, server: &Subject) -> Result<Vec<String>> {
    let mut tools = Vec::new();
    for (kit, era) in kit::eras(kits) {
        for (name, header, value) in place.credentials() {
            let job = Job::http(server.address(), header, &value, era).calling(usual_calls());
            tools = visit(kit, &job, place, &format!("HTTP, {name}"), &tools)?;
        }
    }
    Ok(tools)
}

/// The same over standard input and output, where the server is the client's own child.
fn over_pipes(kits: &[Kit], place: &Place<'_>, tools: &[String]) -> Result<()> {
    for (kit, era) in kit::eras(kits) {
        let job =
            Job::pipes(place.binary, &place.folder.join("data"), &place.key, era).calling(usual_calls());
        visit(kit, &job, place, "standard input and output", tools)?;
    }
    Ok(())
}

/// A call that works, one of another plugin, and one whose arguments are wrong.
fn usual_calls() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("sample__echo", json!({ "message": "hello" })),
        ("dataProcessor__process", json!({ "data": [1, 2, 3] })),
        ("sample__echo", json!({ "message": 1 })),
    ]
}

/// Lets one client do the usual job, and looks at what it got; gives the tools that it saw.
fn visit(kit: &Kit, job: &Job, place: &Place<'_>, way: &str, tools: &[String]) -> Result<Vec<String>> {
    let begin = Instant::now();
    let title = format!("{}, {} revision, over {way}", kit.name, job.era.name());
    let report = kit.run(job, &place.folder).with_context(|| title.clone())?;
    look_at(&report, job.era, tools).with_context(|| format!("{title}: {report:?}"))?;
    let seconds = begin.elapsed().as_secs_f64();
    let revision = report.revision.as_deref().unwrap_or("?");
    say::line(format!(
        "{title}: {revision}, {} tools, {seconds:.1} s",
        report.tools.len()
    ));
    Ok(report.tools)
}

fn look_at(report: &Report, era: Era, tools: &[String]) -> Result<()> {
    let revision = report.revision.as_deref().unwrap_or_default();
    let is_right = match era {
        Era::Modern => revision == "2026-07-28",
        Era::Legacy => revision.starts_with("2025-"),
    };
    if !is_right {
        bail!("it speaks revision {revision:?}");
    }
    if let Some(missing) = EXPECTED_TOOLS.iter().find(|name| !report.has_tool(name)) {
        bail!("the tool {missing} wasn't listed");
    }
    if !tools.is_empty() && tools != report.tools {
        bail!("other tools were listed than to the client before: {tools:?}");
    }
    let [echo, process, wrong] = report.results.as_slice() else {
        bail!("{} results", report.results.len());
    };
    if echo.pointer("/structuredContent/message") != Some(&json!("hello")) {
        bail!("the echo was {echo}");
    }
    if process
        .pointer("/structuredContent/sum")
        .and_then(serde_json::Value::as_f64)
        != Some(6.0)
    {
        bail!("the sum was {process}");
    }
    if wrong.pointer("/isError") != Some(&json!(true)) {
        bail!("wrong arguments gave {wrong}");
    }
    Ok(())
}
