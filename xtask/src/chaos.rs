//! `cargo xtask chaos`: a server that works on tasks is killed again and again, and must have lost nothing.
//!
//! The server is a real process, `chaos-server` of `bench`: all of ours with a plugin that leaves a line in a file for
//! each call. We keep our own log of what was acknowledged, and compare at the end.

mod plan;
mod ledger;
mod lives;
mod drive;
mod facts;
mod check;
mod shared;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::dice::Dice;
use crate::{install, process, say, tree};
use check::Verdict;
use drive::Driver;
use facts::Facts;
use ledger::Ledger;
use lives::Lives;

/// What the torment is told.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Chaos {
    /// Tasks that are submitted
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) tasks: u32,
    /// How often the server is killed with SIGKILL
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) kills: u32,
    /// Seed of what is submitted and of the moments of the kills; a random one when left out
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What the server stands on
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
    /// How many processes there are on the shared store, behind an nginx
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub(crate) processes: u8,
    /// Use this `chaos-server` instead of building the debug one
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) server: Option<PathBuf>,
}

/// What the server stands on.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// One process on its own files.
    Sqlite,
    /// Several processes on a MongoDB replica set and a Redis, which are killed, too.
    Mongodb,
}

impl Chaos {
    /// What every test run takes: less than a minute.
    pub(crate) fn small() -> Self {
        Self {
            tasks: 300,
            kills: 10,
            seed: None,
            store: Store::Sqlite,
            processes: 3,
            server: None,
        }
    }

    /// The same on a shared store: some two minutes, most of them waiting for leases to lapse.
    pub(crate) fn small_shared() -> Self {
        Self {
            tasks: 200,
            kills: 12,
            store: Store::Mongodb,
            ..Self::small()
        }
    }
}

/// How long a server lives on average.
const MEAN_LIFE: Duration = Duration::from_millis(250);

/// How long everything may take to come to its end once nobody kills any more.
const SETTLING_LIMIT: Duration = Duration::from_secs(180);

/// How long a few tasks may take that were due before the start.
const QUIET_LIMIT: Duration = Duration::from_secs(17);

/// How long the look at the closed store may take.
const VERIFY_LIMIT: Duration = Duration::from_secs(300);

/// How many threads submit at the same time.
const SUBMITTERS: usize = 4;

/// Submits, kills, restarts, and checks what became of everything.
///
/// # Errors
/// Fails when a promise was broken; the data is kept then, and its place and the seed are printed.
pub(crate) fn run(settings: &Chaos) -> Result<()> {
    let seed = settings.seed.map_or_else(random_seed, Ok)?;
    say::line(format!(
        "seed {seed}: {} tasks, {} kills",
        settings.tasks, settings.kills
    ));
    let binary = match &settings.server {
        Some(given) => given.canonicalize()?,
        None => {
            install::debug_server()?;
            install::built("debug", "chaos-server")?
        }
    };
    let folder = tree::scratch("chaos")?;
    let (outcome, more) = match settings.store {
        Store::Sqlite => (torment(settings, seed, &binary, &folder), String::new()),
        Store::Mongodb => (
            shared::torment(settings, seed, &binary, &folder),
            format!(" --store mongodb --processes {}", settings.processes),
        ),
    };
    let again = format!(
        "again: cargo xtask chaos --tasks {} --kills {} --seed {seed}{more}; its data: {}",
        settings.tasks,
        settings.kills,
        folder.display()
    );
    match outcome {
        Ok(verdict) if verdict.violations.is_empty() => {
            fs::remove_dir_all(&folder)?;
            Ok(())
        }
        Ok(verdict) => bail!("{} promises broken; {again}", verdict.violations.len()),
        Err(reason) => Err(reason.context(again)),
    }
}

