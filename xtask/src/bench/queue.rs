//! `cargo xtask bench queue`: our task queue, empty and full, beside `BullMQ` on a Redis server, in one run.

mod figures;
mod inside;
mod outside;
mod rival;
mod takeover;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::bench::{BUILD_LIMIT, machine};
use crate::{install, process, say, tree};
use figures::{Ours, Rate, Theirs};
use inside::Inside;
use rival::{Durability, Rival};

/// What the benchmark of the queue is told.
#[derive(clap::Args, Debug)]
pub(crate) struct Queue {
    /// Scheduled tasks that wait while everything is measured again; 0 leaves that out
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    waiting: u32,
    /// How often enqueueing and processing are measured, ours and the other in turn; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Seconds of enqueueing in each round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=30))]
    seconds: u32,
    /// Take every step with the debug build, to see that it works: the figures mean nothing
    #[arg(long, conflicts_with = "write")]
    rehearse: bool,
    /// Measure ours alone
    #[arg(long)]
    alone: bool,
    /// Write the result into docs/performance.md
    #[arg(long)]
    write: bool,
    /// Fail when a target is missed
    #[arg(long)]
    strict: bool,
}

/// The programs that are measured.
struct Programs {
    server: PathBuf,
    queue_bench: PathBuf,
}

/// Everything that one run measured.
struct Outcome {
    empty: Ours,
    /// With the tasks that wait.
    full: Option<Ours>,
    /// How fast those were taken in, and what one needs on disk.
    fill: Option<Rate>,
    theirs: Vec<Theirs>,
    takeover: takeover::Takeover,
    fsync: Duration,
}

/// Builds, measures, prints the tables.
///
/// # Errors
/// Fails when a part can't be had, built or started, when a task or request failed, and with `--strict` when a target
/// is missed.
pub(super) fn run(settings: &Queue) -> Result<()> {
    install::wrk()?;
    let rivals = if settings.alone {
        Vec::new()
    } else {
        install::redis_server()?;
        vec![Durability::Always, Durability::EverySecond]
    };
    let programs = build(settings)?;
    let folder = tree::scratch("bench-queue")?;
    let outcome = measure(settings, &programs, &rivals, &folder)?;
    let report = report::write(settings, &outcome)?;
    say::line(&report.text);
    if settings.write {
        let document = tree::root().join("docs/performance.md");
        super::report::update(&document, "bench-queue", &report.text)?;
    }
    fs::remove_dir_all(&folder)?;
    if settings.strict && report.missed > 0 {
        bail!("{} targets missed", report.missed);
    }
    Ok(())
}

fn build(settings: &Queue) -> Result<Programs> {
    let profile = if settings.rehearse { "dev" } else { "release" };
    let folder = if settings.rehearse { "debug" } else { "release" };
    let mut build = process::cargo();
    build.args(["build", "--profile", profile]);
    build.args(["--package", "bench", "--package", "mcp-server"]);
    process::run(&mut build, BUILD_LIMIT)?;
    Ok(Programs {
        server: install::built(folder, "mcp-server")?,
        queue_bench: install::built(folder, "queue-bench")?,
    })
}

fn measure(settings: &Queue, programs: &Programs, rivals: &[Durability], folder: &Path) -> Result<Outcome> {
    let rivals = rivals
        .iter()
        .map(|durability| Rival::start(*durability, &folder.join(durability.name())))
        .collect::<Result<Vec<_>>>()?;
    say::section("an empty queue");
    let empty = Place::new(programs, folder.join("empty"))?;
    let (empty, theirs) = empty.measure(settings, &rivals)?;
    drop(rivals);
    say::section("take-over");
    let takeover = takeover::measure(&programs.server, &folder.join("takeover"))?;
    let (full, fill) = if settings.waiting > 0 {
        say::section(&format!("{} tasks waiting", settings.waiting));
        let full = Place::new(programs, folder.join("full"))?;
        let fill = full.inside.fill(settings.waiting)?;
        say::line(format!("filled at {:.0} tasks/s", fill.per_second));
        (Some(full.measure(settings, &[])?.0), Some(fill))
    } else {
        (None, None)
    };
    Ok(Outcome {
        empty,
        full,
        fill,
        theirs,
        takeover,
        fsync: machine::fsync(folder)?,
    })
}

/// A data directory of ours, which the server and the benchmark inside use in turn.
struct Place<'a> {
    server: &'a Path,
    folder: PathBuf,
    inside: Inside<'a>,
}

impl<'a> Place<'a> {
    fn new(programs: &'a Programs, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self {
            server: &programs.server,
            inside: Inside {
                program: &programs.queue_bench,
                data: folder.join("data"),
            },
            folder,
        })
    }

    /// Measures everything, and the rivals in turn with it.
    fn measure(&self, settings: &Queue, rivals: &[Rival]) -> Result<(Ours, Vec<Theirs>)> {
        let mut ours = Ours::default();
        let mut theirs: Vec<Theirs> = rivals
            .iter()
            .map(|rival| Theirs::of(rival.durability.name()))
            .collect();
        for round in 1..=settings.rounds {
            machine::settle()?;
            let http = outside::single(self.server, &self.folder, settings.seconds)?;
            let done = self.inside.process(100)?;
            let own = self.inside.enqueue(20_000, 50)?;
            let done_again = self.inside.process(100)?;
            say::line(format!(
                "round {round}, ours: enqueued {:.0}/s over HTTP, {:.0}/s in process; done {:.0}/s, {:.0}/s",
                http.per_second, own.per_second, done.per_second, done_again.per_second
            ));
            ours.enqueued_outside.push(http);
            ours.enqueued_inside.push(own);
            ours.done_100.extend([done, done_again]);
            for (rival, theirs) in rivals.iter().zip(&mut theirs) {
                machine::settle()?;
                theirs.enqueued.push(rival.enqueue(settings.seconds, 50)?);
                theirs.done.push(rival.process(100)?);
                say::line(format!("round {round}, {}", theirs.last_round()));
            }
        }
        self.measure_once(settings, &mut ours)?;
        for (rival, theirs) in rivals.iter().zip(&mut theirs) {
            machine::settle()?;
            theirs.wait = rival.latency(1_000, 5)?;
        }
        Ok((ours, theirs))
    }

    fn measure_once(&self, settings: &Queue, ours: &mut Ours) -> Result<()> {
        ours.bulk_outside = outside::bulk(self.server, &self.folder, settings.seconds)?;
        self.inside.process(100)?;
        ours.bulk_inside = self.inside.bulk(50_000)?;
        ours.done_100.push(self.inside.process(100)?);
        self.inside.enqueue(2_000, 50)?;
        ours.done_1 = self.inside.process(1)?;
        self.inside.enqueue(10_000, 50)?;
        ours.done_10 = self.inside.process(10)?;
        say::line(format!(
            "done one at a time {:.0}/s, ten at a time {:.0}/s",
            ours.done_1.per_second, ours.done_10.per_second
        ));
        machine::settle()?;
        ours.wait_100 = self.inside.latency(100, 5)?;
        ours.wait_1000 = self.inside.latency(1_000, 5)?;
        ours.lateness = self.inside.lateness(10_000, 4_000)?;
        say::line(format!(
            "from enqueued to started {:.0?} at p50, {:.0?} at p99; late by {:.1?} at p99",
            ours.wait_1000.p50, ours.wait_1000.p99, ours.lateness.p99
        ));
        Ok(())
    }
}
