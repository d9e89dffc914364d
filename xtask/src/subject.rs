//! The server under test: a real process on a private port with a data directory of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::Running;
use crate::request::Request;

/// How long a start may take before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a graceful stop may take: the grace that the server itself allows, and a little.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// How a server is started.
pub(crate) struct Setup<'a> {
    /// The program.
    pub(crate) binary: &'a Path,
    /// A folder for its data and its log; also its working directory, so that no stray `.env` is read.
    pub(crate) folder: &'a Path,
    /// Environment variables beyond address and data directory. Nothing else is inherited.
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// A running server.
pub(crate) struct Subject {
    running: Running,
    address: SocketAddr,
    log: PathBuf,
    launched_at: Instant,
    /// From just before the process was started to its first answer with status 200.
    pub(crate) started_in: Duration,
}

impl Subject {
    /// Starts a server and waits, at most 30 s, until `/health` answers 200.
    pub(crate) fn start(setup: &Setup<'_>) -> Result<Self> {
        let mut subject = Self::launch(setup)?;
        subject.await_health()?;
        Ok(subject)
    }

    /// Starts a server without waiting for it.
    ///
    /// The port was free a moment before; should another process take it, the server can't listen,
    /// ends, and waiting for its health fails: an answer is only believed while our own process lives.
    pub(crate) fn launch(setup: &Setup<'_>) -> Result<Self> {
        Self::launch_at(setup, free_address()?)
    }

    /// Starts a server at an address, which must be free, without waiting for it.
    pub(crate) fn launch_at(setup: &Setup<'_>, address: SocketAddr) -> Result<Self> {
        let log = setup.folder.join("server.log");
        let output = File::create(&log)?;
        let mut command = Command::new(setup.binary);
        command.arg("serve").current_dir(setup.folder).env_clear();
        command
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string());
        command
            .env("DATA_DIR", setup.folder.join("data"))
            .env("LOG_FORMAT", "json");
        command.envs(setup.settings.iter().copied());
        command.stdout(output.try_clone()?).stderr(output);
        let launched_at = Instant::now();
        let running = Running::start(&mut command)?;
        Ok(Self {
            running,
            address,
            log,
            launched_at,
            started_in: Duration::ZERO,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Everything that it has logged so far.
    pub(crate) fn logged(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Fails, with the end of its log, when the server has ended.
    pub(crate) fn require_running(&mut self) -> Result<()> {
        match self.running.ended()? {
            None => Ok(()),
            Some(status) => bail!("the server ended by itself: {status}\n{}", self.tail()),
        }
    }

    /// Asks the server to stop and waits for it; anything but exit code 0 is a failure.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.require_running()?;
        kill(Pid::from_raw(self.pid().try_into()?), Signal::SIGTERM)?;
        let status = self.running.wait(STOP_LIMIT).context("the server didn't stop")?;
        if !status.success() {
            bail!("the server stopped with {status}\n{}", self.tail());
        }
        Ok(())
    }

    /// Ends the server at once, as SIGKILL does: nothing of it runs on, and nothing is put in order.
    ///
    /// # Errors
    /// Fails when it had ended by itself before.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.require_running()?;
        drop(self.running);
        Ok(())
    }

    /// The last lines of the log, for a failure message.
    pub(crate) fn tail(&self) -> String {
        let logged = self.logged().unwrap_or_default();
        let lines: Vec<&str> = logged.lines().collect();
        lines
            .get(lines.len().saturating_sub(15)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// Waits, at most 30 s since the launch, until `/health` answers 200.
    pub(crate) fn await_health(&mut self) -> Result<()> {
        loop {
            if let Some(status) = self.running.ended()? {
                bail!("the server ended at its start: {status}\n{}", self.tail());
            }
            if Request::get("/health")
                .send(self.address)
                .is_ok_and(|reply| reply.status == 200)
            {
                self.started_in = self.launched_at.elapsed();
                return Ok(());
            }
            if self.launched_at.elapsed() > START_LIMIT {
                bail!(
                    "no healthy answer within {} s\n{}",
                    START_LIMIT.as_secs(),
                    self.tail()
                );
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// A loopback address whose port is free at this moment.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// 256 random bits as 64 hexadecimal digits, from the operating system.
pub(crate) fn random_secret() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
