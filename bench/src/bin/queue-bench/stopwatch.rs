//! Times: of this process's work, of many events, and of the machine's clock to the microsecond.

use std::time::{Duration, Instant};

use model::{Clock as _, Timestamp};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};
use server::system::SystemClock;

use crate::Outcome;

/// Time and CPU time of a piece of work.
pub(crate) struct Stopwatch {
    began: Instant,
    cpu_micros: i64,
}

impl Stopwatch {
    /// Begins now.
    pub(crate) fn start() -> Outcome<Self> {
        Ok(Self {
            began: Instant::now(),
            cpu_micros: cpu_micros()?,
        })
    }

    /// Says what the work took that ended at `ended`, as figures.
    pub(crate) fn figures(&self, count: usize, ended: Instant) -> Outcome<Value> {
        Ok(json!({
            "count": count,
            "seconds": ended.duration_since(self.began).as_secs_f64(),
            "cpu_micros": cpu_micros()? - self.cpu_micros,
        }))
    }
}

/// User and system time of this process so far.
fn cpu_micros() -> Outcome<i64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

/// A moment of the machine's clock and the same moment of the steady one.
#[derive(Clone, Copy)]
pub(crate) struct Anchor {
    pub(crate) wall: Timestamp,
    steady: Instant,
}

impl Anchor {
    /// Waits for the clock's next millisecond, so that the two agree to some microseconds.
    pub(crate) fn drop_now() -> Self {
        let before = SystemClock.now();
        loop {
            let wall = SystemClock.now();
            let steady = Instant::now();
            if wall != before {
                return Self { wall, steady };
            }
        }
    }

    /// From a moment of the clock to one of the steady clock; zero when that is earlier.
    pub(crate) fn since(&self, wall: Timestamp, steady: Instant) -> Duration {
        let to_wall = Duration::from_millis(millis_between(self.wall, wall));
        steady.duration_since(self.steady).saturating_sub(to_wall)
    }
}

fn millis_between(earlier: Timestamp, later: Timestamp) -> u64 {
    u64::try_from(later.as_millis() - earlier.as_millis()).unwrap_or_default()
}

/// The middle and the end of a list of times, as figures.
pub(crate) fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 1000).min(times.len().saturating_sub(1));
        let time = times.get(index).copied().unwrap_or_default();
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    };
    json!({ "count": times.len(), "p50_micros": at(500), "p99_micros": at(990), "max_micros": at(1000) })
}
