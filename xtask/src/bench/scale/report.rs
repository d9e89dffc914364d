//! The tables and the targets.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::bench::machine;
use crate::bench::report::{Report, Target, missed, time, verdicts};
use crate::bench::scale::figures::{Cpu, Round, Stage, Trips};
use crate::bench::scale::{CONNECTIONS, Outcome, Scale, count_of, crowd, model};

/// What a count may be off by: what idle processes do is subtracted, and doesn't come at an even beat.
const SLACK: f64 = 0.02;

/// Writes the report of a run.
///
/// # Errors
/// Fails when the machine can't be described.
pub(super) fn write(settings: &Scale, outcome: &Outcome) -> Result<Report> {
    let mut text = String::new();
    writeln!(
        text,
        "Measured on {} with {}.",
        machine::today()?,
        machine::describe()?
    )?;
    let database = if outcome.is_replica_set {
        "a replica set of three MongoDB members on the same machine"
    } else {
        "one MongoDB server"
    };
    writeln!(
        text,
        "On {database}, one Redis; {CONNECTIONS} connections and one `wrk` thread for each process, medians of {} rounds \
         of {} s each; {} tasks, {} at once in each process; a page is durable on this disk after {} (write and fsync).\n",
        settings.rounds,
        settings.seconds,
        settings.tasks,
        crowd::TASKS_AT_ONCE,
        time(outcome.fsync)
    )?;
    for table in [
        requests(&outcome.stages)?,
        trips(&outcome.stages)?,
        jobs(&outcome.stages)?,
        idle(&outcome.stages)?,
        model::write(&outcome.stages)?,
    ] {
        text.push_str(&table);
        text.push('\n');
    }
    writeln!(text, "{}\n", model::assumptions())?;
    let targets = targets(&outcome.stages);
    text.push_str(&verdicts(&targets)?);
    Ok(Report {
        missed: missed(&targets),
        text,
    })
}

fn requests(stages: &[Stage]) -> Result<String> {
    let mut text = String::from(
        "| request | processes | requests/s | p50 | p99 | CPU of servers | of MongoDB | of Redis |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let kinds = stages.first().map_or(0, |stage| stage.lines.len());
    for kind in 0..kinds {
        for stage in stages {
            let Some(line) = stage.lines.get(kind) else {
                continue;
            };
            let round = Round::median(&line.rounds);
            writeln!(
                text,
                "| {} | {} | {:.0} | {} | {} | {} |",
                line.name,
                stage.processes,
                round.per_second,
                time(round.p50),
                time(round.p99),
                cpu_cells(round.cpu)
            )?;
        }
    }
    Ok(text)
}

fn cpu_cells(cpu: Cpu) -> String {
    let micros = |time: Duration| format!("{:.1} µs", time.as_secs_f64() * 1e6);
    [cpu.servers, cpu.database, cpu.redis].map(micros).join(" | ")
}

fn trips(stages: &[Stage]) -> Result<String> {
    let mut text = String::from(
        "| round trips of a request | processes | in flight | to MongoDB | documents written | to Redis |\n\
         |---|--:|--:|---|--:|---|\n",
    );
    for stage in stages {
        for line in &stage.lines {
            let busy = CONNECTIONS / stage.processes * stage.processes;
            for (in_flight, trips) in [(stage.processes, &line.alone), (busy, &line.busy)] {
                writeln!(
                    text,
                    "| {} | {} | {in_flight} | {} | {:.2} | {} |",
                    line.name,
                    stage.processes,
                    Trips::listed(&trips.database),
                    trips.documents,
                    Trips::listed(&trips.redis),
                )?;
            }
        }
    }
    Ok(text)
}

fn jobs(stages: &[Stage]) -> Result<String> {
    let mut text = String::from(
        "| jobs, processes | enqueued/s, 1,000 in a request | enqueued and done/s | CPU of servers | of MongoDB | of Redis \
         | round trips of a job to MongoDB | to Redis | tasks in a claim | round trips of a claim | claims lost to others | round trips of a batch, lost claims included |\n\
         |--:|--:|--:|--:|--:|--:|---|---|--:|--:|--:|--:|\n",
    );
    for stage in stages {
        let jobs = &stage.jobs;
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {} | {} | {} | {:.0} | {:.2} | {:.0} % | {:.2} |",
            stage.processes,
            jobs.enqueued_per_second,
            jobs.per_second,
            cpu_cells(jobs.cpu),
            Trips::listed(&jobs.trips.database),
            Trips::listed(&jobs.trips.redis),
            jobs.claims.tasks_per_batch(),
            jobs.claims.trips(),
            jobs.claims.lost() * 100.0,
            jobs.claims.trips_per_batch(),
        )?;
    }
    Ok(text)
}

fn idle(stages: &[Stage]) -> Result<String> {
    let mut text = String::from(
        "| idle, in a second, processes | round trips to MongoDB | to Redis | CPU of servers | of MongoDB | of Redis | \
         connections to MongoDB after load | to Redis |\n|--:|---|---|--:|--:|--:|--:|--:|\n",
    );
    for stage in stages {
        let cpu = stage.idle.cpu;
        let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.0} | {:.0} |",
            stage.processes,
            Trips::listed(&stage.idle.trips.database),
            Trips::listed(&stage.idle.trips.redis),
            millis(cpu.servers),
            millis(cpu.database),
            millis(cpu.redis),
            stage.connections.0,
            stage.connections.1,
        )?;
    }
    Ok(text)
}

fn targets(stages: &[Stage]) -> Vec<Target> {
    let mut targets = Vec::new();
    for stage in stages {
        let with = count_of(stage.processes);
        for line in stage.lines.iter().filter(|line| line.is_call) {
            let worst = |of: fn(&Trips) -> f64| of(&line.busy).max(of(&line.alone));
            let counts = [
                ("at most 1 write of the database", worst(Trips::writes), 1.0),
                ("no read of the database", worst(Trips::reads), 0.0),
                ("at most 1 round trip to Redis", worst(Trips::cached), 1.0),
            ];
            for (wanted, got, most) in counts {
                targets.push(Target {
                    wanted: format!("{}, {with}: {wanted}", line.name),
                    got: format!("{:.2}", got.max(0.0)),
                    is_reached: got <= most + SLACK,
                });
            }
        }
        let claims = &stage.jobs.claims;
        let counts = [
            ("a claim of tasks, whether it gets some or not", claims.trips()),
            (
                "a claimed batch of tasks, with the claims lost to others before it",
                claims.trips_per_batch(),
            ),
        ];
        for (what, got) in counts {
            targets.push(Target {
                wanted: format!("{what}, {with}: at most 3 round trips"),
                got: format!("{got:.2}"),
                is_reached: claims.takes > 0.0 && got <= 3.0 + SLACK,
            });
        }
    }
    targets
}
