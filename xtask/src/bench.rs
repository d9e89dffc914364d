//! `cargo xtask bench`: the release build beside a bare axum server, in one run, with one load generator.

mod figures;
mod load;
mod machine;
mod contenders;
mod startup;
mod report;
mod queue;
mod mcp;
mod scale;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{install, process, say, tree};
use contenders::{Bare, Ours};
use figures::{Row, Sample};
use load::Load;

/// What the benchmark is told.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    subject: Option<Subject>,
    /// How often each scenario is driven; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Seconds of load in each round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Write the result into docs/performance.md
    #[arg(long)]
    write: bool,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
    /// Measure this program instead of building the release profile, for example an earlier build
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
}

/// What is measured in place of the requests.
#[derive(clap::Subcommand, Debug)]
enum Subject {
    #[command(about = "Measure the task queue beside BullMQ on a Redis server")]
    Queue(queue::Queue),
    #[command(
        about = "Measure calls over the Model Context Protocol beside bare axum and a minimal rmcp server"
    )]
    Mcp(mcp::Mcp),
    #[command(
        about = "Measure one, two and three processes on one MongoDB and one Redis, and count round trips"
    )]
    Scale(scale::Scale),
}

/// Connections that are kept busy, as the targets say.
const CONNECTIONS: u32 = 64;

/// Connections that sign in at the same time.
const LOGIN_CONNECTIONS: u32 = 16;

/// How long a release build may take.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);

/// Everything that one run measured.
struct Outcome {
    rows: Vec<Row>,
    logins_per_second: f64,
    hashes_per_second: f64,
    startup: startup::Startup,
    binary_bytes: u64,
    fsync: Duration,
}

/// Builds, measures, prints the table and the targets.
///
/// # Errors
/// Fails when a part can't be built or started, when any answer wasn't 2xx, and with `--strict` when a target is
/// missed.
pub(crate) fn run(settings: &Bench) -> Result<()> {
    match &settings.subject {
        Some(Subject::Queue(settings)) => return queue::run(settings),
        Some(Subject::Mcp(settings)) => return mcp::run(settings),
        Some(Subject::Scale(settings)) => return scale::run(settings),
        None => {}
    }
    install::wrk()?;
    let binary = build(settings)?;
    let folder = tree::scratch("bench")?;
    let outcome = measure(settings, &binary, &folder)?;
    let report = report::write(settings, &outcome)?;
    say::line(&report.text);
    if settings.write {
        report::update(&tree::root().join("docs/performance.md"), "bench", &report.text)?;
    }
    fs::remove_dir_all(&folder)?;
    if settings.strict && report.missed > 0 {
        bail!("{} targets missed", report.missed);
    }
    Ok(())
}

/// Builds what is measured, unless it was given, and returns its path.
fn build(settings: &Bench) -> Result<PathBuf> {
    let mut build = process::cargo();
    build.args(["build", "--release", "--package", "bench"]);
    if let Some(given) = &settings.server {
        process::run(&mut build, BUILD_LIMIT)?;
        return Ok(given.canonicalize()?);
    }
    process::run(build.args(["--package", "mcp-server"]), BUILD_LIMIT)?;
    install::built("release", "mcp-server")
}

fn measure(settings: &Bench, binary: &Path, folder: &Path) -> Result<Outcome> {
    say::section("starts and idle memory");
    let startup = startup::measure(binary, &folder.join("startup"))?;
    say::section("load");
    let bare = Bare::start(&install::built("release", "bare-axum")?)?;
    let ours = Ours::start(binary, &folder.join("server"))?;
    let rows = rounds(settings, &bare, &ours, folder)?;
    say::section("sign-in");
    let hashes_per_second = hashes(settings, &install::built("release", "bcrypt-limit")?)?;
    let login = ours.login(LOGIN_CONNECTIONS)?;
    let drive = load::drive(&login, settings.seconds.max(5), folder)?;
    ours.stop()?;
    let binary_bytes = fs::metadata(binary)?.len();
    let fsync = machine::fsync(folder)?;
    let logins_per_second = drive.per_second();
    Ok(Outcome {
        rows,
        logins_per_second,
        hashes_per_second,
        startup,
        binary_bytes,
        fsync,
    })
}

/// One request of ours and the bare one that it is compared with.
struct Pair {
    name: &'static str,
    bare: Load,
    ours: Load,
}

/// Drives every scenario in turn, bare and ours next to each other, so that a slow moment hits both.
fn rounds(settings: &Bench, bare: &Bare, ours: &Ours, folder: &Path) -> Result<Vec<Row>> {
    let pairs = [
        Pair {
            name: "`GET /health`",
            bare: bare.get(),
            ours: ours.health(),
        },
        Pair {
            name: "`POST /mcp/execute`, token",
            bare: bare.post(),
            ours: ours.execute_by_token(),
        },
        Pair {
            name: "`POST /mcp/execute`, API key",
            bare: bare.post(),
            ours: ours.execute_by_key(),
        },
        Pair {
            name: "`GET /mcp/history?limit=20`",
            bare: bare.get(),
            ours: ours.history(),
        },
    ];
    let mut rows: Vec<Row> = pairs.iter().map(|pair| Row::new(pair.name)).collect();
    warm_up(&pairs, folder)?;
    for round in 1..=settings.rounds {
        for (pair, row) in pairs.iter().zip(&mut rows) {
            row.bare
                .push(sample(&pair.bare, bare.pid(), settings.seconds, folder)?);
            row.ours
                .push(sample(&pair.ours, ours.pid(), settings.seconds, folder)?);
            let last = |samples: &[Sample]| samples.last().map_or(0.0, |sample| sample.per_second);
            let (theirs, own) = (last(&row.bare), last(&row.ours));
            say::line(format!(
                "round {round}, {}: bare {theirs:.0}/s, ours {own:.0}/s",
                pair.name
            ));
        }
    }
    Ok(rows)
}

fn warm_up(pairs: &[Pair], folder: &Path) -> Result<()> {
    for pair in pairs {
        load::drive(&pair.bare, 1, folder)?;
        load::drive(&pair.ours, 1, folder).with_context(|| pair.name)?;
    }
    Ok(())
}

/// Drives a server for some seconds, and measures what that took.
fn sample(load: &Load, pid: u32, seconds: u32, folder: &Path) -> Result<Sample> {
    let before = machine::cpu(pid)?;
    let drive = load::drive(load, seconds, folder)?;
    let busy = machine::cpu(pid)?.saturating_sub(before);
    Ok(Sample {
        per_second: drive.per_second(),
        p50: drive.p50,
        p99: drive.p99,
        cpu: busy.div_f64(drive.requests.max(1.0)),
        memory_bytes: machine::memory_bytes(pid)?,
    })
}

/// How many passwords a second this machine can check with all its cores and nothing else to do.
fn hashes(settings: &Bench, binary: &Path) -> Result<f64> {
    let seconds = settings.seconds.max(5);
    let mut command = std::process::Command::new(binary);
    let text = process::read(command.arg(seconds.to_string()), Duration::from_secs(180))?;
    text.trim().parse().context("bcrypt-limit printed no number")
}
