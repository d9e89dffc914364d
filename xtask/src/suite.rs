//! `cargo xtask test`: gets what the tests need and runs them all.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::chaos::Chaos;
use crate::clients::Clients;
use crate::conformance::Conformance;
use crate::deploy::Deploy;
use crate::fuzz_api::FuzzApi;
use crate::migrate::Migrate;
use crate::services::{Services, Wanted};
use crate::{
    chaos, clients, cluster, conformance, deploy, fuzz_api, install, migrate, process, say, spoken, tree,
};

/// What the test command is told.
#[derive(clap::Args, Debug)]
pub(crate) struct Test {
    /// Leave out the API fuzzer, which needs Python 3.11 or later and takes minutes
    #[arg(long)]
    skip_fuzz: bool,
    /// Run every test even after one has failed, and treat a missing tool as a failure (set in CI)
    #[arg(long, env = "CI", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    ci: bool,
    /// Run the contract suites and the server's tests on every store with every backplane, and nothing else
    #[arg(long)]
    matrix: bool,
    #[command(flatten)]
    services: Wanted,
    #[command(flatten)]
    fuzz: FuzzApi,
}

/// How many simulations of the queue are begun anew: none when a crate is tested alone.
const SIMULATIONS: &str = "80";

/// How long all tests, with their compilation, may take.
const TESTS_LIMIT: Duration = Duration::from_secs(3600);

/// What a server of the tests stands on, in the words of the variables that say it to them.
#[derive(Clone, Copy)]
struct Ground {
    store: &'static str,
    backplane: &'static str,
}

/// The first of two that the server's tests always run on; the other is the one of the workspace's tests.
const SHARED: Ground = Ground {
    store: "mongodb",
    backplane: "redis",
};

/// Modules of the server's tests that meet no store and no backplane, or hardly, or choose theirs by themselves.
const WITHOUT_GROUND: [&str; 13] = [
    "backup",
    "config",
    "crash",
    "docs",
    "edge",
    "endurance",
    "faults",
    "malformed",
    "mcp::docs",
    "openapi",
    "readme",
    "scale",
    "scale_access",
];

/// How many tests passed and failed, counted from what the test programs print.
#[derive(Default)]
struct Tally {
    passed: AtomicU64,
    failed: AtomicU64,
}

/// Runs unit, integration and documentation tests, then the commands that documents name, then a small
/// round of chaos, then what other people wrote: the conformance suite, MCP clients, the fuzzer.
///
/// # Errors
/// Fails at the first section that fails, and names it.
pub(crate) fn run(settings: &Test) -> Result<()> {
    let tally = Tally::default();
    let outcome = if settings.matrix {
        matrix(settings, &tally)
    } else {
        sections(settings, &tally)
    };
    let (passed, failed) = (
        tally.passed.load(Ordering::Relaxed),
        tally.failed.load(Ordering::Relaxed),
    );
    match &outcome {
        Ok(()) => say::section("All sections passed"),
        Err(reason) => say::section(&format!("FAILED: {reason:#}")),
    }
    say::line(format!("{passed} passed, {failed} failed"));
    outcome
}

fn sections(settings: &Test, tally: &Tally) -> Result<()> {
    section("unit and integration tests", || tests(settings, tally))?;
    section("documentation tests", || {
        counted(cargo(settings, &["test", "--doc", "--workspace"]), tally)
    })?;
    section("commands in documents", spoken::run)?;
    section("deployment", || deploy::run(&Deploy::default()))?;
    section("chaos", || chaos::run(&Chaos::small()))?;
    if can_be_had(settings, "MongoDB, Redis and nginx", cluster::get)? {
        section("chaos on a shared store", || chaos::run(&Chaos::small_shared()))?;
    }
    if can_be_had(settings, "the conformance suite", || {
        install::conformance().map(drop)
    })? {
        section("conformance", || conformance::run(&Conformance::default()))?;
    }
    if can_be_had(settings, "the MCP clients", install::clients)? {
        section("MCP clients", || clients::run(&Clients::default()))?;
    }
    if settings.skip_fuzz {
        say::line("SKIPPED: API fuzzing, as asked");
        return Ok(());
    }
    if can_be_had(settings, "the API fuzzer", || install::schemathesis().map(drop))? {
        section("API fuzzing", || fuzz_api::run(&settings.fuzz))?;
    }
    Ok(())
}

