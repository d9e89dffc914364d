//! Several processes on a shared store: each is killed now and then, and so are the store's primary and Redis.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::chaos::check::{self, Verdict};
use crate::chaos::drive::Driver;
use crate::chaos::facts::Facts;
use crate::chaos::ledger::Ledger;
use crate::chaos::lives::{JOURNAL, Kill, Stage, Victim};
use crate::chaos::{Chaos, plan, settle, under_load};
use crate::cluster::{Cluster, Plan};
use crate::dice::Dice;
use crate::{clock, say};

/// How long passes on average from one blow to the next.
const MEAN_LIFE: Duration = Duration::from_millis(2_500);

/// What every process is told.
const SETTINGS: [(&str, &str); 5] = [
    ("RATE_LIMIT_MAX_REQUESTS", "1000000000"),
    ("RATE_LIMIT_USER_MAX_REQUESTS", "1000000000"),
    ("WORKER_CONCURRENCY", "16"),
    ("BCRYPT_COST", "4"),
    ("LOG_LEVEL", "warn"),
];

/// The whole run, up to the verdict, which is printed.
pub(super) fn torment(settings: &Chaos, seed: u64, binary: &Path, folder: &Path) -> Result<Verdict> {
    let mut dice = Dice::new(seed);
    let batches = plan::make(settings.tasks, &mut dice.split());
    let ledger = Ledger::new(&batches);
    let mut cluster = Cluster::begin(&Plan {
        binary,
        folder,
        processes: settings.processes.into(),
        are_alike: false,
        settings: &SETTINGS,
    })?;
    let stage = Stage {
        address: Arc::new(Mutex::new(Some(cluster.address()))),
        admin_key: cluster.admin_key.clone(),
        journals: cluster.folders().map(|folder| folder.join(JOURNAL)).collect(),
    };
    let life = MEAN_LIFE * (settings.kills + 1);
    let driver = Driver::begin(stage.clone(), &ledger, &batches, life)?;
    let mut blows = Blows {
        cluster: &mut cluster,
        dice: dice.split(),
        kills: Vec::new(),
        step_downs: 0,
    };
    let settled_in = under_load(&driver, &mut dice, |everything_is_sent| {
        for number in 0..settings.kills {
            driver.allow(number, settings.kills);
            blows.strike()?;
        }
        driver.allow(settings.kills, settings.kills);
        settle(&driver, everything_is_sent, || blows.cluster.require_alive())
    });
    let Blows {
        kills, step_downs, ..
    } = blows;
    let settled_in = settled_in.map_err(|reason| reason.context(cluster.tails()))?;
    let facts = Facts::gather(&stage, &driver.admin())?;
    let (starts, workers) = (cluster.slowest_start(), cluster.workers());
    cluster.end()?;
    let (odd, told) = driver.odd_answers();
    let mut verdict = check::all(&batches, &ledger.into_entries(), &facts, &kills, &workers);
    verdict.violations.extend(odd);
    say::line(format!(
        "clients were answered {told}; the primary stepped down {step_downs} times"
    ));
    verdict.say(settled_in, starts);
    Ok(verdict)
}

/// What is done to the parts.
struct Blows<'a> {
    cluster: &'a mut Cluster,
    dice: Dice,
    kills: Vec<Kill>,
    step_downs: u32,
}

impl Blows<'_> {
    /// Waits a moment, kills one part or two at about the same time, and brings back what was killed.
    fn strike(&mut self) -> Result<()> {
        thread::sleep(self.dice.millis(100, 2_000));
        let mut killed = vec![self.kill_something()?];
        if self.dice.percent(30) {
            thread::sleep(self.dice.millis(0, 300));
            killed.push(self.kill_something()?);
        }
        thread::sleep(self.dice.millis(0, 1_500));
        let was_starting = self.dice.percent(20) && self.kill_a_start(&killed)?;
        if killed.iter().any(|(victim, _)| *victim == Victim::Redis) && self.dice.percent(50) {
            self.cluster.redis.forget()?;
        }
        self.cluster.start_killed()?;
        let back_at = clock::now_millis();
        self.kills.extend(killed.into_iter().map(|(victim, at)| Kill {
            victim,
            at,
            back_at,
            was_starting: was_starting && matches!(victim, Victim::Process(_)),
        }));
        Ok(())
    }

    /// Kills a part, or lets the store's primary step down; gives which part and when.
    fn kill_something(&mut self) -> Result<(Victim, i64)> {
        let victim = match self.dice.between(0, 99) {
            0..=64 => {
                let last = u64::try_from(self.cluster.processes())?.saturating_sub(1);
                let number = usize::try_from(self.dice.between(0, last))?;
                self.cluster.kill(number)?;
                Victim::Process(number)
            }
            65..=74 => {
                // Nothing dies; but for as long as an election takes there is no store.
                self.step_downs += u32::from(self.cluster.store.step_down());
                Victim::Store
            }
            75..=84 => {
                self.cluster.store.kill_primary()?;
                Victim::Store
            }
            _ => {
                self.cluster.redis.kill()?;
                Victim::Redis
            }
        };
        Ok((victim, clock::now_millis()))
    }

    /// Starts processes that were killed, and kills them again before they are ready; tells whether there were any.
    fn kill_a_start(&mut self, killed: &[(Victim, i64)]) -> Result<bool> {
        let mut found = false;
        for (victim, _) in killed {
            if let Victim::Process(number) = victim {
                self.cluster.launch(*number)?;
                thread::sleep(self.dice.millis(5, 300));
                self.cluster.kill(*number)?;
                found = true;
            }
        }
        Ok(found)
    }
}
