//! `cargo xtask migrate`: a store is moved to a MongoDB and back by the real program, which is killed on the way again and
//! again; then it is backed up and restored. Whatever happened, digests must be equal.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::process::{self, Running};
use crate::services::{Services, Wanted};
use crate::{say, tree};

/// How much is moved.
#[derive(clap::Args, Debug)]
pub(crate) struct Migrate {
    /// How many tasks
    #[arg(long, default_value_t = 3_000)]
    tasks: u64,
    /// How many calls in the history
    #[arg(long, default_value_t = 3_000)]
    executions: u64,
    /// How many accounts
    #[arg(long, default_value_t = 2_000)]
    users: u64,
    /// The program to try, instead of the debug build
    #[arg(long)]
    binary: Option<PathBuf>,
}

impl Migrate {
    /// What fits into a run of all tests.
    pub(crate) fn small() -> Self {
        Self {
            tasks: 3_000,
            executions: 3_000,
            users: 2_000,
            binary: None,
        }
    }
}

/// How long a build, or one run of the program, may take.
const LIMIT: Duration = Duration::from_secs(1_800);

/// What the program has just begun to tell when it is killed, in the order of its runs.
const KILLED_AT: [&str; 4] = [" accounts", " calls", " tasks", "compared "];

/// Moves a store there and back.
///
/// # Errors
/// Fails when the program does, when it goes on from nothing after it was killed, when a half filled store can be used, or
/// when digests differ.
pub(crate) fn run(settings: &Migrate) -> Result<()> {
    let binary = match &settings.binary {
        Some(binary) => binary.clone(),
        None => {
            process::run(
                process::cargo().args(["build", "--quiet", "-p", "mcp-server"]),
                LIMIT,
            )?;
            tree::target().join("debug").join("mcp-server")
        }
    };
    let folder = tree::scratch("migrate")?;
    let services = Services::start(&Wanted::anew(false))?;
    let uri = services.variables.iter().find(|(name, _)| *name == "MONGODB_URI");
    let (_, uri) = uri.context("there is no MongoDB")?;
    let journey = Journey {
        binary,
        folder: folder.clone(),
        uri: uri.to_string_lossy().into_owned(),
    };
    let done = journey.go(settings);
    drop(services);
    // Only test data, in the folder of build products.
    std::fs::remove_dir_all(&folder).ok();
    done
}

struct Journey {
    binary: PathBuf,
    folder: PathBuf,
    uri: String,
}

impl Journey {
    fn go(&self, settings: &Migrate) -> Result<()> {
        let first = self.folder.join("first");
        let numbers = [settings.tasks, settings.executions, settings.users].map(|number| number.to_string());
        let begin = Instant::now();
        let mut filling = process::cargo();
        filling.args([
            "run",
            "--quiet",
            "-p",
            "stores",
            "--features",
            "mongodb",
            "--example",
            "fill",
            "--",
        ]);
        process::run(filling.arg(&first).args(&numbers), LIMIT)?;
        let [tasks, executions, users] = numbers;
        say::line(format!(
            "filled a store with {tasks} tasks, {executions} calls and {users} accounts in {:.1} s",
            begin.elapsed().as_secs_f64()
        ));
        let second = self.folder.join("second");
        let there = self.carry(&format!("embedded:{}", first.display()), "mongodb", &first)?;
        let back = self.carry("mongodb", &format!("embedded:{}", second.display()), &second)?;
        ensure!(there == back, "the digests differ:\n{there}\n{back}");
        say::line(&there);
        self.back_up(&second, &there)
    }

