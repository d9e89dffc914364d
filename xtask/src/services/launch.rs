//! A server on a private port, from its start to its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::Running;

/// How long a server may take to start, and to end.
const LIMIT: Duration = Duration::from_secs(30);

/// A server that was started here. It ends, in order if it can, when this goes out of scope.
pub(super) struct Service {
    /// Where clients find it.
    pub(super) uri: String,
    log: PathBuf,
    running: Running,
}

/// What is started, and how it is known to be ready.
pub(super) struct Plan<'a> {
    /// The server, told its port, to listen on the loopback address only, and to log on its standard output.
    pub(super) command: Command,
    /// Its data, its working directory and its log.
    pub(super) folder: &'a Path,
    /// What it logs when it takes connections.
    pub(super) ready: &'a str,
    /// Where clients find it.
    pub(super) uri: String,
}

impl Service {
    /// Starts a server and waits until its own log says that it is ready: whoever else might have taken its port
    /// writes no such line there.
    pub(super) fn start(plan: Plan<'_>) -> Result<Self> {
        let Plan {
            mut command,
            folder,
            ready,
            uri,
        } = plan;
        fs::create_dir_all(folder)?;
        let log = folder.join("log");
        let output = File::create(&log)?;
        command.current_dir(folder);
        command.stdout(output.try_clone()?).stderr(output);
        let mut service = Self {
            uri,
            log,
            running: Running::start(&mut command)?,
        };
        service.await_line(ready)?;
        Ok(service)
    }

    fn await_line(&mut self, ready: &str) -> Result<()> {
        let begin = Instant::now();
        loop {
            let logged = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
            if logged.contains(ready) {
                return Ok(());
            }
            if let Some(status) = self.running.ended()? {
                bail!("{} ended at its start: {status}\n{}", self.uri, tail(&logged));
            }
            if begin.elapsed() > LIMIT {
                bail!("{} isn't ready\n{}", self.uri, tail(&logged));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Service {
    /// Ends it at once, as SIGKILL does.
    ///
    /// # Errors
    /// Fails, with the end of its log, when it had ended by itself before.
    pub(super) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.running.ended()? {
            let logged = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
            bail!("{} ended by itself: {status}\n{}", self.uri, tail(&logged));
        }
        kill(Pid::from_raw(self.running.pid().try_into()?), Signal::SIGKILL)?;
        self.running.wait(LIMIT)?;
        Ok(())
    }
}

impl Drop for Service {
    /// When it doesn't end, dropping the process does the rest.
    fn drop(&mut self) {
        let runs = self.running.ended().is_ok_and(|ended| ended.is_none());
        if let (true, Ok(pid)) = (runs, i32::try_from(self.running.pid())) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
            self.running.wait(LIMIT).ok();
        }
    }
}

/// The last lines of a log.
fn tail(logged: &str) -> String {
    let lines: Vec<&str> = logged.lines().collect();
    let first = lines.len().saturating_sub(10);
    lines.get(first..).unwrap_or_default().join("\n")
}
