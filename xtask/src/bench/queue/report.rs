//! The tables and the targets.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::bench::machine;
use crate::bench::queue::figures::{Ours, Rate, Theirs, Wait};
use crate::bench::queue::{Outcome, Queue};
use crate::bench::report::{Report, Target, missed, time, verdicts};

/// How much slower anything may be with a full queue.
const MOST_SLOWER: f64 = 1.2;

/// Writes the report of a run.
pub(super) fn write(settings: &Queue, outcome: &Outcome) -> Result<Report> {
    let mut text = String::new();
    writeln!(
        text,
        "Measured on {} with {}.",
        machine::today()?,
        machine::describe()?
    )?;
    writeln!(
        text,
        "Medians of {} rounds; a page is durable on this disk after {} (write and fsync).\n",
        settings.rounds,
        time(outcome.fsync)
    )?;
    text.push_str(&own_table(settings, outcome)?);
    text.push('\n');
    if !outcome.theirs.is_empty() {
        text.push_str(&rival_table(outcome)?);
        text.push('\n');
    }
    text.push_str(&single_figures(outcome)?);
    text.push('\n');
    let targets = targets(outcome);
    text.push_str(&verdicts(&targets)?);
    Ok(Report {
        missed: missed(&targets),
        text,
    })
}

/// One figure of ours, and how it is read out.
struct Figure {
    name: &'static str,
    /// How many a second; otherwise it is a time, in seconds.
    is_rate: bool,
    read: fn(&Ours) -> f64,
}

const fn rate(name: &'static str, read: fn(&Ours) -> f64) -> Figure {
    Figure {
        name,
        is_rate: true,
        read,
    }
}

const fn span(name: &'static str, read: fn(&Ours) -> f64) -> Figure {
    Figure {
        name,
        is_rate: false,
        read,
    }
}

/// Everything that is measured of an empty queue and of a full one.
const FIGURES: [Figure; 19] = [
    rate("tasks/s enqueued over HTTP, 50 requests in flight", |ours| {
        median(&ours.enqueued_outside).per_second
    }),
    span("CPU of the server for a task so enqueued", |ours| {
        median(&ours.enqueued_outside).cpu.as_secs_f64()
    }),
    rate("tasks/s enqueued over HTTP, 1,000 in a request", |ours| {
        ours.bulk_outside.per_second
    }),
    span("CPU of the server for each of them", |ours| {
        ours.bulk_outside.cpu.as_secs_f64()
    }),
    rate("tasks/s enqueued in process, 50 in flight", |ours| {
        median(&ours.enqueued_inside).per_second
    }),
    span("CPU for each of them", |ours| {
        median(&ours.enqueued_inside).cpu.as_secs_f64()
    }),
    rate("tasks/s enqueued in process, 1,000 at a time", |ours| {
        ours.bulk_inside.per_second
    }),
    rate("jobs/s done, one at a time", |ours| ours.done_1.per_second),
    rate("jobs/s done, 10 at a time", |ours| ours.done_10.per_second),
    rate("jobs/s done, 100 at a time", |ours| {
        median(&ours.done_100).per_second
    }),
    span("CPU for a job done, 100 at a time, from claim to end", |ours| {
        median(&ours.done_100).cpu.as_secs_f64()
    }),
    span("enqueued to started at 100/s, p50", |ours| {
        ours.wait_100.p50.as_secs_f64()
    }),
    span("enqueued to started at 100/s, p99", |ours| {
        ours.wait_100.p99.as_secs_f64()
    }),
    span("enqueued to started at 1,000/s, p50", |ours| {
        ours.wait_1000.p50.as_secs_f64()
    }),
    span("enqueued to started at 1,000/s, p99", |ours| {
        ours.wait_1000.p99.as_secs_f64()
    }),
    span("enqueued to started at 1,000/s, longest", |ours| {
        ours.wait_1000.longest.as_secs_f64()
    }),
    span("late, 10,000 tasks due within 4 s, p50", |ours| {
        ours.lateness.p50.as_secs_f64()
    }),
    span("late, 10,000 tasks due within 4 s, p99", |ours| {
        ours.lateness.p99.as_secs_f64()
    }),
    span("late, 10,000 tasks due within 4 s, longest", |ours| {
        ours.lateness.longest.as_secs_f64()
    }),
];

