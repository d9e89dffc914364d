//! How long tasks lie when the server that worked on them is killed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::bench::queue::outside;
use crate::clock;
use crate::request::Request;

/// How many tasks the server is at when it is killed.
const TASKS: usize = 20;

/// How often it is killed.
const KILLS: u64 = 3;

/// How long all tasks may take to be started.
const LIMIT: Duration = Duration::from_secs(30);

/// What was measured, over all kills and tasks.
pub(super) struct Takeover {
    /// From the kill to the start of the next attempt, the time to start the server again included.
    pub(super) slowest: Duration,
    /// From the launch of the server to its first healthy answer, the longest.
    pub(super) start: Duration,
}

/// Kills a server at work, starts it again, and looks when each task was begun anew.
pub(super) fn measure(server: &Path, folder: &Path) -> Result<Takeover> {
    fs::create_dir_all(folder)?;
    let mut found = Takeover {
        slowest: Duration::ZERO,
        start: Duration::ZERO,
    };
    let (mut subject, token) = outside::start(server, folder, "100")?;
    let bearer = format!("Bearer {token}");
    let task = json!({
        "title": "bench", "plugin": "sample", "action": "sleep", "payload": { "ms": 60_000 }, "maxStalls": 100,
    });
    let body = json!({ "tasks": vec![task; TASKS] });
    let submitted = Request::post("/api/v1/tasks/bulk", &body)
        .header("Authorization", &bearer)
        .send(subject.address())?;
    if submitted.status != 201 {
        bail!(
            "the tasks were not accepted: {} {}",
            submitted.status,
            submitted.body
        );
    }
    await_attempt(subject.address(), &bearer, 1)?;
    for kill in 1..=KILLS {
        subject.kill()?;
        let killed_at = clock::now_millis();
        let (next, _) = outside::start(server, folder, "100")?;
        let begun = await_attempt(next.address(), &bearer, kill + 1)?;
        let last = begun.iter().max().copied().unwrap_or(i64::MAX);
        let millis = u64::try_from(last - killed_at).unwrap_or_default();
        found.slowest = found.slowest.max(Duration::from_millis(millis));
        found.start = found.start.max(next.started_in);
        subject = next;
    }
    subject.kill()?;
    Ok(found)
}

/// Waits until all tasks are in their attempt with this number; gives when each began it.
fn await_attempt(address: SocketAddr, bearer: &str, attempt: u64) -> Result<Vec<i64>> {
    let begin = Instant::now();
    loop {
        let reply = Request::get("/api/v1/tasks?status=in-progress&limit=100")
            .header("Authorization", bearer)
            .send(address)?;
        let tasks = reply
            .body
            .pointer("/data")
            .and_then(Value::as_array)
            .with_context(|| format!("no list of tasks: {} {}", reply.status, reply.body))?;
        let begun: Vec<i64> = tasks
            .iter()
            .filter(|task| task.pointer("/attempt").and_then(Value::as_u64) == Some(attempt))
            .filter_map(|task| clock::parse_millis(task.pointer("/startedAt")?.as_str()?))
            .collect();
        if begun.len() == TASKS {
            return Ok(begun);
        }
        if begin.elapsed() > LIMIT {
            bail!("only {} of {TASKS} tasks are in attempt {attempt}", begun.len());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