/// The whole run, up to the verdict, which is printed.
fn torment(settings: &Chaos, seed: u64, binary: &Path, folder: &Path) -> Result<Verdict> {
    let mut dice = Dice::new(seed);
    let batches = plan::make(settings.tasks, &mut dice.split());
    let ledger = Ledger::new(&batches);
    let mut lives = Lives::begin(binary, folder, dice.split())?;
    let life = MEAN_LIFE * (settings.kills + 1);
    let driver = Driver::begin(lives.stage(), &ledger, &batches, life)?;
    let settled_in = under_load(&driver, &mut dice, |everything_is_sent| {
        kill_and_settle(settings, &mut lives, &driver, everything_is_sent)
    })?;
    start_quietly(&mut lives, &driver)?;
    let facts = Facts::gather(&lives.stage(), &driver.admin())?;
    let starts = lives.slowest_start();
    let kills = lives.end()?;
    let (odd, told) = driver.odd_answers();
    let mut verdict = check::all(&batches, &ledger.into_entries(), &facts, &kills, &[0]);
    verdict.violations.extend(odd);
    verdict.violations.extend(verify(binary, folder)?);
    say::line(format!("clients were answered {told}"));
    verdict.say(settled_in, starts);
    Ok(verdict)
}

/// Lets clients submit, call off and look until the torment is over; gives what that gives.
fn under_load<T>(
    driver: &Driver<'_>,
    dice: &mut Dice,
    torment: impl FnOnce(&dyn Fn() -> bool) -> Result<T>,
) -> Result<T> {
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|_| dice.split())
            .map(|dice| scope.spawn(move || driver.submit(is_over, dice)))
            .collect();
        let canceller = scope.spawn(|| driver.cancel(is_over));
        for dice in [dice.split(), dice.split()] {
            scope.spawn(move || driver.watch(is_over, dice));
        }
        let outcome = torment(&|| {
            canceller.is_finished() && submitters.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Kills as often as it was told, then waits for the end of all that was begun; gives how long that took.
fn kill_and_settle(
    settings: &Chaos,
    lives: &mut Lives<'_>,
    driver: &Driver<'_>,
    everything_is_sent: &dyn Fn() -> bool,
) -> Result<Duration> {
    for number in 0..settings.kills {
        driver.allow(number, settings.kills);
        lives.kill_and_restart()?;
        if (number + 1).is_multiple_of(50) {
            say::line(format!("{} kills", number + 1));
        }
    }
    driver.allow(settings.kills, settings.kills);
    settle(driver, everything_is_sent, || lives.require_alive())
}

/// Waits for the end of all that was begun; gives how long that took.
fn settle(
    driver: &Driver<'_>,
    everything_is_sent: &dyn Fn() -> bool,
    mut require_alive: impl FnMut() -> Result<()>,
) -> Result<Duration> {
    let begin = Instant::now();
    let mut has_ended_schedule = false;
    loop {
        if everything_is_sent() {
            if !has_ended_schedule {
                driver.end_schedule()?;
                has_ended_schedule = true;
            }
            if driver.unfinished()? == 0 {
                return Ok(begin.elapsed());
            }
        }
        require_alive()?;
        if begin.elapsed() > SETTLING_LIMIT {
            bail!(
                "{} tasks haven't ended {} s after the last kill (I11)",
                driver.unfinished()?,
                SETTLING_LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Starts a server on tasks that are due and that nobody announces to it: they must be done all the same.
fn start_quietly(lives: &mut Lives<'_>, driver: &Driver<'_>) -> Result<()> {
    lives.restart_without_worker()?;
    driver.submit_quietly()?;
    lives.restart_with_worker()?;
    let begin = Instant::now();
    while driver.unfinished()? > 0 {
        lives.require_alive()?;
        if begin.elapsed() > QUIET_LIMIT {
            bail!("what was due before the start is not done (I11)");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Looks at the closed store with the server's own version of the database; gives what is wrong with it.
fn verify(binary: &Path, folder: &Path) -> Result<Vec<String>> {
    let report = folder.join("verify.txt");
    let mut command = Command::new(binary);
    command
        .arg("verify")
        .arg(folder.join("data/store.sqlite3"))
        .stdout(File::create(&report)?);
    let verified = process::run(&mut command, VERIFY_LIMIT);
    let text = fs::read_to_string(&report)?;
    if verified.is_ok() && text.trim() == "clean" {
        return Ok(Vec::new());
    }
    let mut found: Vec<String> = text.lines().map(|line| format!("the store: {line}")).collect();
    found.extend(verified.err().map(|reason| format!("{reason:#}")));
    Ok(found)
}

fn random_seed() -> Result<u64> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("no random seed")?;
    Ok(u32::from_be_bytes(bytes).into())
}