/// Tells whether a tool is there, and says so when it isn't and so its section is left out; in CI that is a failure.
fn can_be_had(settings: &Test, name: &str, get: impl FnOnce() -> Result<()>) -> Result<bool> {
    match get() {
        Ok(()) => Ok(true),
        Err(reason) if settings.ci => Err(reason.context(format!("{name} can't be had"))),
        Err(reason) => {
            say::line(format!("SKIPPED: {name} can't be had here: {reason:#}"));
            Ok(false)
        }
    }
}

fn section(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    say::section(name);
    let begin = Instant::now();
    work().map_err(|reason| reason.context(name.to_owned()))?;
    say::line(format!("{name}: done in {} s", begin.elapsed().as_secs()));
    Ok(())
}

/// Runs them beside a MongoDB and a Redis server, and those of the server once more on both; without these, what needs
/// them says that it is skipped.
fn tests(settings: &Test, tally: &Tally) -> Result<()> {
    let mut services = None;
    can_be_had(settings, "MongoDB and Redis", || {
        services = Some(Services::start(&settings.services)?);
        Ok(())
    })?;
    let mut command = test_command(settings, &Choice::Everything);
    command.env("SIMULATIONS", SIMULATIONS);
    let Some(services) = &services else {
        return counted(command, tally);
    };
    command.envs(services.variables.iter().cloned());
    counted(command, tally)?;
    say::section("the server on MongoDB and Redis");
    on_ground(settings, tally, services, SHARED)
}

/// Runs the contract suites of stores and backplanes, and the server's tests, on every combination of them.
fn matrix(settings: &Test, tally: &Tally) -> Result<()> {
    let stores: [(&str, &[&str]); 2] = [
        ("a MongoDB server", &["sqlite", "mongodb"]),
        ("a MongoDB replica set", &["mongodb"]),
    ];
    for (name, stores) in stores {
        let wanted = Wanted::anew(name.ends_with("set"));
        let services = Services::start(&wanted)?;
        section(&format!("contracts, beside {name}"), || {
            let mut command = test_command(settings, &Choice::Contracts);
            command.envs(services.variables.iter().cloned());
            counted(command, tally)
        })?;
        for &store in stores {
            for backplane in ["local", "redis"] {
                let ground = Ground { store, backplane };
                section(
                    &format!("the server on {store} and {backplane}, beside {name}"),
                    || on_ground(settings, tally, &services, ground),
                )?;
            }
        }
    }
    section("migration", || migrate::run(&Migrate::small()))
}

/// Runs those tests of the server that meet a store or a backplane.
fn on_ground(settings: &Test, tally: &Tally, services: &Services, ground: Ground) -> Result<()> {
    let mut command = if process::is_installed("cargo-nextest") {
        test_command(settings, &Choice::Server)
    } else {
        server_tests(settings)?
    };
    command.envs(services.variables.iter().cloned());
    command.env("TEST_STORE", ground.store);
    command.env("TEST_BACKPLANE", ground.backplane);
    counted(command, tally)
}

/// The tests of the server as the program that they are: cargo would build other libraries for one package alone.
fn server_tests(settings: &Test) -> Result<Command> {
    let words = [
        "test",
        "--workspace",
        "--tests",
        "--no-run",
        "--message-format",
        "json",
    ];
    let built = process::read(&mut cargo(settings, &words), TESTS_LIMIT)?;
    let program = built
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message.pointer("/target/name") == Some(&json!("it")))
        .filter(|message| {
            let manifest = message.pointer("/manifest_path").and_then(Value::as_str);
            manifest.is_some_and(|path| path.ends_with("crates/server/Cargo.toml"))
        })
        .find_map(|message| Some(message.pointer("/executable")?.as_str()?.to_owned()));
    let mut command = Command::new(program.context("the tests of the server were not built")?);
    command.current_dir(tree::root().join("crates/server"));
    for module in WITHOUT_GROUND {
        command.args(["--skip", &format!("{module}::")]);
    }
    Ok(command)
}

