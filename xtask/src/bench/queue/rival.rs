//! `BullMQ` on a Redis server of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bench::queue::figures::{Rate, Wait};
use crate::process::{self, Running};
use crate::{install, subject};

/// How long Redis may take to start, and to end.
const REDIS_LIMIT: Duration = Duration::from_secs(20);

/// How long one phase may take.
const PHASE_LIMIT: Duration = Duration::from_secs(180);

/// When Redis makes durable what it was told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Durability {
    /// Before it answers, as we do.
    Always,
    /// Once a second, as `BullMQ` recommends: the last second may be lost.
    EverySecond,
}

impl Durability {
    /// The value of Redis's setting `appendfsync`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
        }
    }
}

/// A Redis server, and the script that drives `BullMQ` on it.
pub(super) struct Rival {
    pub(super) durability: Durability,
    redis: Running,
    address: SocketAddr,
    scripts: PathBuf,
}

impl Rival {
    /// Starts Redis on a private port with an empty folder.
    pub(super) fn start(durability: Durability, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let scripts = install::bullmq()?;
        let address = subject::free_address()?;
        let log = File::create(folder.join("redis.log"))?;
        let mut command = install::redis_server()?;
        command.current_dir(folder).arg("--dir").arg(folder);
        command.args(["--port", &address.port().to_string()]);
        command.args(["--bind", &Ipv4Addr::LOCALHOST.to_string()]);
        command.args(["--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", durability.name()]);
        command.args(["--maxmemory-policy", "noeviction"]);
        command.stdout(log.try_clone()?).stderr(log);
        let mut rival = Self {
            durability,
            redis: Running::start(&mut command)?,
            address,
            scripts,
        };
        rival.await_ready()?;
        Ok(rival)
    }

    /// Adds jobs, so many at the same time.
    pub(super) fn enqueue(&self, seconds: u32, in_flight: u32) -> Result<Rate> {
        Rate::read(&self.phase("enqueue", &[seconds, in_flight])?)
    }

    /// Does everything that waits.
    pub(super) fn process(&self, concurrency: u32) -> Result<Rate> {
        Rate::read(&self.phase("process", &[concurrency])?)
    }

    /// Measures from adding a job to its start.
    pub(super) fn latency(&self, rate: u32, seconds: u32) -> Result<Wait> {
        Wait::read(&self.phase("latency", &[rate, seconds])?)
    }

    fn phase(&self, name: &str, numbers: &[u32]) -> Result<String> {
        let mut command = Command::new("node");
        command.current_dir(&self.scripts).arg("queue-bench.js");
        command.arg(self.address.port().to_string()).arg(name);
        command.args(numbers.iter().map(ToString::to_string));
        process::read(&mut command, PHASE_LIMIT)
    }

    /// Waits for an answer. Redis ends when its port is taken, so the answer is ours while it runs.
    fn await_ready(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !answers(self.address) {
            if let Some(status) = self.redis.ended()? {
                bail!("redis-server ended at its start: {status}");
            }
            if begin.elapsed() > REDIS_LIMIT {
                bail!("redis-server doesn't answer");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Rival {
    /// Ends Redis in order; when it doesn't end, or isn't there any more, dropping the process does the rest.
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.redis.pid()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
            self.redis.wait(REDIS_LIMIT).ok();
        }
    }
}

fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok::<bool, std::io::Error>(&answer == b"+PONG")
    };
    ask().unwrap_or(false)
}
