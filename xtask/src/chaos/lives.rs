//! The lives of the server: started, killed at a random moment, and started again on the same data.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::dice::Dice;
use crate::subject::{Setup, Subject, random_secret};
use crate::{clock, say};

/// One of so many kills hits a server that is still starting.
const DURING_START_PERCENT: u64 = 20;

/// How many tasks the server does at once.
const WORKER_CONCURRENCY: &str = "16";

/// The file in the working directory of a process in which its plugin writes.
pub(super) const JOURNAL: &str = "journal.jsonl";

/// Where the server can be reached now; nowhere while it is dead.
pub(super) type Address = Arc<Mutex<Option<SocketAddr>>>;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// A process of the server, by its number.
    Process(usize),
    /// The primary of the shared store.
    Store,
    /// The shared memory.
    Redis,
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) victim: Victim,
    /// When it was dead; milliseconds since 1970.
    pub(super) at: i64,
    /// When it, or what takes its place, was ready again; the moment of its death where nobody looked.
    pub(super) back_at: i64,
    pub(super) was_starting: bool,
}

/// Where clients go, and what they may look at: whatever it is that answers there.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) address: Address,
    pub(super) admin_key: String,
    /// Where the plugin of each process writes its journal.
    pub(super) journals: Vec<PathBuf>,
}

impl Stage {
    /// Where requests go now.
    pub(super) fn current(&self) -> Result<SocketAddr> {
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        address.context("no server")
    }
}

/// A server, and how often it was killed.
pub(super) struct Lives<'a> {
    binary: &'a Path,
    folder: &'a Path,
    dice: Dice,
    admin_key: String,
    address: Address,
    server: Option<Subject>,
    worker_concurrency: &'static str,
    kills: Vec<Kill>,
    slowest_start: Duration,
}

impl<'a> Lives<'a> {
    /// Starts the first one, on new data.
    pub(super) fn begin(binary: &'a Path, folder: &'a Path, dice: Dice) -> Result<Self> {
        let mut lives = Self {
            binary,
            folder,
            dice,
            admin_key: random_secret()?,
            address: Address::default(),
            server: None,
            worker_concurrency: WORKER_CONCURRENCY,
            kills: Vec::new(),
            slowest_start: Duration::ZERO,
        };
        lives.start()?;
        Ok(lives)
    }

    /// Lets the server live for a moment, kills it, and starts the next one; that may be killed while it starts.
    pub(super) fn kill_and_restart(&mut self) -> Result<()> {
        if self.dice.percent(DURING_START_PERCENT) && !self.kills.is_empty() {
            // The running one goes first, then the one that starts: both count as one.
            thread::sleep(self.dice.millis(5, 200));
            self.kill(false)?;
            self.server = Some(self.launch()?);
            thread::sleep(self.dice.millis(5, 300));
            self.kill(true)?;
        } else {
            thread::sleep(self.dice.millis(5, 500));
            self.kill(false)?;
        }
        self.start()
    }

    /// Kills the server, and starts one that takes tasks and does none.
    pub(super) fn restart_without_worker(&mut self) -> Result<()> {
        self.kill(false)?;
        self.worker_concurrency = "0";
        self.start()
    }

    /// Kills the server, and starts one that does tasks.
    pub(super) fn restart_with_worker(&mut self) -> Result<()> {
        self.kill(false)?;
        self.worker_concurrency = WORKER_CONCURRENCY;
        self.start()
    }

    /// Fails when the server has ended by itself.
    pub(super) fn require_alive(&mut self) -> Result<()> {
        let server = self.server.as_mut().context("no server")?;
        server.require_running()
    }

    /// Where it can be met.
    pub(super) fn stage(&self) -> Stage {
        Stage {
            address: Address::clone(&self.address),
            admin_key: self.admin_key.clone(),
            journals: vec![self.folder.join(JOURNAL)],
        }
    }

    /// The longest time from a launch to a healthy answer.
    pub(super) fn slowest_start(&self) -> Duration {
        self.slowest_start
    }

    /// Stops the last one in order, and gives all kills, the earliest first.
    pub(super) fn end(mut self) -> Result<Vec<Kill>> {
        self.publish(None);
        if let Some(server) = self.server.take() {
            require_no_panic(&server)?;
            server.stop()?;
        }
        Ok(self.kills)
    }

    fn start(&mut self) -> Result<()> {
        let mut server = self.launch()?;
        server.await_health()?;
        self.slowest_start = self.slowest_start.max(server.started_in);
        self.publish(Some(server.address()));
        self.server = Some(server);
        Ok(())
    }

    fn launch(&self) -> Result<Subject> {
        Subject::launch(&Setup {
            binary: self.binary,
            folder: self.folder,
            settings: &[
                ("ADMIN_API_KEY", &self.admin_key),
                ("RATE_LIMIT_MAX_REQUESTS", "1000000000"),
                ("RATE_LIMIT_USER_MAX_REQUESTS", "1000000000"),
                ("WORKER_CONCURRENCY", self.worker_concurrency),
                ("BCRYPT_COST", "4"),
                ("LOG_LEVEL", "warn"),
            ],
        })
    }

    fn kill(&mut self, was_starting: bool) -> Result<()> {
        let server = self.server.take().context("no server to kill")?;
        require_no_panic(&server)?;
        server.kill()?;
        self.publish(None);
        let at = clock::now_millis();
        self.kills.push(Kill {
            victim: Victim::Process(0),
            at,
            back_at: at,
            was_starting,
        });
        Ok(())
    }

    fn publish(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

fn require_no_panic(server: &Subject) -> Result<()> {
    let logged = server.logged()?;
    if let Some(line) = logged.lines().find(|line| line.contains("panicked")) {
        bail!("the server logged a panic: {line}");
    }
    for line in logged.lines().filter(|line| line.contains("\"ERROR\"")).take(3) {
        say::line(format!("the server logged: {line}"));
    }
    Ok(())
}