/// Which tests are run.
enum Choice {
    Everything,
    /// What every store and every backplane must do.
    Contracts,
    /// The server's tests that meet either.
    Server,
}

impl Choice {
    /// In the language of nextest.
    fn filter(&self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::Contracts => Some("package(stores) | package(backplane)".to_owned()),
            Self::Server => {
                let modules = WITHOUT_GROUND.join("|");
                Some(format!(
                    "package(mcp-server) & kind(test) - test(/^({modules})::/)"
                ))
            }
        }
    }

    /// The packages, in the words of cargo.
    fn packages(&self) -> &'static [&'static str] {
        match self {
            Self::Everything => &["--workspace"],
            Self::Contracts => &["-p", "stores", "-p", "backplane"],
            Self::Server => &["-p", "mcp-server"],
        }
    }
}

fn test_command(settings: &Test, choice: &Choice) -> Command {
    if process::is_installed("cargo-nextest") {
        let profile = if settings.ci { "ci" } else { "default" };
        let words = [
            "nextest",
            "run",
            "--workspace",
            "--profile",
            profile,
            "--color",
            "never",
        ];
        let mut command = cargo(settings, &words);
        if let Some(filter) = choice.filter() {
            command.args(["-E", &filter]);
        }
        return command;
    }
    let mut command = cargo(settings, &["test"]);
    command
        .args(choice.packages())
        .args(["--lib", "--bins", "--tests"]);
    if settings.ci {
        command.arg("--no-fail-fast");
    }
    command
}

fn cargo(settings: &Test, words: &[&str]) -> Command {
    let mut command = process::cargo();
    command.args(words).args(process::FEATURES);
    if settings.ci {
        command.arg("--locked");
    }
    command
}

fn counted(mut command: Command, tally: &Tally) -> Result<()> {
    let status = process::watch(&mut command, TESTS_LIMIT, |line| tally.count(line))?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

impl Tally {
    /// Adds the numbers of a closing line, of either test runner; any other line counts nothing.
    fn count(&self, line: &str) {
        let is_closing = line.starts_with("test result:") || line.trim_start().starts_with("Summary [");
        if is_closing {
            self.passed
                .fetch_add(number_before(line, "passed"), Ordering::Relaxed);
            let failed = number_before(line, "failed") + number_before(line, "timed out");
            self.failed.fetch_add(failed, Ordering::Relaxed);
        }
    }
}

/// The number that stands right before `word`, or 0.
fn number_before(line: &str, word: &str) -> u64 {
    let before = line.split(word).next().filter(|before| before.len() < line.len());
    let last = before.and_then(|text| text.split_whitespace().next_back());
    last.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(lines: &[&str]) -> (u64, u64) {
        let tally = Tally::default();
        lines.iter().for_each(|line| tally.count(line));
        (tally.passed.into_inner(), tally.failed.into_inner())
    }

    #[test]
    fn closing_lines_of_cargo_test_add_up() {
        let lines = [
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        assert_eq!(tally(&lines), (12, 2));
    }

    #[test]
    fn the_summary_of_nextest_is_counted() {
        let line =
            "     Summary [   3.141s] 9 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 4 skipped";
        assert_eq!(tally(&[line]), (6, 3));
    }

    #[test]
    fn lines_of_tests_count_nothing() {
        assert_eq!(
            tally(&[
                "test three_passed ... ok",
                "        PASS [   0.1s] xtask 5 passed"
            ]),
            (0, 0)
        );
    }
}
