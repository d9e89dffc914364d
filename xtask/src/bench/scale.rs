//! `cargo xtask bench scale`: one, two and three processes of the server on one MongoDB and one Redis, what they do in a
//! second, what that costs each part, and how many round trips it takes.

mod bson;
mod mongo;
mod redis;
mod figures;
mod crowd;
mod watch;
mod jobs;
mod model;
mod report;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::bench::{BUILD_LIMIT, machine};
use crate::services::{Services, Wanted};
use crate::{install, process, say, tree};
use crowd::{Ask, Crowd, Shared};
use figures::{Line, Round, Stage};
use watch::Watch;

/// What the benchmark of several processes is told.
#[derive(clap::Args, Debug)]
pub(crate) struct Scale {
    #[command(flatten)]
    wanted: Wanted,
    /// With how many processes at most
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    processes: u32,
    /// How often each kind of request is driven; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Seconds of load in each round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// How many tasks are submitted and done
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: u32,
    /// Take every step with the debug build, to see that it works: only the round trips mean something
    #[arg(long, conflicts_with = "write")]
    rehearse: bool,
    /// Measure the program that was built before, as it is
    #[arg(long)]
    built: bool,
    /// Write the result into docs/performance.md
    #[arg(long)]
    write: bool,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
}

/// Connections that are kept busy, of all processes together.
const CONNECTIONS: u32 = 64;

/// How long is counted what processes do that nobody asks anything.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// How long requests are waited for that were under way when a load ended.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Everything that one run measured.
struct Outcome {
    stages: Vec<Stage>,
    fsync: Duration,
    is_replica_set: bool,
}

/// Builds, starts the parts, measures, prints the tables and the targets.
///
/// # Errors
/// Fails when a part can't be had, built or started, when any answer wasn't 2xx, and with `--strict` when a target is
/// missed.
pub(super) fn run(settings: &Scale) -> Result<()> {
    install::wrk()?;
    let binary = build(settings)?;
    let services = Services::start(&settings.wanted)?;
    let shared = Shared {
        mongodb_uri: variable(&services, "MONGODB_URI")?,
        redis_url: variable(&services, "REDIS_URL")?,
    };
    let folder = tree::scratch("bench-scale")?;
    let outcome = measure(settings, &binary, &shared, &folder)?;
    drop(services);
    let report = report::write(settings, &outcome)?;
    say::line(&report.text);
    if settings.write {
        let document = tree::root().join("docs/performance.md");
        super::report::update(&document, "bench-scale", &report.text)?;
    }
    fs::remove_dir_all(&folder)?;
    if settings.strict && report.missed > 0 {
        bail!("{} targets missed", report.missed);
    }
    Ok(())
}

fn build(settings: &Scale) -> Result<PathBuf> {
    let (profile, folder) = if settings.rehearse {
        ("dev", "debug")
    } else {
        ("release", "release")
    };
    if !settings.built {
        let mut build = process::cargo();
        build.args(["build", "--profile", profile, "--package", "mcp-server"]);
        process::run(&mut build, BUILD_LIMIT)?;
    }
    install::built(folder, "mcp-server")
}

fn variable(services: &Services, wanted: &str) -> Result<String> {
    let mut variables = services.variables.iter();
    let found = variables.find(|(name, _)| *name == wanted);
    let text = found.and_then(|(_, value)| AsRef::<OsStr>::as_ref(value).to_str());
    text.map(str::to_owned).with_context(|| format!("no {wanted}"))
}

fn measure(settings: &Scale, binary: &Path, shared: &Shared, folder: &Path) -> Result<Outcome> {
    let mut watch = Watch::begin(shared)?;
    let mut stages = Vec::new();
    for processes in 1..=settings.processes {
        say::section(&count_of(processes));
        let crowd = Crowd::start(binary, &folder.join(processes.to_string()), shared, processes)?;
        let stage = measure_stage(settings, &crowd, (&mut watch, shared))?;
        crowd.stop(&mut watch.mongo)?;
        stages.push(stage);
    }
    Ok(Outcome {
        stages,
        fsync: machine::fsync(folder)?,
        is_replica_set: shared.mongodb_uri.contains("replicaSet"),
    })
}

/// So many processes, in words.
fn count_of(processes: u32) -> String {
    match processes {
        1 => "1 process".to_owned(),
        more => format!("{more} processes"),
    }
}

fn measure_stage(settings: &Scale, crowd: &Crowd, (watch, shared): (&mut Watch, &Shared)) -> Result<Stage> {
    let processes = u32::try_from(crowd.servers.len())?;
    let each = (CONNECTIONS / processes).max(1);
    let idle = watch.idle(crowd, IDLE_TIME)?;
    let mut lines = Vec::new();
    for ask in Ask::ALL {
        crowd.drive(ask, each, 1).with_context(|| ask.title())?;
        let mut rounds = Vec::new();
        for number in 1..=settings.rounds {
            machine::settle()?;
            let before = watch.cpu(crowd)?;
            let driven = crowd.drive(ask, each, settings.seconds)?;
            say::line(format!(
                "round {number}, {}: {:.0}/s",
                ask.title(),
                driven.per_second
            ));
            rounds.push(Round {
                per_second: driven.per_second,
                p50: driven.p50,
                p99: driven.p99,
                cpu: watch.cpu(crowd)?.each(before, driven.requests),
            });
        }
        let mut counted = |each| {
            let counted = watch.count(|| {
                let driven = crowd.drive(ask, each, settings.seconds)?;
                thread::sleep(AFTERMATH);
                Ok(driven)
            })?;
            // On each connection, one request was under way when the time was over: it was served, too.
            let served = counted.outcome.requests + f64::from(each * processes);
            anyhow::Ok(counted.each(served, &idle))
        };
        lines.push(Line {
            name: ask.title(),
            rounds,
            busy: counted(each)?,
            alone: counted(1)?,
            is_call: ask != Ask::History,
        });
    }
    let connections = watch.connections()?;
    let jobs = jobs::measure(crowd, (watch, shared), settings.tasks, &idle)?;
    say::line(format!(
        "jobs: {:.0}/s, {:.2} round trips for each claim ({:?})",
        jobs.per_second,
        jobs.claims.trips(),
        jobs.claims
    ));
    Ok(Stage {
        processes,
        idle,
        lines,
        jobs,
        connections,
    })
}
