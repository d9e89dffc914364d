//! What is measured of a queue.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use crate::bench::figures::{median, median_time};

/// How fast something was done, and what it cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    /// CPU time for each, of all processes that took part.
    pub(super) cpu: Duration,
    /// Bytes on disk for each; zero when that wasn't measured.
    pub(super) bytes: f64,
}

/// How long something took to begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) longest: Duration,
}

/// The line that a phase prints which measures a rate.
#[derive(Deserialize)]
struct RateLine {
    count: f64,
    seconds: f64,
    cpu_micros: f64,
    #[serde(default)]
    bytes: f64,
}

/// The line that a phase prints which measures waits.
#[derive(Deserialize)]
struct WaitLine {
    p50_micros: f64,
    p99_micros: f64,
    max_micros: f64,
}

impl Rate {
    /// Reads the line that a phase printed.
    pub(super) fn read(text: &str) -> Result<Self> {
        let line: RateLine = serde_json::from_str(text.trim())?;
        let count = line.count.max(1.0);
        Ok(Self {
            per_second: line.count / line.seconds,
            cpu: micros(line.cpu_micros / count),
            bytes: line.bytes / count,
        })
    }

    /// The median of each figure.
    pub(super) fn median(rates: &[Self]) -> Self {
        Self {
            per_second: median(rates.iter().map(|rate| rate.per_second)),
            cpu: median_time(rates.iter().map(|rate| rate.cpu)),
            bytes: median(rates.iter().map(|rate| rate.bytes)),
        }
    }
}

impl Wait {
    /// Reads the line that a phase printed.
    pub(super) fn read(text: &str) -> Result<Self> {
        let line: WaitLine = serde_json::from_str(text.trim())?;
        Ok(Self {
            p50: micros(line.p50_micros),
            p99: micros(line.p99_micros),
            longest: micros(line.max_micros),
        })
    }
}

fn micros(value: f64) -> Duration {
    Duration::from_secs_f64(value.max(0.0) / 1e6)
}

/// Our queue.
#[derive(Default)]
pub(super) struct Ours {
    /// Over HTTP, one task in a request, 50 requests in flight.
    pub(super) enqueued_outside: Vec<Rate>,
    /// Over HTTP, a thousand tasks in a request.
    pub(super) bulk_outside: Rate,
    /// Without HTTP, 50 in flight.
    pub(super) enqueued_inside: Vec<Rate>,
    pub(super) bulk_inside: Rate,
    pub(super) done_1: Rate,
    pub(super) done_10: Rate,
    pub(super) done_100: Vec<Rate>,
    /// From enqueued to started, at 100 a second.
    pub(super) wait_100: Wait,
    pub(super) wait_1000: Wait,
    /// Of 10,000 tasks that are due within 4 s.
    pub(super) lateness: Wait,
}

/// `BullMQ` with one way to keep what it was told.
pub(super) struct Theirs {
    pub(super) name: &'static str,
    pub(super) enqueued: Vec<Rate>,
    pub(super) done: Vec<Rate>,
    pub(super) wait: Wait,
}

impl Theirs {
    /// No rounds yet.
    pub(super) fn of(name: &'static str) -> Self {
        Self {
            name,
            enqueued: Vec::new(),
            done: Vec::new(),
            wait: Wait::default(),
        }
    }

    /// The last round, for reading.
    pub(super) fn last_round(&self) -> String {
        let last = |rates: &[Rate]| rates.last().map_or(0.0, |rate| rate.per_second);
        format!(
            "BullMQ, {}: enqueued {:.0}/s, done {:.0}/s",
            self.name,
            last(&self.enqueued),
            last(&self.done)
        )
    }
}
