//! Other programs: started, waited for with a limit, and never left behind.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::say;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A running program that is killed and reaped when it goes out of scope.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program without standard input.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("can't start {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The program's standard output, once, when it was piped.
    pub(crate) fn take_output(&mut self) -> Option<impl Read + use<>> {
        self.0.stdout.take()
    }

    /// The program's standard error, once, when it was piped.
    pub(crate) fn take_errors(&mut self) -> Option<impl Read + use<>> {
        self.0.stderr.take()
    }

    /// Says how the program ended, or `None` while it runs.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits for the end of the program; after `limit` it is killed and this fails.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                self.kill();
                bail!("still running after {} s: killed", limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    fn kill(&mut self) {
        // Both fail only when the program is gone already, which is what is wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program with our own output; fails when it fails or outlives `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let name = describe(command);
    let status = Running::start(command)?
        .wait(limit)
        .with_context(|| name.clone())?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// Runs a program and returns its standard output; fails when it fails or outlives `limit`.
pub(crate) fn read(command: &mut Command, limit: Duration) -> Result<String> {
    let name = describe(command);
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let output = running.take_output().context("no output to read")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        BufReader::new(output).read_to_string(&mut text).map(|_| text)
    });
    let status = running.wait(limit).with_context(|| name.clone())?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    match reader.join() {
        Ok(text) => Ok(text?),
        Err(_) => bail!("{name}: its output could not be read"),
    }
}

/// Runs a program and returns how it ended, with everything that it wrote on either output.
pub(crate) fn capture(command: &mut Command, limit: Duration) -> Result<(ExitStatus, String)> {
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let output = running.take_output().context("no output to read")?;
    let errors = running.take_errors().context("no errors to read")?;
    thread::scope(|scope| {
        let output = scope.spawn(|| collect(output));
        let errors = scope.spawn(|| collect(errors));
        let status = running.wait(limit);
        let text = [output, errors].map(|reader| reader.join().unwrap_or_default());
        Ok((status?, text.concat()))
    })
}

/// Everything that a stream gives until its end.
fn collect(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before a failure is worth showing.
    stream.read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a program, prints its output line by line and shows each line to `look` as well.
///
/// Both of its outputs end up on our standard output, in the order in which they arrive.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    look: impl Fn(&str) + Sync,
) -> Result<ExitStatus> {
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let output = running.take_output().context("no output to read")?;
    let errors = running.take_errors().context("no errors to read")?;
    thread::scope(|scope| {
        scope.spawn(|| echo(output, &look));
        scope.spawn(|| echo(errors, &look));
        running.wait(limit)
    })
}

fn echo(stream: impl Read, look: &impl Fn(&str)) {
    for text in BufReader::new(stream).split(b'\n') {
        let Ok(bytes) = text else { return };
        let text = String::from_utf8_lossy(&bytes);
        say::line(&text);
        look(&text);
    }
}

/// Tells whether a program can be started on this machine.
pub(crate) fn is_installed(program: &str) -> bool {
    let quiet = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    quiet.is_ok()
}

/// The features that everything is built and tested with, so that nothing is compiled twice.
pub(crate) const FEATURES: [&str; 2] = ["--features", "backplane/redis,stores/mongodb"];

/// Cargo, started at the root of the repository, where the toolchain of the project is chosen.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(crate::tree::root());
    command
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    if text.len() > 120 {
        command.get_program().to_string_lossy().into_owned()
    } else {
        text
    }
}
