//! What the operating system says of this process.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};
use parking_lot::Mutex;

/// How old an answer of the system may be: with many connections, counting open files takes milliseconds.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What the system said last, and when.
#[derive(Debug, Default)]
pub(super) struct ProcessWatch(Mutex<Option<(Instant, ProcessUsage)>>);

impl ProcessWatch {
    /// What this process takes of the machine, at most a second ago.
    pub(super) fn usage(&self) -> ProcessUsage {
        let mut last = self.0.lock();
        if let Some((when, usage)) = *last
            && when.elapsed() < MAX_AGE
        {
            return usage;
        }
        let usage = ProcessUsage::read();
        *last = Some((Instant::now(), usage));
        usage
    }
}

/// What this process takes of the machine; zeros where the system doesn't tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessUsage {
    /// Memory that is in use now, in bytes.
    pub(super) resident_bytes: u64,
    /// Time of all processors that was used since the start, in seconds.
    pub(super) cpu_seconds: f64,
    /// Threads.
    pub(super) threads: u64,
    /// Open files and sockets.
    pub(super) open_files: u64,
}

impl ProcessUsage {
    /// Asks the system: three small reads and a call.
    fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default();
            line.split_ascii_whitespace()
                .next()
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let cpu_seconds = getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
            seconds(usage.user_time()) + seconds(usage.system_time())
        });
        Self {
            resident_bytes: field("VmRSS:").saturating_mul(1024),
            cpu_seconds,
            threads: field("Threads:"),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of processor time stay below 2^53 for 285 years"
)]
fn seconds(time: TimeVal) -> f64 {
    time.num_microseconds() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_of_everything() {
        let usage = ProcessUsage::read();
        assert!(usage.resident_bytes > 0 && usage.cpu_seconds > 0.0, "{usage:?}");
        assert!(usage.threads > 0 && usage.open_files > 0, "{usage:?}");
    }
}
