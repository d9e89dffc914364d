//! Where the limit lies with more machines: what was measured of one request, a job and an idle process, multiplied.

use std::fmt::Write as _;

use anyhow::Result;

use crate::bench::scale::figures::{Cpu, Round, Stage};

/// How many machines with one process each.
const MACHINES: [u32; 3] = [3, 10, 100];

/// Cores of each machine, all for the process.
const SERVER_CORES: f64 = 8.0;

/// Cores of the machine of the MongoDB member that takes writes.
const DATABASE_CORES: f64 = 16.0;

/// Redis works on one core.
const REDIS_CORES: f64 = 1.0;

/// What one copy of a message costs Redis, in seconds of CPU. Assumed, not measured.
const COPY: f64 = 2e-6;

/// What one thing costs each part, in seconds of CPU.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    server: f64,
    database: f64,
    redis: f64,
}

impl Cost {
    fn of(cpu: Cpu) -> Self {
        Self {
            server: cpu.servers.as_secs_f64(),
            database: cpu.database.as_secs_f64(),
            redis: cpu.redis.as_secs_f64(),
        }
    }
}

/// How many a second each part could do, if the others were never busy.
struct Limits {
    servers: f64,
    database: f64,
    redis: f64,
}

impl Limits {
    /// With so many machines, what one costs, what an idle process costs in a second, and how many messages one brings.
    fn of(machines: f64, cost: Cost, (idle, messages): (Cost, f64)) -> Self {
        let left = |cores: f64, idle: f64| (cores - machines * idle).max(0.0);
        // Every message goes to all other processes.
        let copies = messages * (machines - 1.0) * COPY;
        Self {
            servers: machines * left(SERVER_CORES, idle.server / machines) / cost.server.max(1e-9),
            database: left(DATABASE_CORES, idle.database) / cost.database.max(1e-9),
            redis: left(REDIS_CORES, idle.redis) / (cost.redis + copies).max(1e-9),
        }
    }

    fn lowest(&self) -> (f64, &'static str) {
        let parts = [
            (self.servers, "servers"),
            (self.database, "MongoDB"),
            (self.redis, "Redis"),
        ];
        parts
            .into_iter()
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .unwrap_or((0.0, ""))
    }
}

/// Writes the table, from the stage with most processes.
///
/// # Errors
/// None that can happen.
pub(super) fn write(stages: &[Stage]) -> Result<String> {
    let mut text = String::new();
    let Some(stage) = stages.last() else {
        return Ok(text);
    };
    let processes = f64::from(stage.processes);
    let idle = Cost::of(stage.idle.cpu);
    let idle = Cost {
        server: idle.server / processes,
        database: idle.database / processes,
        redis: idle.redis / processes,
    };
    let messages = stage.jobs.trips.redis.get("publish").copied().unwrap_or_default();
    let call = stage.lines.iter().find(|line| line.is_call);
    let call = call
        .map(|line| Cost::of(Round::median(&line.rounds).cpu))
        .unwrap_or_default();
    let kinds = [
        ("calls/s", call, 0.0),
        ("jobs/s", Cost::of(stage.jobs.cpu), messages),
    ];
    text.push_str(
        "| machines | | servers could | MongoDB could | Redis could | so at most | connections to MongoDB |\n\
         |--:|---|--:|--:|--:|---|--:|\n",
    );
    let connections = stage.connections.0 / processes;
    for machines in MACHINES {
        for (kind, cost, messages) in kinds {
            let limits = Limits::of(f64::from(machines), cost, (idle, messages));
            let (lowest, part) = limits.lowest();
            writeln!(
                text,
                "| {machines} | {kind} | {:.0} | {:.0} | {:.0} | {lowest:.0}, by {part} | {:.0} |",
                limits.servers,
                limits.database,
                limits.redis,
                connections * f64::from(machines),
            )?;
        }
    }
    Ok(text)
}

/// What the table assumes, in words.
pub(super) fn assumptions() -> String {
    format!(
        "One process a machine with {SERVER_CORES:.0} cores, {DATABASE_CORES:.0} cores for the MongoDB member that takes \
         writes, one for Redis; {:.0} µs for each copy of a message is assumed, all else is measured above.",
        COPY * 1e6
    )
}

#[cfg(test)]
mod tests {
    use super::{Cost, Limits};

    #[test]
    fn what_costs_most_of_what_there_is_sets_the_limit() {
        let cost = Cost {
            server: 100e-6,
            database: 50e-6,
            redis: 5e-6,
        };
        let limits = Limits::of(3.0, cost, (Cost::default(), 0.0));
        assert_eq!(limits.lowest().1, "Redis");
        assert!((limits.servers - 240_000.0).abs() < 1.0);
        assert!((limits.database - 320_000.0).abs() < 1.0);
        let chatty = Limits::of(100.0, cost, (Cost::default(), 1.0));
        assert!(
            chatty.redis < limits.redis / 30.0,
            "each message is copied 99 times"
        );
    }
}
