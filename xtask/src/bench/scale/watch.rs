//! What the parts did while something was done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::machine;
use crate::bench::scale::crowd::{Crowd, Shared};
use crate::bench::scale::figures::{Cpu, Idle, Trips};
use crate::bench::scale::mongo::{Done, Mongo};
use crate::bench::scale::redis::Redis;

/// The parts that all processes share, watched.
pub(super) struct Watch {
    pub(super) mongo: Mongo,
    redis: Redis,
}

/// What was counted while something was done.
pub(super) struct Counted<T> {
    pub(super) outcome: T,
    took: Duration,
    before: Done,
    after: Done,
    redis: BTreeMap<String, u64>,
}

impl Watch {
    /// Finds the parts.
    ///
    /// # Errors
    /// Fails when one isn't there.
    pub(super) fn begin(shared: &Shared) -> Result<Self> {
        Ok(Self {
            mongo: Mongo::connect(&shared.mongodb_uri)?,
            redis: Redis::find(&shared.redis_url)?,
        })
    }

    /// How many connections the parts have with clients, without those from here.
    ///
    /// # Errors
    /// Fails when one doesn't answer.
    pub(super) fn connections(&mut self) -> Result<(f64, f64)> {
        let redis = f64::from(self.redis.connections()?);
        Ok((self.mongo.connections()? - 1.0, redis - 1.0))
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// Fails when a process is gone.
    pub(super) fn cpu(&self, crowd: &Crowd) -> Result<Cpu> {
        let mut servers = Duration::ZERO;
        for server in &crowd.servers {
            servers += machine::cpu(server.pid())?;
        }
        Ok(Cpu {
            servers,
            database: machine::cpu(self.mongo.pid)?,
            redis: machine::cpu(self.redis.pid)?,
        })
    }

    /// Counts the commands that arrive while something is done.
    ///
    /// # Errors
    /// Those of `work`, and fails when nothing can be counted.
    pub(super) fn count<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<Counted<T>> {
        let (before, begin) = (self.mongo.done()?, Instant::now());
        let (outcome, redis) = self.redis.watch(work)?;
        let (after, took) = (self.mongo.done()?, begin.elapsed());
        Ok(Counted {
            outcome,
            took,
            before,
            after,
            redis,
        })
    }

    /// Counts what processes do that nobody asks anything.
    ///
    /// # Errors
    /// Fails when nothing can be counted.
    pub(super) fn idle(&mut self, crowd: &Crowd, time: Duration) -> Result<Idle> {
        // What belongs to a start is over by then.
        std::thread::sleep(Duration::from_secs(2));
        let before = self.cpu(crowd)?;
        let counted = self.count(|| {
            std::thread::sleep(time);
            Ok(())
        })?;
        let seconds = counted.took.as_secs_f64();
        Ok(Idle {
            cpu: self.cpu(crowd)?.each(before, seconds),
            trips: counted.each(seconds, &Idle::default()),
        })
    }
}

impl<T> Counted<T> {
    /// Round trips for each of `count`, without those that idle processes take.
    pub(super) fn each(&self, count: f64, idle: &Idle) -> Trips {
        let seconds = self.took.as_secs_f64();
        let each = |total: u64, idle: Option<&f64>| {
            let idle = idle.copied().unwrap_or_default() * seconds;
            (as_float(total) - idle).max(0.0) / count.max(1.0)
        };
        let of_database = |(name, after): (&String, &u64)| {
            let before = self.before.commands.get(name).copied().unwrap_or_default();
            let each = each(after.saturating_sub(before), idle.trips.database.get(name));
            (each > 0.0).then(|| (name.clone(), each))
        };
        let of_redis = |(name, total): (&String, &u64)| {
            let each = each(*total, idle.trips.redis.get(name));
            (each > 0.0).then(|| (name.clone(), each))
        };
        let documents = self.after.documents.saturating_sub(self.before.documents);
        Trips {
            database: self.after.commands.iter().filter_map(of_database).collect(),
            redis: self.redis.iter().filter_map(of_redis).collect(),
            documents: each(documents, Some(&idle.trips.documents)),
        }
    }
}

/// Exact up to 4,294,967,295, which no run comes near to.
fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
