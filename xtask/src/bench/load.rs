//! `wrk`, the load generator: what it sends and what it reports.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::process;

/// One kind of request and how many connections repeat it.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) url: String,
    pub(super) method: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
    pub(super) connections: u32,
}

/// What one drive gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drive {
    /// Requests that were answered.
    pub(super) requests: f64,
    /// From the first request to the last answer.
    pub(super) took: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Drive {
    /// Answered requests a second.
    pub(super) fn per_second(&self) -> f64 {
        self.requests / self.took.as_secs_f64()
    }
}

/// The closing line that our script makes `wrk` print. Times are in microseconds.
#[derive(Deserialize)]
struct Closing {
    requests: f64,
    micros: f64,
    p50: f64,
    p99: f64,
    status: u64,
    broken: u64,
    timeout: u64,
}

/// No hook looks at single answers, since that would cost the load generator more than sending the request:
/// `wrk` itself counts every status above 399, and neither server redirects.
const CLOSING: &str = r#"
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"status":%d,"broken":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
"#;

/// Drives a server for `seconds` with one `wrk` thread.
///
/// # Errors
/// Fails when a connection broke, a request timed out, or an answer wasn't 2xx: such figures mean nothing.
pub(super) fn drive(load: &Load, seconds: u32, folder: &Path) -> Result<Drive> {
    let script = folder.join("load.lua");
    fs::write(&script, lua(load)?)?;
    let mut command = Command::new("wrk");
    command.args([
        "-t1",
        &format!("-c{}", load.connections),
        &format!("-d{seconds}s"),
        "--timeout",
        "10s",
    ]);
    command
        .arg("-s")
        .arg(&script)
        .arg(&load.url)
        .stderr(Stdio::null());
    let text = process::read(&mut command, Duration::from_secs(u64::from(seconds) + 30))?;
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .context("wrk printed no summary")?;
    let closing: Closing = serde_json::from_str(line)?;
    if closing.status + closing.broken + closing.timeout > 0 || text.contains("Non-2xx") {
        bail!("{} {}: not every answer was 2xx: {line}", load.method, load.url);
    }
    let micros = |value: f64| Duration::from_secs_f64(value.max(0.0) / 1e6);
    let took = micros(closing.micros);
    Ok(Drive {
        requests: closing.requests,
        took,
        p50: micros(closing.p50),
        p99: micros(closing.p99),
    })
}

/// The script for `wrk`: the request, which it builds once, and the closing line.
fn lua(load: &Load) -> Result<String> {
    let mut script = String::new();
    writeln!(script, "wrk.method = {}", quote(load.method))?;
    for (name, value) in &load.headers {
        writeln!(script, "wrk.headers[{}] = {}", quote(name), quote(value))?;
    }
    if let Some(body) = &load.body {
        writeln!(script, "wrk.body = {}", quote(body))?;
    }
    script.push_str(CLOSING);
    Ok(script)
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