    fn command(&self, arguments: &[&str], data_dir: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.folder).env_clear();
        command
            .env("MONGODB_URI", &self.uri)
            .env("DB_NAME", "moved")
            .env("DATA_DIR", data_dir);
        command
    }

    /// Moves everything, with a kill at each of [`KILLED_AT`]; gives the digests that the program shows at the end.
    fn carry(&self, from: &str, to: &str, data_dir: &Path) -> Result<String> {
        let arguments = ["migrate", "--from", from, "--to", to];
        let mut kills = 0;
        for sign in KILLED_AT {
            let was_killed = self.kill_at(&arguments, sign, data_dir)?;
            ensure!(
                was_killed,
                "{from} to {to}: it came to its end before it told of{sign}"
            );
            kills += 1;
            self.require_unusable(to, data_dir)?;
        }
        let begin = Instant::now();
        let (status, text) = process::capture(&mut self.command(&arguments, data_dir), LIMIT)?;
        ensure!(status.success(), "{from} to {to}: {text}");
        say::line(format!(
            "{from} to {to}: killed {kills} times, then complete after {:.1} s more",
            begin.elapsed().as_secs_f64()
        ));
        let (again, repeated) = process::capture(&mut self.command(&arguments, data_dir), LIMIT)?;
        ensure!(
            again.success() && repeated.contains("was complete before"),
            "{from} to {to}, once more: {repeated}"
        );
        Ok(digests(&text))
    }

    /// Runs the program until it tells something, and kills it with SIGKILL then; tells whether it ran still.
    fn kill_at(&self, arguments: &[&str], sign: &str, data_dir: &Path) -> Result<bool> {
        let mut command = self.command(arguments, data_dir);
        let mut running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let errors = running.take_errors().context("no errors to read")?;
        for line in BufReader::new(errors).lines() {
            let line = line?;
            if line.starts_with("error") {
                bail!("{line}");
            }
            let is_told = line.starts_with("carried ") || line.starts_with("compared ");
            if is_told && line.contains(sign) {
                let runs = running.ended()?.is_none();
                // Dropping it is SIGKILL.
                drop(running);
                return Ok(runs);
            }
        }
        running.wait(LIMIT)?;
        Ok(false)
    }

    /// Checks that nobody can work on a store that is half filled.
    fn require_unusable(&self, to: &str, data_dir: &Path) -> Result<()> {
        let arguments = [
            "admin",
            "create",
            "--email",
            "ada@example.org",
            "--username",
            "ada",
        ];
        let mut command = self.command(&arguments, data_dir);
        if to != "mongodb" {
            command.env_remove("MONGODB_URI").env_remove("DB_NAME");
        }
        // A password is asked for first, and none is given: so one is piped in by a file.
        let password = self.folder.join("password");
        std::fs::write(&password, "correct horse battery staple\n")?;
        let (status, text) = capture_with_input(&mut command, &password)?;
        ensure!(
            !status && text.contains("isn't complete"),
            "a half filled store could be used: {text}"
        );
        Ok(())
    }

    /// Backs a store up, restores it elsewhere, and moves it once more to see what it holds.
    fn back_up(&self, data_dir: &Path, expected: &str) -> Result<()> {
        let (copy, restored) = (self.folder.join("copy"), self.folder.join("restored"));
        let begin = Instant::now();
        let to = copy.display().to_string();
        let (status, text) = process::capture(&mut self.command(&["backup", "--to", &to], data_dir), LIMIT)?;
        ensure!(status.success(), "backup: {text}");
        let backed_up = begin.elapsed();
        let restore = ["restore", "--from", &to];
        let (status, text) = process::capture(&mut self.command(&restore, &restored), LIMIT)?;
        ensure!(status.success(), "restore: {text}");
        let manifest: Value = serde_json::from_str(&std::fs::read_to_string(copy.join("manifest.json"))?)?;
        let lines = manifest
            .get("records")
            .and_then(Value::as_array)
            .context("a manifest names records")?;
        for line in lines {
            let digest = line
                .get("digest")
                .and_then(Value::as_str)
                .context("a record kind has a digest")?;
            ensure!(
                expected.contains(digest),
                "the backup holds something else: {line}"
            );
        }
        let (status, text) = process::capture(&mut self.command(&restore, &restored), LIMIT)?;
        ensure!(
            !status.success() && text.contains("isn't empty"),
            "it was restored over a store: {text}"
        );
        say::line(format!(
            "backed up in {:.1} s; restored, with all checks, {:.1} s later",
            backed_up.as_secs_f64(),
            (begin.elapsed() - backed_up).as_secs_f64()
        ));
        Ok(())
    }
}

/// Runs a program with a file as its input; gives whether it succeeded, and what it wrote.
fn capture_with_input(command: &mut Command, input: &Path) -> Result<(bool, String)> {
    let output = command.stdin(std::fs::File::open(input)?).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// The lines with numbers and digests of what the program shows.
fn digests(text: &str) -> String {
    let is_digest = |line: &&str| {
        let last = line.rsplit(' ').next().unwrap_or_default();
        last.len() == 64 && last.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let lines: Vec<&str> = text.lines().filter(is_digest).collect();
    lines.join("\n")
}
