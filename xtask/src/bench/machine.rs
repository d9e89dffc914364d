//! What the operating system knows: CPU time, memory, and the machine itself. Linux only.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::bench::figures;
use crate::process;

/// CPU time that a process has used so far, user and system together, in steps of a clock tick (10 ms).
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; after it, fields 14 and 15 are the 12th and 13th.
    let (_, rest) = text.rsplit_once(')').context("an odd /proc/PID/stat")?;
    let ticks = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u32>)
        .sum::<Result<u32, _>>()?;
    let rate: u32 = read("getconf", &["CLK_TCK"])?.parse()?;
    Ok(Duration::from_secs(1) * ticks / rate)
}

/// Resident memory of a process.
pub(super) fn memory_bytes(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Waits until what was written before is on the disk, so that the next figure isn't about that.
pub(super) fn settle() -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(120);
    process::run(&mut Command::new("sync"), LIMIT)
}

/// The median time of writing one page and making it durable, where the benchmark's data lies.
pub(super) fn fsync(folder: &Path) -> Result<Duration> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    fs::remove_file(path)?;
    Ok(figures::median_time(times.into_iter()))
}

/// One line about the machine: cores, CPU, kernel, compiler.
pub(super) fn describe() -> Result<String> {
    let cores = thread::available_parallelism()?;
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let kernel = read("uname", &["-r"])?;
    let compiler = read("rustc", &["--version"])?;
    Ok(format!("{cores} cores ({model}), Linux {kernel}, {compiler}"))
}

/// Today's date in UTC.
pub(super) fn today() -> Result<String> {
    read("date", &["-u", "+%Y-%m-%d"])
}

fn read(program: &str, words: &[&str]) -> Result<String> {
    let text = process::read(Command::new(program).args(words), Duration::from_secs(10))?;
    Ok(text.trim().to_owned())
}
