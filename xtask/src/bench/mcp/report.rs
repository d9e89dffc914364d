//! The table and the targets.

use std::fmt::Write as _;

use anyhow::Result;

use crate::bench::figures::{Sample, medians};
use crate::bench::machine;
use crate::bench::mcp::contender::{Kind, Revision};
use crate::bench::mcp::{CONNECTIONS, Mcp, Outcome};
use crate::bench::report::{Report, Target, missed, time, verdicts};

/// Writes the report of a run.
pub(super) fn write(settings: &Mcp, outcome: &Outcome) -> Result<Report> {
    let mut text = String::new();
    writeln!(
        text,
        "Measured on {} with {}.",
        machine::today()?,
        machine::describe()?
    )?;
    writeln!(
        text,
        "One `wrk` thread, medians of {} rounds of {} s each; a page is durable on this disk after {} (write and \
         fsync).\n",
        settings.rounds,
        settings.seconds,
        time(outcome.fsync)
    )?;
    text.push_str(
        "| connections | server | requests/s | of bare axum's | p50 | p99 | CPU per request |\n\
         |--:|---|--:|--:|--:|--:|--:|\n",
    );
    for line in &outcome.lines {
        let figures = medians(&line.samples);
        let share = figures.per_second / rate(outcome, Kind::Bare, line.connections);
        writeln!(
            text,
            "| {} | {} | {:.0} | {share:.2} | {} | {} | {:.1} µs |",
            line.connections,
            line.kind.title(),
            figures.per_second,
            time(figures.p50),
            time(figures.p99),
            figures.cpu.as_secs_f64() * 1e6
        )?;
    }
    text.push('\n');
    let targets = targets(outcome);
    text.push_str(&verdicts(&targets)?);
    Ok(Report {
        text,
        missed: missed(&targets),
    })
}

fn figures(outcome: &Outcome, kind: Kind, connections: u32) -> Sample {
    let mut lines = outcome.lines.iter();
    let line = lines.find(|line| line.kind == kind && line.connections == connections);
    line.map(|line| medians(&line.samples)).unwrap_or_default()
}

fn rate(outcome: &Outcome, kind: Kind, connections: u32) -> f64 {
    figures(outcome, kind, connections).per_second
}

fn targets(outcome: &Outcome) -> Vec<Target> {
    let [few, many] = CONNECTIONS;
    let stateless = Kind::Ours(Revision::Stateless, true);
    let with_session = Kind::Ours(Revision::WithSession, true);
    let ratio = |wanted: &str, one: Kind, other: Kind, least: f64| {
        let reached = rate(outcome, one, many) / rate(outcome, other, many);
        Target {
            wanted: format!("{wanted}, {many} connections: at least {least:.2}"),
            got: format!("{reached:.2}"),
            is_reached: reached >= least,
        }
    };
    let mut found = vec![
        ratio("2026-07-28 of bare axum", stateless, Kind::Bare, 0.40),
        ratio(
            "2026-07-28 of rmcp, which asks for no credential and keeps no history",
            stateless,
            Kind::Rmcp(Revision::Stateless),
            1.20,
        ),
        ratio("2025-11-25 of 2026-07-28", with_session, stateless, 0.80),
        ratio(
            "2026-07-28 without history of bare axum",
            Kind::Ours(Revision::Stateless, false),
            Kind::Bare,
            0.70,
        ),
    ];
    for (name, kind) in [("2026-07-28", stateless), ("2025-11-25", with_session)] {
        let figures = figures(outcome, kind, few);
        let times = figures.p99.as_secs_f64() / figures.p50.as_secs_f64();
        found.push(Target {
            wanted: format!("{name}, {few} connections: p99 at most 5 × p50"),
            got: format!("{times:.1} ×"),
            is_reached: times <= 5.0,
        });
    }
    found
}
