//! How long a start takes, and how much an idle server holds.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::{contenders, figures, machine};
use crate::say;

/// How many starts the median is taken of.
const STARTS: u32 = 10;

/// What was measured.
pub(super) struct Startup {
    /// From the start of the process to its first 200, with a new data directory: the secrets and the store
    /// are made.
    pub(super) fresh: Duration,
    /// The same with a data directory that is there.
    pub(super) existing: Duration,
    /// Resident memory 2 s after the start.
    pub(super) idle_bytes: u64,
}

/// Starts the server ten times with a new data directory and ten times with an existing one.
pub(super) fn measure(binary: &Path, folder: &Path) -> Result<Startup> {
    let mut fresh = Vec::new();
    let mut existing = Vec::new();
    for number in 0..STARTS {
        let home = folder.join(number.to_string());
        fs::create_dir_all(&home)?;
        for times in [&mut fresh, &mut existing] {
            let server = contenders::start(binary, &home)?;
            times.push(server.started_in);
            server.stop()?;
        }
    }
    let server = contenders::start(binary, &folder.join("0"))?;
    thread::sleep(Duration::from_secs(2));
    let idle_bytes = machine::memory_bytes(server.pid())?;
    server.stop()?;
    let fresh = figures::median_time(fresh.into_iter());
    let existing = figures::median_time(existing.into_iter());
    say::line(format!(
        "median of {STARTS} starts: {fresh:.1?} fresh, {existing:.1?} existing"
    ));
    Ok(Startup {
        fresh,
        existing,
        idle_bytes,
    })
}
