//! Holds what can be seen against what was promised. Each finding names the promise that it breaks.

mod takeover;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::chaos::facts::{Attempt, Facts, Line, Moment, Task};
use crate::chaos::ledger::{Cancel, Entry, Fate};
use crate::chaos::lives::{Kill, Victim};
use crate::chaos::plan::{Batch, Behaviour, Plan};
use crate::say;
use takeover::TAKEOVER_LIMIT;

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) violations: Vec<String>,
    counts: Vec<(&'static str, usize)>,
    slowest_takeover: Duration,
}

impl Verdict {
    /// Prints the counts, and every violation.
    pub(super) fn say(&self, settled_in: Duration, slowest_start: Duration) {
        for (what, count) in &self.counts {
            say::line(format!("{count:>8} {what}"));
        }
        say::line(format!(
            "slowest take-over {:.2} s (at most {} s), slowest start {:.2} s, all ended {:.1} s after the last kill",
            self.slowest_takeover.as_secs_f64(),
            TAKEOVER_LIMIT.as_secs(),
            slowest_start.as_secs_f64(),
            settled_in.as_secs_f64()
        ));
        say::line(format!("{} promises broken", self.violations.len()));
        for violation in self.violations.iter().take(50) {
            say::line(format!("BROKEN: {violation}"));
        }
    }
}

/// What all rules look at.
struct Case<'a> {
    batches: &'a [Batch],
    entries: &'a [Entry],
    facts: &'a Facts,
    by_title: HashMap<&'a str, Vec<&'a Task>>,
    by_id: HashMap<&'a str, &'a Task>,
    /// The lines of each task.
    lines: HashMap<&'a str, Vec<&'a Line>>,
    /// The calls that had their effect.
    effects: HashSet<&'a str>,
    /// How long a worker may begin what it had claimed before another process called it off.
    hearsay_millis: i64,
}

/// Of several processes, one that didn't hear that an attempt was called off learns it when it renews the lease.
const HEARSAY_MILLIS: i64 = 6_000;

/// Applies every rule; `workers` are the processes that do tasks.
pub(super) fn all(
    batches: &[Batch],
    entries: &[Entry],
    facts: &Facts,
    kills: &[Kill],
    workers: &[usize],
) -> Verdict {
    let mut case = Case::new(batches, entries, facts);
    if workers.len() > 1 {
        case.hearsay_millis = HEARSAY_MILLIS;
    }
    let mut violations = Vec::new();
    violations.extend(case.lost_or_doubled());
    violations.extend(case.half_batches());
    violations.extend(case.totals());
    violations.extend(case.ticks());
    for task in &facts.tasks {
        violations.extend(case.unended(task));
        violations.extend(case.completions(task));
        violations.extend(case.attempts(task));
    }
    for (plan, entry, task) in case.found() {
        violations.extend(case.against_plan(plan, entry, task));
        violations.extend(case.against_client(entry, task));
        violations.extend(case.against_parents(entry, task));
    }
    let (late, slowest_takeover) = takeover::check(&case, kills, workers);
    violations.extend(late);
    Verdict {
        violations,
        counts: case.counts(kills),
        slowest_takeover,
    }
}

impl<'a> Case<'a> {
    fn new(batches: &'a [Batch], entries: &'a [Entry], facts: &'a Facts) -> Self {
        let mut case = Self {
            batches,
            entries,
            facts,
            by_title: HashMap::new(),
            by_id: HashMap::new(),
            lines: HashMap::new(),
            effects: HashSet::new(),
            hearsay_millis: 0,
        };
        for task in &facts.tasks {
            case.by_title.entry(&task.title).or_default().push(task);
            case.by_id.insert(&task.id, task);
        }
        for line in &facts.journal {
            if let Some(task) = &line.task {
                case.lines.entry(task).or_default().push(line);
            }
            if line.what == Moment::Done {
                case.effects.insert(&line.execution);
            }
        }
        case
    }

