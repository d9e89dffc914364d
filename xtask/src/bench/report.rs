//! The table, the targets, and the document that keeps them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::figures::{Row, Sample, medians};
use crate::bench::{Bench, CONNECTIONS, LOGIN_CONNECTIONS, Outcome, machine};

/// The report as Markdown.
pub(super) struct Report {
    pub(super) text: String,
    /// How many targets were missed.
    pub(super) missed: usize,
}

/// Writes the report of a run.
pub(super) fn write(settings: &Bench, outcome: &Outcome) -> Result<Report> {
    let mut text = String::new();
    writeln!(
        text,
        "Measured on {} with {}.",
        machine::today()?,
        machine::describe()?
    )?;
    writeln!(
        text,
        "{CONNECTIONS} connections, one `wrk` thread, medians of {} rounds of {} s each; a page is durable on this \
         disk after {} (write and fsync).\n",
        settings.rounds,
        settings.seconds,
        time(outcome.fsync)
    )?;
    text.push_str(
        "| scenario | server | requests/s | p50 | p99 | CPU per request | memory |\n|---|---|--:|--:|--:|--:|--:|\n",
    );
    for row in &outcome.rows {
        text.push_str(&lines(row)?);
    }
    text.push('\n');
    text.push_str(&single_figures(outcome)?);
    text.push('\n');
    let targets = targets(outcome);
    text.push_str(&verdicts(&targets)?);
    Ok(Report {
        text,
        missed: missed(&targets),
    })
}

/// The table of targets.
pub(super) fn verdicts(targets: &[Target]) -> Result<String> {
    let mut text = String::from("| target | reached | |\n|---|--:|---|\n");
    for target in targets {
        let verdict = if target.is_reached {
            "reached"
        } else {
            "**missed**"
        };
        writeln!(text, "| {} | {} | {verdict} |", target.wanted, target.got)?;
    }
    Ok(text)
}

/// How many targets were missed.
pub(super) fn missed(targets: &[Target]) -> usize {
    targets.iter().filter(|target| !target.is_reached).count()
}

/// Puts a report between the markers that bear its name in a document.
///
/// # Errors
/// Fails when the document has no such markers.
pub(super) fn update(path: &Path, name: &str, report: &str) -> Result<()> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let old = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let (head, rest) = old
        .split_once(&begin)
        .context("the document has no begin marker")?;
    let (_, tail) = rest.split_once(&end).context("the document has no end marker")?;
    fs::write(path, format!("{head}{begin}\n{report}{end}{tail}"))?;
    Ok(())
}

fn lines(row: &Row) -> Result<String> {
    let (bare, ours) = (medians(&row.bare), medians(&row.ours));
    let mut text = String::new();
    writeln!(text, "| {} | bare axum | {} |", row.name, cells(&bare))?;
    writeln!(text, "| | ours | {} |", cells(&ours))?;
    writeln!(
        text,
        "| | ratio | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        ours.per_second / bare.per_second,
        ours.p50.as_secs_f64() / bare.p50.as_secs_f64(),
        ours.p99.as_secs_f64() / bare.p99.as_secs_f64(),
        ours.cpu.as_secs_f64() / bare.cpu.as_secs_f64(),
        mebibytes(ours.memory_bytes) / mebibytes(bare.memory_bytes),
    )?;
    Ok(text)
}

fn cells(sample: &Sample) -> String {
    format!(
        "{:.0} | {} | {} | {:.1} µs | {:.1} MiB",
        sample.per_second,
        time(sample.p50),
        time(sample.p99),
        sample.cpu.as_secs_f64() * 1e6,
        mebibytes(sample.memory_bytes)
    )
}

fn single_figures(outcome: &Outcome) -> Result<String> {
    let startup = &outcome.startup;
    let mut text = String::from("| figure | value |\n|---|--:|\n");
    let share = outcome.logins_per_second / outcome.hashes_per_second;
    writeln!(
        text,
        "| sign-ins a second, {LOGIN_CONNECTIONS} connections | {:.1} ({share:.2} of the {:.1} bcrypt checks a second \
         that this machine can do) |",
        outcome.logins_per_second, outcome.hashes_per_second
    )?;
    writeln!(
        text,
        "| start to first 200, new data directory | {} |",
        time(startup.fresh)
    )?;
    writeln!(
        text,
        "| start to first 200, existing data directory | {} |",
        time(startup.existing)
    )?;
    writeln!(
        text,
        "| idle memory, 2 s after the start | {:.1} MiB |",
        mebibytes(startup.idle_bytes)
    )?;
    writeln!(
        text,
        "| release binary | {:.1} MiB |",
        mebibytes(outcome.binary_bytes)
    )?;
    Ok(text)
}

/// One target and what came of it.
pub(super) struct Target {
    pub(super) wanted: String,
    pub(super) got: String,
    pub(super) is_reached: bool,
}

fn targets(outcome: &Outcome) -> Vec<Target> {
    let mut found = Vec::new();
    for row in outcome.rows.iter().filter(|row| row.name.contains("execute")) {
        let (bare, ours) = (medians(&row.bare), medians(&row.ours));
        let ratio = ours.per_second / bare.per_second;
        found.push(Target {
            wanted: format!("{}: at least 0.40 of bare axum's requests/s", row.name),
            got: format!("{ratio:.2}"),
            is_reached: ratio >= 0.40,
        });
        let more = (ours.cpu.as_secs_f64() - bare.cpu.as_secs_f64()) * 1e6;
        found.push(Target {
            wanted: format!("{}: at most 60 µs CPU more per request", row.name),
            got: format!("{more:.1} µs"),
            is_reached: more <= 60.0,
        });
    }
    let slower = outcome.startup.fresh.max(outcome.startup.existing);
    found.push(Target {
        wanted: "start to first 200: at most 100 ms".to_owned(),
        got: time(slower),
        is_reached: slower <= Duration::from_millis(100),
    });
    let sizes = [
        ("idle memory", outcome.startup.idle_bytes),
        ("release binary", outcome.binary_bytes),
    ];
    for (name, bytes) in sizes {
        found.push(Target {
            wanted: format!("{name}: at most 30 MB"),
            got: format!("{:.1} MB", megabytes(bytes)),
            is_reached: bytes <= 30_000_000,
        });
    }
    found
}

/// A time in the unit that suits it.
pub(super) fn time(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.0} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

fn mebibytes(bytes: u64) -> f64 {
    megabytes(bytes) * 1e6 / f64::from(1 << 20)
}

/// Exact for sizes up to 4 PB, which is far beyond what is measured here.
fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}
