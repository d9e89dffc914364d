//! What is measured of several processes on one database.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bench::figures::{median, median_time};

/// CPU time, user and system together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// Of all processes of the server.
    pub(super) servers: Duration,
    pub(super) database: Duration,
    pub(super) redis: Duration,
}

impl Cpu {
    /// What was used since `before`, for each of `count`.
    pub(super) fn each(self, before: Self, count: f64) -> Self {
        let each = |now: Duration, before: Duration| now.saturating_sub(before).div_f64(count.max(1.0));
        Self {
            servers: each(self.servers, before.servers),
            database: each(self.database, before.database),
            redis: each(self.redis, before.redis),
        }
    }

    fn median(all: &[Self]) -> Self {
        Self {
            servers: median_time(all.iter().map(|cpu| cpu.servers)),
            database: median_time(all.iter().map(|cpu| cpu.database)),
            redis: median_time(all.iter().map(|cpu| cpu.redis)),
        }
    }
}

/// One round of load.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// For each request.
    pub(super) cpu: Cpu,
}

impl Round {
    /// The median of each figure, taken on its own.
    pub(super) fn median(rounds: &[Self]) -> Self {
        let cpu: Vec<Cpu> = rounds.iter().map(|round| round.cpu).collect();
        Self {
            per_second: median(rounds.iter().map(|round| round.per_second)),
            p50: median_time(rounds.iter().map(|round| round.p50)),
            p99: median_time(rounds.iter().map(|round| round.p99)),
            cpu: Cpu::median(&cpu),
        }
    }
}

/// Round trips for each of something, by the name of the command.
#[derive(Clone, Debug, Default)]
pub(super) struct Trips {
    pub(super) database: BTreeMap<String, f64>,
    pub(super) redis: BTreeMap<String, f64>,
    /// How many documents of the database were inserted, changed or deleted.
    pub(super) documents: f64,
}

/// Commands that change documents; all others read.
const WRITES: [&str; 4] = ["insert", "update", "delete", "findAndModify"];

/// What is less is the error of subtracting what idle processes do.
const NEGLIGIBLE: f64 = 0.005;

impl Trips {
    /// Round trips to the database that write.
    pub(super) fn writes(&self) -> f64 {
        self.sum(|name| WRITES.contains(&name))
    }

    /// Round trips to the database that don't.
    pub(super) fn reads(&self) -> f64 {
        self.sum(|name| !WRITES.contains(&name))
    }

    /// Round trips to Redis.
    pub(super) fn cached(&self) -> f64 {
        self.redis.values().sum()
    }

    /// Every command that counts, for reading.
    pub(super) fn listed(commands: &BTreeMap<String, f64>) -> String {
        let counted = commands.iter().filter(|(_, count)| **count >= NEGLIGIBLE);
        let listed: Vec<String> = counted
            .map(|(name, count)| format!("{count:.2} `{name}`"))
            .collect();
        if listed.is_empty() {
            return "none".to_owned();
        }
        listed.join(", ")
    }

    fn sum(&self, is_wanted: impl Fn(&str) -> bool) -> f64 {
        let wanted = self.database.iter().filter(|(name, _)| is_wanted(name));
        wanted.map(|(_, count)| count).sum()
    }
}

/// One kind of request, with so many processes.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) rounds: Vec<Round>,
    /// While many requests are in flight, so that some share a round trip.
    pub(super) busy: Trips,
    /// While each process has one request at a time.
    pub(super) alone: Trips,
    /// Whether it is the call that has targets.
    pub(super) is_call: bool,
}

/// Jobs, submitted and done.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    pub(super) enqueued_per_second: f64,
    /// From the first submission to the last end.
    pub(super) per_second: f64,
    pub(super) cpu: Cpu,
    pub(super) trips: Trips,
    /// Counted in a run of its own.
    pub(super) claims: Claims,
}

/// What claims took, of all that found something to take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claims {
    /// Looks at the queue.
    pub(super) looks: f64,
    /// Changes that took something.
    pub(super) takes: f64,
    /// Changes that came to nothing, since another process was faster.
    pub(super) losses: f64,
    /// Readings of what was taken.
    pub(super) readings: f64,
    /// Changes that let due jobs take their turns, and continued answers.
    pub(super) others: f64,
    pub(super) tasks: f64,
}

impl Claims {
    /// Round trips for each claim, whether it got something or not.
    pub(super) fn trips(&self) -> f64 {
        self.all() / (self.takes + self.losses).max(1.0)
    }

    /// Round trips for each batch that was got: those of claims that got nothing are shared out among them.
    pub(super) fn trips_per_batch(&self) -> f64 {
        self.all() / self.takes.max(1.0)
    }

    fn all(&self) -> f64 {
        self.looks + self.takes + self.losses + self.readings + self.others
    }

    /// Tasks in each batch that was got.
    pub(super) fn tasks_per_batch(&self) -> f64 {
        self.tasks / self.takes.max(1.0)
    }

    /// The part of claims that got nothing.
    pub(super) fn lost(&self) -> f64 {
        self.losses / (self.takes + self.losses).max(1.0)
    }
}

/// What processes do that nobody asks anything, in a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle {
    pub(super) trips: Trips,
    pub(super) cpu: Cpu,
}

/// Everything measured with so many processes.
pub(super) struct Stage {
    pub(super) processes: u32,
    pub(super) idle: Idle,
    pub(super) lines: Vec<Line>,
    pub(super) jobs: Jobs,
    /// Connections to the database and to Redis that all processes have together.
    pub(super) connections: (f64, f64),
}
