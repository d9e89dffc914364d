//! The queue without HTTP: `queue-bench`, which works on a data directory as the server does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::bench::queue::figures::{Rate, Wait};
use crate::process;

/// How long one phase may take; filling takes longest.
const LIMIT: Duration = Duration::from_secs(600);

/// The program, and the data directory that it works on.
pub(super) struct Inside<'a> {
    pub(super) program: &'a Path,
    pub(super) data: PathBuf,
}

impl Inside<'_> {
    /// Submits tasks one by one.
    pub(super) fn enqueue(&self, count: u32, in_flight: u32) -> Result<Rate> {
        Rate::read(&self.phase("enqueue", &[count, in_flight])?)
    }

    /// Submits tasks a thousand at a time.
    pub(super) fn bulk(&self, count: u32) -> Result<Rate> {
        Rate::read(&self.phase("bulk", &[count])?)
    }

    /// Submits tasks a thousand at a time that only wait.
    pub(super) fn fill(&self, count: u32) -> Result<Rate> {
        Rate::read(&self.phase("fill", &[count])?)
    }

    /// Does everything that is due.
    pub(super) fn process(&self, concurrency: u32) -> Result<Rate> {
        Rate::read(&self.phase("process", &[concurrency])?)
    }

    /// Measures from the submission to the start.
    pub(super) fn latency(&self, rate: u32, seconds: u32) -> Result<Wait> {
        Wait::read(&self.phase("latency", &[rate, seconds])?)
    }

    /// Measures from the due time to the start.
    pub(super) fn lateness(&self, count: u32, millis: u32) -> Result<Wait> {
        Wait::read(&self.phase("lateness", &[count, millis])?)
    }

    fn phase(&self, name: &str, numbers: &[u32]) -> Result<String> {
        let mut command = Command::new(self.program);
        command.env_clear().arg(&self.data).arg(name);
        command.args(numbers.iter().map(ToString::to_string));
        process::read(&mut command, LIMIT)
    }
}