    /// Every planned task with what its client knows.
    fn planned(&self) -> impl Iterator<Item = (&'a Plan, &'a Entry)> {
        self.batches
            .iter()
            .flat_map(|batch| &batch.plans)
            .zip(self.entries)
    }

    /// Those that are there.
    fn found(&self) -> impl Iterator<Item = (&'a Plan, &'a Entry, &'a Task)> {
        self.planned().filter_map(|(plan, entry)| {
            let task = self.named(plan).first().copied()?;
            Some((plan, entry, task))
        })
    }

    fn named(&self, plan: &Plan) -> &[&'a Task] {
        self.by_title
            .get(plan.title.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    fn attempts_of(&self, task: &Task) -> &'a [Attempt] {
        self.facts
            .attempts
            .get(&task.id)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    fn lines_of(&self, task: &Task) -> &[&'a Line] {
        self.lines
            .get(task.id.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// I1: what was acknowledged is there. I9: what was sent again under one key, or lost, is there once at most.
    fn lost_or_doubled(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (plan, entry) in self.planned() {
            let there = self.named(plan);
            let title = &plan.title;
            if there.len() > 1 {
                found.push(format!("I9: {title} is there {} times", there.len()));
            }
            match &entry.fate {
                Fate::Acknowledged(_) if there.is_empty() => {
                    found.push(format!("I1: {title} was acknowledged and is lost"));
                }
                Fate::Acknowledged(Some(id)) if there.iter().all(|task| task.id != *id) => {
                    found.push(format!("I1: {title} is there under another id than {id}"));
                }
                Fate::Refused(reason) if !there.is_empty() => {
                    found.push(format!("I1: {title} was refused ({reason}) and is there"));
                }
                // Only what depends on a task that has failed or been cancelled meanwhile may be refused.
                Fate::Refused(reason) if !(reason.starts_with("422") && reason.contains("dependsOn")) => {
                    found.push(format!("{title} was refused: {reason}"));
                }
                Fate::Unsent => found.push(format!("{title} was never sent")),
                Fate::Acknowledged(_) | Fate::Refused(_) | Fate::Unknown => {}
            }
        }
        found
    }

    /// Of several tasks in one request, all are there or none.
    fn half_batches(&self) -> Vec<String> {
        let half = self.batches.iter().filter_map(|batch| {
            let there = batch
                .plans
                .iter()
                .filter(|plan| !self.named(plan).is_empty())
                .count();
            let is_whole = there == 0 || there == batch.plans.len();
            (!is_whole).then(|| {
                format!(
                    "of the {} tasks from {} on in one request, {there} are there",
                    batch.plans.len(),
                    batch.first
                )
            })
        });
        half.collect()
    }

    /// I7: the lists of the states add up to the list of all.
    fn totals(&self) -> Vec<String> {
        let total = |wanted: &str| {
            let found = self.facts.totals.iter().find(|(name, _)| *name == wanted);
            found.map_or(0, |(_, total)| *total)
        };
        let sum: u64 = self
            .facts
            .totals
            .iter()
            .filter(|(name, _)| *name != "all")
            .map(|(_, total)| *total)
            .sum();
        let listed = u64::try_from(self.facts.tasks.len()).unwrap_or_default();
        let agree = sum == total("all") && listed == sum;
        let line = || {
            format!(
                "I7: {listed} tasks are listed, and the totals are {:?}",
                self.facts.totals
            )
        };
        (!agree).then(line).into_iter().collect()
    }

    /// I10: one task comes of each tick.
    fn ticks(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let of_schedules = self.facts.tasks.iter().filter_map(|task| {
            let schedule = task.schedule_id.as_ref()?;
            Some((task, schedule, task.scheduled_at.as_ref()))
        });
        of_schedules
            .filter(|(_, schedule, tick)| !seen.insert((*schedule, *tick)))
            .map(|(task, _, tick)| {
                format!(
                    "I10: the tick {tick:?} came twice, the second time as {}",
                    task.id
                )
            })
            .collect()
    }

    /// I4 and I11: nothing is left undone.
    fn unended(&self, task: &Task) -> Option<String> {
        let has_ended = matches!(task.status.as_str(), "completed" | "failed" | "cancelled");
        (!has_ended).then(|| format!("I11: {} is still {}", task.title, task.status))
    }

    /// I2: a task is completed once, and never completed without its effect.
    fn completions(&self, task: &Task) -> Vec<String> {
        let mut found = Vec::new();
        let successes: Vec<&Attempt> = self
            .attempts_of(task)
            .iter()
            .filter(|attempt| attempt.status == "success")
            .collect();
        let expected = usize::from(task.status == "completed");
        if successes.len() != expected {
            found.push(format!(
                "I2: {} is {} with {} recorded successes",
                task.title,
                task.status,
                successes.len()
            ));
        }
        for success in successes
            .iter()
            .filter(|success| !self.effects.contains(success.id.as_str()))
        {
            found.push(format!(
                "I2: attempt {} at {} is recorded as done and had no effect",
                success.attempt, task.title
            ));
        }
        found
    }

    /// I3 and I5: attempts are numbered, each has its record, and there are no more than allowed.
    fn attempts(&self, task: &Task) -> Vec<String> {
        let mut found = Vec::new();
        let attempts = self.attempts_of(task);
        let title = &task.title;
        let mut numbers = HashSet::new();
        if !attempts.iter().all(|attempt| numbers.insert(attempt.attempt)) {
            found.push(format!("I3: two attempts at {title} have one number"));
        }
        let failures = attempts.iter().filter(|attempt| attempt.has_failed()).count();
        let failures = u64::try_from(failures).unwrap_or(u64::MAX);
        if task.retry_count > task.max_retries || failures > task.max_retries + 1 {
            found.push(format!(
                "I5: {title} failed {failures} times and was tried again {} times, of {}",
                task.retry_count, task.max_retries
            ));
        }
        for line in self.lines_of(task) {
            let recorded = attempts.iter().find(|attempt| attempt.id == line.execution);
            if recorded.map(|attempt| attempt.attempt) != line.attempt {
                found.push(format!(
                    "I5: attempt {:?} at {title} was made and isn't in the history",
                    line.attempt
                ));
            }
        }
        found
    }

    /// The task ended as it was told to.
    fn against_plan(&self, plan: &Plan, entry: &Entry, task: &Task) -> Option<String> {
        let interrupted = self
            .attempts_of(task)
            .iter()
            .filter(|attempt| attempt.was_interrupted())
            .count();
        let failures = self
            .attempts_of(task)
            .iter()
            .filter(|attempt| attempt.has_failed())
            .count();
        let as_planned = match (task.status.as_str(), plan.behaviour) {
            ("completed", Behaviour::Succeed | Behaviour::FailUpTo(_)) => true,
            ("failed", _) if task.code() == "worker_lost" => true,
            ("failed", Behaviour::FailForGood) => task.code() == "plugin_failed" && failures == 1,
            ("failed", Behaviour::FailAlways) => failures == usize::from(plan.max_retries) + 1,
            ("cancelled", _) if task.code() == "dependency_failed" => !entry.parents.is_empty(),
            ("cancelled", _) => entry.cancel != Cancel::None,
            _ => false,
        };
        let is_within_stalls = interrupted <= usize::from(plan.max_stalls) + 1;
        let is_given_up_in_time = task.code() != "worker_lost" || interrupted >= 1;
        let is_right = as_planned && is_within_stalls && is_given_up_in_time;
        (!is_right).then(|| {
            format!(
                "I5: {}, told to {:?}, is {} ({}) after {failures} failures and {interrupted} interruptions",
                plan.title,
                plan.behaviour,
                task.status,
                task.code()
            )
        })
    }

    /// I2 and I6: final states don't change; nothing begins before its time or after it was called off.
    fn against_client(&self, entry: &Entry, task: &Task) -> Vec<String> {
        let mut found = Vec::new();
        let title = &task.title;
        let was_shown_otherwise = entry.seen.as_ref().is_some_and(|seen| *seen != task.status);
        if entry.changed_its_end || was_shown_otherwise {
            found.push(format!(
                "I2: {title} was shown as {:?} and is {}",
                entry.seen, task.status
            ));
        }
        let begun = self
            .lines_of(task)
            .iter()
            .filter(|line| line.what == Moment::Begin)
            .map(|line| line.at);
        let (first, last) = (begun.clone().min(), begun.max());
        if first < entry.scheduled_at && first.is_some() {
            found.push(format!("I6: {title} began before its time"));
        }
        if let Cancel::Granted(at) = entry.cancel {
            if task.status != "cancelled" {
                found.push(format!("I2: {title} was called off and is {}", task.status));
            }
            if last.is_some_and(|last| last > at + self.hearsay_millis) {
                found.push(format!("I6: {title} began after it was called off"));
            }
            let claimed = self.attempts_of(task).iter().map(Attempt::began_millis);
            if claimed.max().is_some_and(|last| last > at) {
                found.push(format!("I6: {title} was claimed after it was called off"));
            }
        }
        found
    }

    /// A task begins when all that it depends on is completed, and falls with one that isn't.
    fn against_parents(&self, entry: &Entry, task: &Task) -> Vec<String> {
        let mut found = Vec::new();
        let begun = self.lines_of(task).iter().map(|line| line.at).min();
        for parent in &entry.parents {
            let Some(parent) = self.by_id.get(parent.as_str()) else {
                found.push(format!("I1: {} depends on {parent}, which is lost", task.title));
                continue;
            };
            if parent.status == "completed" {
                if begun.is_some_and(|begun| Some(begun) < parent.finished_millis()) {
                    found.push(format!("{} began before {} had ended", task.title, parent.title));
                }
            } else if begun.is_some() || task.status != "cancelled" {
                found.push(format!(
                    "{} is {} though {}, on which it depends, is {}",
                    task.title, task.status, parent.title, parent.status
                ));
            }
        }
        found
    }

    fn counts(&self, kills: &[Kill]) -> Vec<(&'static str, usize)> {
        let status = |wanted: &str| {
            self.facts
                .tasks
                .iter()
                .filter(|task| task.status == wanted)
                .count()
        };
        let fate = |is_it: fn(&Fate) -> bool| self.entries.iter().filter(|entry| is_it(&entry.fate)).count();
        let attempts = || self.facts.attempts.values().flatten();
        let lines = |wanted: Moment| {
            self.facts
                .journal
                .iter()
                .filter(|line| line.what == wanted)
                .count()
        };
        let killed = |is_it: fn(&Kill) -> bool| kills.iter().filter(|kill| is_it(kill)).count();
        let twice = self.effects.len().saturating_sub(status("completed"));
        vec![
            ("kills", kills.len()),
            ("of them during a start", killed(|kill| kill.was_starting)),
            (
                "of them of the store's primary",
                killed(|kill| kill.victim == Victim::Store),
            ),
            ("of them of Redis", killed(|kill| kill.victim == Victim::Redis)),
            (
                "tasks acknowledged",
                fate(|fate| matches!(fate, Fate::Acknowledged(_))),
            ),
            (
                "submissions without an answer",
                fate(|fate| *fate == Fate::Unknown),
            ),
            (
                "submissions refused",
                fate(|fate| matches!(fate, Fate::Refused(_))),
            ),
            ("tasks there", self.facts.tasks.len()),
            ("completed", status("completed")),
            ("failed", status("failed")),
            ("cancelled", status("cancelled")),
            ("attempts recorded", attempts().count()),
            (
                "of them interrupted",
                attempts().filter(|attempt| attempt.was_interrupted()).count(),
            ),
            ("calls begun", lines(Moment::Begin)),
            ("effects", lines(Moment::Done)),
            ("effects whose end was not recorded as success", twice),
        ]
    }
}
