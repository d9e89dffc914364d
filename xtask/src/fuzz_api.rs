//! `cargo xtask fuzz-api`: schemathesis, a fuzzer that reads our OpenAPI document, against the debug server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::request::Request;
use crate::subject::{Setup, Subject, random_secret};
use crate::{install, process, say, tree};

/// What the fuzzer is told.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct FuzzApi {
    /// Test cases for each operation and run
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) max_examples: u32,
    /// Seed of the generated requests: the same seed and server give the same requests
    #[arg(long, default_value_t = 20_261_122)]
    pub(crate) seed: u64,
    /// Fuzz as this one only; throw-away stands for the accounts that end themselves
    #[arg(long, value_parser = ["anonymous", "user", "developer", "admin", "throw-away"])]
    pub(crate) only: Option<String>,
    /// Use this program instead of building the debug server
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) server: Option<PathBuf>,
}

/// How long one run of the fuzzer may take.
const RUN_LIMIT: Duration = Duration::from_secs(900);

/// Operations that end the credentials, or the account, with which they are called.
///
/// A role's run leaves them out, since everything after the first success would be 401. Each is fuzzed in a
/// run of its own, with an account made for that run.
const SELF_ENDING: [(&str, &str); 4] = [
    ("log out", r"^POST /api(/v1)?/auth/logout$"),
    ("log out everywhere", r"^POST /api(/v1)?/auth/logout-all$"),
    ("new password", r"^PUT /api(/v1)?/auth/password$"),
    (
        "other accounts",
        r"^(GET|PUT|DELETE) /api(/v1)?/users(/\{[^}]+\})?$",
    ),
];

/// Pages for people, not operations.
const PAGES: &str = r"[A-Z]+ /(docs|setup)(/.*)?";

/// The operations of [`SELF_ENDING`] in one expression, except that reading users stays in.
const ENDING: &str = r"POST /api(/v1)?/auth/logout(-all)?|PUT /api(/v1)?/auth/password|(PUT|DELETE) /api(/v1)?/users/\{[^}]+\}";

/// One account of the server under test.
struct Account {
    name: String,
    token: String,
}

/// One server under test and how to fuzz it.
struct Session<'a> {
    settings: &'a FuzzApi,
    folder: PathBuf,
    address: SocketAddr,
    admin_key: String,
}

