//! `cargo xtask bench mcp`: calls of a tool over the Model Context Protocol, in both eras, beside a bare axum server and
//! beside a minimal server of another library, in one run.

mod contender;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::bench::contenders::{Bare, Other, Ours};
use crate::bench::figures::Sample;
use crate::bench::{BUILD_LIMIT, machine, sample};
use crate::{install, process, say, tree};
use contender::{Contender, Kind, Revision};

/// What the benchmark of the protocol is told.
#[derive(clap::Args, Debug)]
pub(crate) struct Mcp {
    /// How often each server is driven; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Seconds of load in each round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Take every step with the debug build, to see that it works: the figures mean nothing
    #[arg(long, conflicts_with = "write")]
    rehearse: bool,
    /// Measure the programs that were built before, as they are
    #[arg(long)]
    built: bool,
    /// Write the result into docs/performance.md
    #[arg(long)]
    write: bool,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
}

/// How many connections are kept busy: so few that nothing queues, and as many as in the other measurements.
const CONNECTIONS: [u32; 2] = [2, 64];

/// One server, spoken to in one way by so many connections, in all rounds.
struct Line {
    kind: Kind,
    connections: u32,
    samples: Vec<Sample>,
}

/// Everything that one run measured.
struct Outcome {
    lines: Vec<Line>,
    fsync: Duration,
}

/// The programs that are measured.
struct Programs {
    bare: PathBuf,
    rmcp: PathBuf,
    ours: PathBuf,
    unrecorded: PathBuf,
}

/// Builds, measures, prints the table and the targets.
///
/// # Errors
/// Fails when a part can't be built or started, when an answer wasn't what it must be, and with `--strict` when a target
/// is missed.
pub(super) fn run(settings: &Mcp) -> Result<()> {
    install::wrk()?;
    let programs = build(settings)?;
    let folder = tree::scratch("bench-mcp")?;
    let outcome = measure(settings, &programs, &folder)?;
    let report = report::write(settings, &outcome)?;
    say::line(&report.text);
    if settings.write {
        let document = tree::root().join("docs/performance.md");
        super::report::update(&document, "bench-mcp", &report.text)?;
    }
    fs::remove_dir_all(&folder)?;
    if settings.strict && report.missed > 0 {
        bail!("{} targets missed", report.missed);
    }
    Ok(())
}

/// Builds in two steps, since what the other library needs would change how ours is built.
fn build(settings: &Mcp) -> Result<Programs> {
    let (profile, folder) = if settings.rehearse {
        ("dev", "debug")
    } else {
        ("release", "release")
    };
    let parts = [&["bench", "mcp-server"] as &[&str], &["peers"]];
    for packages in parts.into_iter().filter(|_| !settings.built) {
        let mut build = process::cargo();
        build.args(["build", "--profile", profile]);
        for package in packages {
            build.args(["--package", package]);
        }
        process::run(&mut build, BUILD_LIMIT)?;
    }
    Ok(Programs {
        bare: install::built(folder, "bare-axum")?,
        rmcp: install::built(folder, "rmcp-server")?,
        ours: install::built(folder, "mcp-server")?,
        unrecorded: install::built(folder, "unrecorded-server")?,
    })
}

fn measure(settings: &Mcp, programs: &Programs, folder: &Path) -> Result<Outcome> {
    let bare = Bare::start(&programs.bare)?;
    let rmcp = Other::start(&programs.rmcp)?;
    let ours = Ours::start(&programs.ours, &folder.join("ours"))?;
    let unrecorded = Ours::start(&programs.unrecorded, &folder.join("unrecorded"))?;
    let mut contenders = vec![Contender::bare(&bare)];
    for revision in [Revision::Stateless, Revision::WithSession] {
        contenders.push(Contender::ours(&ours, revision, true)?);
        contenders.push(Contender::ours(&unrecorded, revision, false)?);
        contenders.push(Contender::rmcp(&rmcp, revision)?);
    }
    let lines = rounds(settings, &contenders, folder)?;
    ours.stop()?;
    unrecorded.stop()?;
    Ok(Outcome {
        lines,
        fsync: machine::fsync(folder)?,
    })
}

/// Drives every contender in turn, so that a slow moment hits all of them.
fn rounds(settings: &Mcp, contenders: &[Contender], folder: &Path) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        for contender in contenders {
            contender.drive(1, connections, folder)?;
            lines.push(Line {
                kind: contender.kind,
                connections,
                samples: Vec::new(),
            });
        }
    }
    for round in 1..=settings.rounds {
        for line in &mut lines {
            let contender = contenders.iter().find(|contender| contender.kind == line.kind);
            let Some(contender) = contender else { continue };
            let sample = contender.drive(settings.seconds, line.connections, folder)?;
            say::line(format!(
                "round {round}, {} connections, {}: {:.0}/s",
                line.connections,
                line.kind.title(),
                sample.per_second
            ));
            line.samples.push(sample);
        }
    }
    Ok(lines)
}

impl Contender {
    fn drive(&self, seconds: u32, connections: u32, folder: &Path) -> Result<Sample> {
        let mut load = self.load.clone();
        load.connections = connections;
        sample(&load, self.pid, seconds, folder)
    }
}
