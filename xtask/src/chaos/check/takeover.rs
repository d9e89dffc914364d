//! How long it took until an attempt that a kill interrupted was made again.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::chaos::check::Case;
use crate::chaos::facts::{Attempt, Task};
use crate::chaos::lives::{Kill, Victim};

/// A lease lasts 15 s and lapsed ones are looked for every second; one second is for the start itself.
pub(super) const TAKEOVER_LIMIT: Duration = Duration::from_secs(17);

/// How long an election and the connections to the new primary may take beside what was seen of it from outside.
const FAILOVER_MILLIS: i64 = 3_000;

/// Finds what was taken over too late or not at all, and the longest time that it took.
pub(super) fn check(case: &Case<'_>, kills: &[Kill], workers: &[usize]) -> (Vec<String>, Duration) {
    let processes: HashMap<&str, usize> = case
        .facts
        .journal
        .iter()
        .map(|line| (line.execution.as_str(), line.process))
        .collect();
    let mut late = Vec::new();
    let mut slowest = Duration::ZERO;
    for task in &case.facts.tasks {
        let attempts = case.attempts_of(task);
        for interrupted in attempts.iter().filter(|attempt| attempt.was_interrupted()) {
            let (number, title) = (interrupted.attempt, &task.title);
            let process = processes.get(interrupted.id.as_str()).copied();
            let next = attempts.iter().find(|attempt| attempt.attempt > number);
            let Some(next) = next.map(Attempt::began_millis) else {
                if !may_rest(task) {
                    late.push(format!(
                        "attempt {number} at {title} was interrupted, and no other followed"
                    ));
                }
                continue;
            };
            let span = interrupted.began_millis()..=next;
            let Some(cause) = kills.iter().find(|kill| may_interrupt(kill, process, &span)) else {
                late.push(format!(
                    "attempt {number} at {title} was interrupted by nobody, and made again"
                ));
                continue;
            };
            let time = time_to_take_over(cause.at, next, kills, workers);
            slowest = slowest.max(time);
            if time > TAKEOVER_LIMIT {
                late.push(format!(
                    "attempt {number} at {title} was followed by the next {:.1} s after the kill",
                    time.as_secs_f64()
                ));
            }
        }
    }
    (late, slowest)
}

/// Tells whether a kill can be what interrupted an attempt: that of its own process, where that is known, or of the
/// store, without which no lease can be renewed.
fn may_interrupt(kill: &Kill, process: Option<usize>, span: &RangeInclusive<i64>) -> bool {
    let is_its_own = match kill.victim {
        Victim::Process(number) => process.is_none_or(|own| own == number),
        Victim::Store => true,
        Victim::Redis => false,
    };
    is_its_own && span.contains(&kill.at)
}

/// The time from a kill to the next attempt, without that in which nobody could have made it: the store was away, or
/// every process that works was.
fn time_to_take_over(killed: i64, next: i64, kills: &[Kill], workers: &[usize]) -> Duration {
    let is_away = |victim: Victim, at: i64, more: i64| {
        let mut of_it = kills.iter().filter(|kill| kill.victim == victim);
        of_it.any(|kill| (kill.at..kill.back_at + more).contains(&at))
    };
    let is_idle = |at: &i64| {
        is_away(Victim::Store, *at, FAILOVER_MILLIS)
            || workers
                .iter()
                .all(|worker| is_away(Victim::Process(*worker), *at, 0))
    };
    let step = 10;
    let counted = (killed..next).step_by(step).filter(|at| !is_idle(at)).count();
    Duration::from_millis(u64::try_from(counted * step).unwrap_or(u64::MAX))
}

/// Nothing has to follow when the task was given up or called off meanwhile.
fn may_rest(task: &Task) -> bool {
    task.status == "cancelled" || task.code() == "worker_lost"
}
