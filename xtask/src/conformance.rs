//! `cargo xtask conformance`: the official conformance suite of the Model Context Protocol against our server.
//!
//! The server is the debug build with one plugin more, which holds the tools, prompts and resources that the suite
//! asks for. The suite can't send a credential, so a proxy between the two adds one. Nothing is expected to fail.

mod proxy;
mod check;
mod set;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::request::Request;
use crate::subject::{Setup, Subject, random_secret};
use crate::{install, process, say, tree};
use check::Scenario;
use proxy::{Credential, Proxy};
use set::Set;

/// What the conformance command is told.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Conformance {
    /// Run this scenario only, in the revision that is given with it or in the suite's own choice
    #[arg(long)]
    scenario: Option<String>,
    /// The revision for --scenario
    #[arg(long, requires = "scenario")]
    spec_version: Option<String>,
    /// Use this program instead of building the debug server with its fixture
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
}

/// How long one run of the suite may take. The longest needs some 30 s.
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// Settings of the server under test: nothing of it may depend on how often the suite asks.
const SETTINGS: [(&str, &str); 4] = [
    ("RATE_LIMIT_MAX_REQUESTS", "100000000"),
    ("RATE_LIMIT_USER_MAX_REQUESTS", "100000000"),
    ("BCRYPT_COST", "4"),
    ("LOG_LEVEL", "info"),
];

/// Where the suite lies, where its results go, and who it pretends to be.
struct Session {
    suite: install::Suite,
    folder: PathBuf,
    server: Subject,
    token: String,
    key: String,
}

/// Builds the server with its fixture, and runs the whole suite against it.
///
/// # Errors
/// Fails when any check of any scenario failed or warned, when a scenario that is required did not run, when the
/// server logged a panic, and when it didn't stop cleanly.
pub(crate) fn run(settings: &Conformance) -> Result<()> {
    let suite = install::conformance()?;
    let binary = match &settings.server {
        Some(given) => given.canonicalize()?,
        None => install::debug_program("conformance-server")?,
    };
    let folder = tree::scratch("conformance")?;
    let session = Session::begin(suite, &binary, &folder)?;
    let outcome = session.all(settings);
    if outcome.is_err() {
        say::line(format!(
            "last lines of the server's log:\n{}",
            session.server.tail()
        ));
    }
    outcome?;
    session.end()?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

impl Session {
    fn begin(suite: install::Suite, binary: &Path, folder: &Path) -> Result<Self> {
        let admin_key = random_secret()?;
        let mut settings = SETTINGS.to_vec();
        settings.push(("ADMIN_API_KEY", &admin_key));
        let server = Subject::start(&Setup {
            binary,
            folder,
            settings: &settings,
        })?;
        let account = json!({
            "email": "suite@conformance.example",
            "username": "suite",
            "password": "correct horse battery staple",
        });
        let registered = Request::post("/api/v1/auth/register", &account).send(server.address())?;
        let token = registered.text("/data/token").context("can't register")?;
        let bearer = format!("Bearer {token}");
        let wish = json!({"name": "suite"});
        let made = Request::post("/api/v1/auth/api-key/generate", &wish)
            .header("Authorization", &bearer)
            .send(server.address())?;
        let key = made.text("/data/key").context("can't make a key")?;
        Ok(Self {
            suite,
            folder: folder.to_path_buf(),
            server,
            token,
            key,
        })
    }

    fn all(&self, settings: &Conformance) -> Result<()> {
        let sets = match &settings.scenario {
            Some(name) => vec![Set::single(name, settings.spec_version.as_deref())],
            None => Set::all(),
        };
        let mut wrong = Vec::new();
        let mut seen = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            // Both kinds of credentials take part, each with both eras.
            let credential = if number % 3 == 0 {
                Credential::Token(&self.token)
            } else {
                Credential::Key(&self.key)
            };
            let scenarios = self.run_set(set, &credential)?;
            say::line(table::of(set, &scenarios));
            wrong.extend(set.missing(&scenarios, &self.suite)?);
            wrong.extend(scenarios.iter().flat_map(|scenario| scenario.wrong(&set.title)));
            seen.extend(scenarios.into_iter().map(|scenario| scenario.name));
        }
        if settings.scenario.is_none() {
            wrong.extend(set::unseen(&seen));
        }
        if !wrong.is_empty() {
            bail!("{} findings of the suite:\n{}", wrong.len(), wrong.join("\n"));
        }
        Ok(())
    }

    /// Runs one set of scenarios and reads what it found.
    fn run_set(&self, set: &Set, credential: &Credential<'_>) -> Result<Vec<Scenario>> {
        let proxy = Proxy::start(self.server.address(), credential)?;
        let results = self.folder.join(&set.folder);
        fs::create_dir_all(&results)?;
        let begin = Instant::now();
        let mut command = self.suite.command();
        command
            .current_dir(&results)
            .args(["server", "--url"])
            .arg(format!("http://{}/mcp", proxy.address()))
            .args(&set.words)
            .arg("--output-dir")
            .arg(&results);
        // How it ends says less than the checks that it leaves behind, and those are read anyway.
        let (_, text) = process::capture(&mut command, RUN_LIMIT).context("the suite didn't end")?;
        fs::write(results.join("output.txt"), &text)?;
        let scenarios = check::read(&results)?;
        if scenarios.is_empty() {
            bail!("the suite ran nothing of {}:\n{text}", set.title);
        }
        say::line(format!(
            "{}: {} scenarios in {:.1} s, by {}",
            set.title,
            scenarios.len(),
            begin.elapsed().as_secs_f64(),
            credential.name()
        ));
        Ok(scenarios)
    }

    fn end(self) -> Result<()> {
        let logged = self.server.logged()?;
        if let Some(line) = logged
            .lines()
            .find(|line| line.contains("panicked") && !is_wanted(line))
        {
            bail!("the server logged a panic: {line}");
        }
        self.server.stop()
    }
}

/// The one panic that the suite asks for, to see what becomes of the task.
fn is_wanted(line: &str) -> bool {
    line.contains("protocol_error_job")
}
