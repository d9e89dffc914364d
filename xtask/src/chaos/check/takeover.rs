//! How long it took until an attempt that a kill interrupted was made again.

use std::time::Duration;

use crate::chaos::check::Case;
use crate::chaos::facts::{Attempt, Task};
use crate::chaos::lives::Kill;

/// A lease lasts 15 s and lapsed ones are looked for every second; one second is for the start itself.
pub(super) const TAKEOVER_LIMIT: Duration = Duration::from_secs(17);

/// Finds what was taken over too late or not at all, and the longest time that it took.
pub(super) fn check(case: &Case<'_>, kills: &[Kill]) -> (Vec<String>, Duration) {
    let mut late = Vec::new();
    let mut slowest = Duration::ZERO;
    for task in &case.facts.tasks {
        let attempts = case.attempts_of(task);
        for interrupted in attempts.iter().filter(|attempt| attempt.was_interrupted()) {
            match taken_over_in(interrupted, attempts, kills) {
                Some(time) => {
                    slowest = slowest.max(time);
                    if time > TAKEOVER_LIMIT {
                        late.push(format!(
                            "attempt {} at {} was followed by the next {:.1} s after the kill",
                            interrupted.attempt,
                            task.title,
                            time.as_secs_f64()
                        ));
                    }
                }
                None if may_rest(task) => {}
                None => late.push(format!(
                    "attempt {} at {} was interrupted, and no other followed",
                    interrupted.attempt, task.title
                )),
            }
        }
    }
    (late, slowest)
}

/// From the kill that interrupted an attempt to the beginning of the next one; `None` when there was none.
fn taken_over_in(interrupted: &Attempt, attempts: &[Attempt], kills: &[Kill]) -> Option<Duration> {
    let next = attempts
        .iter()
        .find(|attempt| attempt.attempt > interrupted.attempt)?;
    let killed = kills.iter().find(|kill| kill.at >= interrupted.began_millis())?;
    let millis = next.began_millis().saturating_sub(killed.at);
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

/// Nothing has to follow when the task was given up or called off meanwhile.
fn may_rest(task: &Task) -> bool {
    task.status == "cancelled" || task.code() == "worker_lost"
}