/// Builds the debug server, starts it, and fuzzes it as a stranger and as each role.
///
/// # Errors
/// Fails when a check failed in any run, when credentials died in a run, when the server logged a panic, and when
/// it didn't stop cleanly afterwards.
pub(crate) fn run(settings: &FuzzApi) -> Result<()> {
    install::schemathesis()?;
    let binary = match &settings.server {
        Some(given) => given.canonicalize()?,
        None => install::debug_server()?,
    };
    let folder = tree::scratch("fuzz-api")?;
    let admin_key = random_secret()?;
    let server = Subject::start(&Setup {
        binary: &binary,
        folder: &folder,
        settings: &[
            ("ADMIN_API_KEY", &admin_key),
            ("RATE_LIMIT_MAX_REQUESTS", "100000000"),
            ("RATE_LIMIT_USER_MAX_REQUESTS", "100000000"),
            ("BCRYPT_COST", "4"),
            ("LOG_LEVEL", "info"),
        ],
    })?;
    say::line(format!(
        "server {} on {}, seed {}",
        server.pid(),
        server.address(),
        settings.seed
    ));
    let session = Session {
        settings,
        folder: folder.clone(),
        address: server.address(),
        admin_key,
    };
    let outcome = session.all_runs();
    if outcome.is_err() {
        say::line(format!("last lines of the server's log:\n{}", server.tail()));
    }
    outcome?;
    check_log(&server)?;
    server.stop()?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn check_log(server: &Subject) -> Result<()> {
    let logged = server.logged()?;
    let panicked = logged.lines().find(|line| line.contains("panicked"));
    if let Some(line) = panicked {
        bail!("the server logged a panic: {line}");
    }
    Ok(())
}

impl Session<'_> {
    /// Makes every run, whatever became of the ones before, and names those that failed.
    fn all_runs(&self) -> Result<()> {
        let mut failed = Vec::new();
        if self.wants("anonymous") {
            failed.extend(self.as_stranger().err());
        }
        for role in ["user", "developer", "admin"]
            .into_iter()
            .filter(|role| self.wants(role))
        {
            failed.extend(self.as_role(role).err());
        }
        for (name, operations) in SELF_ENDING.into_iter().filter(|_| self.wants("throw-away")) {
            failed.extend(self.as_throw_away(name, operations).err());
        }
        if !failed.is_empty() {
            bail!(
                "{}",
                failed
                    .iter()
                    .map(|reason| format!("{reason:#}"))
                    .collect::<Vec<_>>()
                    .join("; ")
            );
        }
        Ok(())
    }

    fn as_stranger(&self) -> Result<()> {
        self.fuzz(
            "anonymous",
            None,
            &["--exclude-name-regex", &format!("^({PAGES})$")],
        )
    }

    fn as_role(&self, role: &str) -> Result<()> {
        let account = self.register(role, role)?;
        // One expression: the fuzzer leaves out only what matches all of several.
        let left_out = format!("^({PAGES}|{ENDING})$");
        self.fuzz(role, Some(&account), &["--exclude-name-regex", &left_out])?;
        self.check_alive(&account)
    }

    fn as_throw_away(&self, name: &str, operations: &str) -> Result<()> {
        let account = self.register("admin", &format!("throw-away-{}", name.replace(' ', "-")))?;
        let mut more = vec!["--include-name-regex", operations];
        // One operation alone leads nowhere, and the fuzzer fails when it left out whatever a link leads to.
        let is_alone = !operations.contains('|');
        if is_alone {
            more.extend(["--phases", "examples,coverage,fuzzing"]);
        }
        self.fuzz(name, Some(&account), &more)
    }

    fn wants(&self, name: &str) -> bool {
        self.settings.only.as_deref().is_none_or(|only| only == name)
    }

    fn register(&self, role: &str, name: &str) -> Result<Account> {
        let body = json!({
            "email": format!("{name}@fuzz.example"),
            "username": format!("fuzz-{name}"),
            "password": "correct horse battery staple",
            "role": role,
        });
        let request = Request::post("/api/v1/auth/register", &body).header("X-API-Key", &self.admin_key);
        let reply = request.send(self.address)?;
        let token = reply
            .text("/data/token")
            .with_context(|| format!("can't register {name}"))?;
        Ok(Account {
            name: name.to_owned(),
            token,
        })
    }

    /// A run whose credentials died half-way has tested little: that is a failure too.
    fn check_alive(&self, account: &Account) -> Result<()> {
        let bearer = format!("Bearer {}", account.token);
        let request = Request::get("/api/v1/auth/profile").header("Authorization", &bearer);
        let reply = request.send(self.address)?;
        if reply.status != 200 {
            bail!(
                "{}: the token died during the run (status {})",
                account.name,
                reply.status
            );
        }
        Ok(())
    }

    fn fuzz(&self, name: &str, account: Option<&Account>, more: &[&str]) -> Result<()> {
        say::section(&format!("API fuzzing: {name}"));
        let begin = Instant::now();
        let mut command = self.command(account)?;
        process::run(command.args(more), RUN_LIMIT)
            .map_err(|reason| anyhow::anyhow!("API fuzzing as {name} failed ({})", brief(&reason)))?;
        say::line(format!(
            "API fuzzing: {name} passed in {} s",
            begin.elapsed().as_secs()
        ));
        Ok(())
    }

    fn command(&self, account: Option<&Account>) -> Result<Command> {
        let settings: &Path = &tree::root().join("xtask/schemathesis.toml");
        let mut command = install::schemathesis()?;
        command
            .current_dir(&self.folder)
            .arg("--config-file")
            .arg(settings);
        command
            .arg("run")
            .arg(format!("http://{}/openapi.json", self.address));
        command.args([
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ]);
        command.args(["--max-examples", &self.settings.max_examples.to_string()]);
        command.args([
            "--seed",
            &self.settings.seed.to_string(),
            "--generation-database",
            "none",
        ]);
        command.args(["--request-timeout", "70", "--no-color"]);
        // How fast requests are made up says nothing of the server, only of what else the machine does.
        command.arg("--suppress-health-check=too_slow");
        if let Some(account) = account {
            command.args(["-H", &format!("Authorization: Bearer {}", account.token)]);
            // A made-up key beside a good token would be refused before anything else is looked at.
            command.args(["--generation-with-security-parameters", "false"]);
        }
        Ok(command)
    }
}

/// The cause without the command line, which holds a token.
fn brief(reason: &anyhow::Error) -> String {
    let text = reason.root_cause().to_string();
    text.rsplit(": ")
        .take(2)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
        .join(": ")
}