fn median(rates: &[Rate]) -> Rate {
    Rate::median(rates)
}

impl Figure {
    fn show(&self, ours: &Ours) -> String {
        let value = (self.read)(ours);
        if self.is_rate {
            format!("{value:.0}")
        } else {
            time(seconds(value))
        }
    }

    /// How many times as slow or as costly it is with a full queue.
    fn slowdown(&self, empty: &Ours, full: &Ours) -> f64 {
        let (before, after) = ((self.read)(empty), (self.read)(full));
        if self.is_rate {
            before / after
        } else {
            after / before
        }
    }
}

fn own_table(settings: &Queue, outcome: &Outcome) -> Result<String> {
    let mut text = String::new();
    let Some(full) = &outcome.full else {
        text.push_str("| our queue | empty |\n|---|--:|\n");
        for figure in &FIGURES {
            writeln!(text, "| {} | {} |", figure.name, figure.show(&outcome.empty))?;
        }
        return Ok(text);
    };
    writeln!(
        text,
        "| our queue | empty | {} tasks waiting | times as slow |\n|---|--:|--:|--:|",
        thousands(settings.waiting)
    )?;
    for figure in &FIGURES {
        writeln!(
            text,
            "| {} | {} | {} | {:.2} |",
            figure.name,
            figure.show(&outcome.empty),
            figure.show(full),
            figure.slowdown(&outcome.empty, full)
        )?;
    }
    Ok(text)
}

