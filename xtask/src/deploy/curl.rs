//! `curl`, for what our own requests don't speak: TLS, HTTP/2, and answers that go on.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::nginx::Nginx;
use crate::process::{self, Running};

/// How long an answer, or the next line of one, may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A command for a path of the server behind nginx, over TLS, with its certificate as the only authority.
pub(super) fn over_tls(nginx: &Nginx, path: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--no-buffer", "--max-time", "60"]);
    command.arg("--cacert").arg(nginx.certificate());
    command.arg(format!("https://{}{path}", nginx.tls_address()));
    command
}

/// Lets it write something about the answer after the answer itself, and returns all it wrote.
pub(super) fn tell(mut command: Command, format: &str) -> Result<String> {
    process::read(command.args(["--write-out", format]), LIMIT)
}

/// An answer that is read line by line while it comes.
pub(super) struct Stream {
    lines: Receiver<String>,
    // Ends with it.
    _running: Running,
}

impl Stream {
    /// Starts a request.
    pub(super) fn open(mut command: Command) -> Result<Self> {
        let mut running = Running::start(command.stdout(Stdio::piped()))?;
        let output = running.take_output().context("no output to read")?;
        let (sender, lines) = sync_channel(1024);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            lines,
            _running: running,
        })
    }

    /// Waits for a line that contains a text, at most half a minute for each line before it.
    pub(super) fn await_line(&self, wanted: &str) -> Result<String> {
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.with_context(|| format!("the stream brought nothing with {wanted}"))?;
            if line.contains(wanted) {
                return Ok(line);
            }
        }
    }
}

/// Writes a body where `curl` can read it, since a list of processes would show it otherwise.
pub(super) fn with_body(command: &mut Command, folder: &Path, body: &str) -> Result<()> {
    let file = folder.join("body.json");
    std::fs::write(&file, body)?;
    command.arg("--data-binary").arg(format!("@{}", file.display()));
    Ok(())
}