fn rival_table(outcome: &Outcome) -> Result<String> {
    let mut text = String::from(
        "| in the same run | enqueued/s, 50 in flight | CPU for each | done/s, 100 at a time | CPU for each | enqueued to \
         started at 1,000/s, p50 | p99 |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let empty = &outcome.empty;
    let done = median(&empty.done_100);
    for (name, enqueued) in [
        ("ours, over HTTP", median(&empty.enqueued_outside)),
        ("ours, in process", median(&empty.enqueued_inside)),
    ] {
        writeln!(text, "| {name} | {} |", cells(&enqueued, &done, &empty.wait_1000))?;
    }
    for theirs in &outcome.theirs {
        writeln!(
            text,
            "| BullMQ, Redis with `appendfsync {}` | {} |",
            theirs.name,
            cells(&median(&theirs.enqueued), &median(&theirs.done), &theirs.wait)
        )?;
    }
    Ok(text)
}

fn cells(enqueued: &Rate, done: &Rate, wait: &Wait) -> String {
    format!(
        "{:.0} | {} | {:.0} | {} | {} | {}",
        enqueued.per_second,
        time(enqueued.cpu),
        done.per_second,
        time(done.cpu),
        time(wait.p50),
        time(wait.p99)
    )
}

fn single_figures(outcome: &Outcome) -> Result<String> {
    let mut text = String::from("| figure | value |\n|---|--:|\n");
    let whole = median(&outcome.empty.enqueued_inside).cpu + median(&outcome.empty.done_100).cpu;
    writeln!(
        text,
        "| CPU of a job from its submission in process to its end | {} |",
        time(whole)
    )?;
    if let Some(fill) = &outcome.fill {
        writeln!(
            text,
            "| scheduled tasks/s taken in until the queue was full | {:.0} |",
            fill.per_second
        )?;
        writeln!(text, "| disk for each of them | {:.0} B |", fill.bytes)?;
    }
    let takeover = &outcome.takeover;
    writeln!(
        text,
        "| `kill -9` to the last of 20 running tasks begun anew, slowest of three, restart included | {} |",
        time(takeover.slowest)
    )?;
    writeln!(
        text,
        "| start of the server to its first 200 after such a kill, slowest of three | {} |",
        time(takeover.start)
    )?;
    Ok(text)
}

fn targets(outcome: &Outcome) -> Vec<Target> {
    let mut found: Vec<Target> = outcome
        .theirs
        .iter()
        .flat_map(|theirs| against(theirs, &outcome.empty))
        .collect();
    let empty = &outcome.empty;
    let limits = [
        (
            "CPU for a job done, 100 at a time, from claim to end",
            median(&empty.done_100).cpu,
            Duration::from_micros(60),
        ),
        (
            "enqueued to started at 1,000/s, p50",
            empty.wait_1000.p50,
            Duration::from_millis(1),
        ),
        (
            "enqueued to started at 1,000/s, p99",
            empty.wait_1000.p99,
            Duration::from_millis(5),
        ),
        (
            "late, 10,000 tasks due within 4 s, p99",
            empty.lateness.p99,
            Duration::from_millis(20),
        ),
        (
            "taken over after `kill -9`",
            outcome.takeover.slowest,
            Duration::from_secs(17),
        ),
    ];
    found.extend(limits.into_iter().map(|(name, got, most)| Target {
        wanted: format!("{name}: at most {}", time(most)),
        got: time(got),
        is_reached: got <= most,
    }));
    if let Some(full) = &outcome.full {
        found.extend(slowdowns(empty, full));
    }
    found
}

/// As durable as ours, it is to be left behind; less durable, as it is meant to be run, it is to be met.
fn against(theirs: &Theirs, ours: &Ours) -> Vec<Target> {
    let (enqueue_wanted, done_wanted) = if theirs.name == "always" {
        (3.0, 5.0)
    } else {
        (1.0, 1.0)
    };
    let enqueued = median(&theirs.enqueued).per_second;
    let ratios = [
        (
            "enqueued over HTTP",
            median(&ours.enqueued_outside).per_second / enqueued,
            enqueue_wanted,
        ),
        (
            "enqueued in process",
            median(&ours.enqueued_inside).per_second / enqueued,
            enqueue_wanted,
        ),
        (
            "done 100 at a time",
            median(&ours.done_100).per_second / median(&theirs.done).per_second,
            done_wanted,
        ),
    ];
    let target = |(name, ratio, wanted): (&str, f64, f64)| Target {
        wanted: format!("{name}: at least {wanted:.0} × BullMQ with `{}`", theirs.name),
        got: format!("{ratio:.2}"),
        is_reached: ratio >= wanted,
    };
    ratios.into_iter().map(target).collect()
}

/// The figures of the promises, with a full queue.
fn slowdowns(empty: &Ours, full: &Ours) -> Vec<Target> {
    let promised = [
        "tasks/s enqueued over HTTP, 50 requests in flight",
        "jobs/s done, 100 at a time",
        "CPU for a job done, 100 at a time, from claim to end",
        "enqueued to started at 1,000/s, p50",
        "enqueued to started at 1,000/s, p99",
        "late, 10,000 tasks due within 4 s, p99",
    ];
    let figures = FIGURES.iter().filter(|figure| promised.contains(&figure.name));
    let target = |figure: &Figure| {
        let slowdown = figure.slowdown(empty, full);
        Target {
            wanted: format!("full queue, {}: at most {MOST_SLOWER} × as slow", figure.name),
            got: format!("{slowdown:.2}"),
            is_reached: slowdown <= MOST_SLOWER,
        }
    };
    figures.map(target).collect()
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

/// A number with commas between thousands.
fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{FIGURES, slowdowns, thousands};
    use crate::bench::queue::figures::{Ours, Rate};

    #[test]
    fn a_lower_rate_and_a_longer_time_are_both_slower() {
        let queue = |per_second, micros| Ours {
            done_100: vec![Rate {
                per_second,
                cpu: std::time::Duration::from_micros(micros),
                bytes: 0.0,
            }],
            ..Ours::default()
        };
        let (empty, full) = (queue(1000.0, 50), queue(500.0, 100));
        let twice = FIGURES
            .iter()
            .filter(|figure| (figure.slowdown(&empty, &full) - 2.0).abs() < 1e-9);
        assert_eq!(twice.count(), 2);
    }

    #[test]
    fn every_promise_about_a_full_queue_names_a_figure() {
        assert_eq!(slowdowns(&Ours::default(), &Ours::default()).len(), 6);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([5, 1_000, 1_234_567].map(thousands), ["5", "1,000", "1,234,567"]);
    }
}
