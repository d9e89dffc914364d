//! Measures how many executions a second the embedded store records, and what each costs.
//!
//! `cargo bench -p stores --bench record [-- SECONDS [DIRECTORY]]`: closed-loop callers, each waiting until its
//! record is durable. The CPU time is that of the whole process, callers included.
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use model::{
    ActionName, Direction, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStatus,
    ExecutionStore as _, Failure, PageLimit, PageRequest, PluginName, Sort, Source, Store as _, Timestamp,
    UserId,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde_json::json;
use stores::{SqliteOptions, SqliteStore};
use uuid::{NoContext, Timestamp as UuidTime, Uuid};

/// When the first record is accepted.
const BEGIN_SECONDS: u64 = 1_770_000_000;

/// One in so many executions fails.
const RARELY: u64 = 9973;

/// What one run of the benchmark varies.
struct Scenario {
    title: &'static str,
    callers: u64,
    users: u64,
    message_bytes: usize,
    has_lists: bool,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        title: "1 caller",
        callers: 1,
        users: 1,
        message_bytes: 40,
        has_lists: false,
    },
    Scenario {
        title: "64 callers of one account",
        callers: 64,
        users: 1,
        message_bytes: 40,
        has_lists: false,
    },
    Scenario {
        title: "64 callers of 64 accounts",
        callers: 64,
        users: 64,
        message_bytes: 40,
        has_lists: true,
    },
    Scenario {
        title: "64 callers, 400 B twice",
        callers: 64,
        users: 1,
        message_bytes: 400,
        has_lists: false,
    },
    Scenario {
        title: "256 callers of one account",
        callers: 256,
        users: 1,
        message_bytes: 40,
        has_lists: false,
    },
];

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let place = arguments
        .next()
        .map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "{:<30}{:>12}{:>16}{:>14}",
        "", "records/s", "CPU us/record", "log, MiB"
    );
    for scenario in &SCENARIOS {
        let directory = tempfile::tempdir_in(&place)?;
        let begin = Instant::now();
        let store = SqliteStore::open(directory.path(), &SqliteOptions::default())?;
        let opening = begin.elapsed();
        runtime.block_on(store.close())?;
        drop(store);
        let begin = Instant::now();
        let store = Arc::new(SqliteStore::open(directory.path(), &SqliteOptions::default())?);
        println!(
            "    opened: {opening:.1?} when new, {:.1?} again",
            begin.elapsed()
        );
        let log = directory.path().join("store.sqlite3-wal");
        runtime.block_on(measure(&store, scenario, (Duration::from_secs(seconds), &log)))?;
        if scenario.has_lists {
            runtime.block_on(measure_lists(&store))?;
        }
        runtime.block_on(store.close())?;
    }
    Ok(())
}

async fn measure(
    store: &Arc<SqliteStore>,
    scenario: &Scenario,
    (span, log): (Duration, &Path),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    let (begin, cpu_before) = (Instant::now(), cpu_micros()?);
    for caller in 0..scenario.callers {
        let user_id = UserId::from_uuid(Uuid::from_u64_pair(7, caller % scenario.users.max(1)));
        let message = "x".repeat(scenario.message_bytes);
        let (store, is_over, count) = (Arc::clone(store), Arc::clone(&is_over), Arc::clone(&count));
        callers.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let mut execution = execution(user_id, number, &message)?;
                if number.is_multiple_of(RARELY) {
                    execution.outcome = ExecutionOutcome::Failure(rare());
                }
                store.record_execution(execution).await?;
            }
            Ok::<(), model::Error>(())
        });
    }
    while begin.elapsed() < span {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(20))).await?;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    let (elapsed, cpu) = (begin.elapsed(), cpu_micros()? - cpu_before);
    let total = count.load(Ordering::Relaxed);
    println!(
        "{:<30}{:>12.0}{:>16.1}{:>12.1}",
        scenario.title,
        to_f64(total) / elapsed.as_secs_f64(),
        to_f64(u64::try_from(cpu)?) / to_f64(total),
        to_f64(std::fs::metadata(log)?.len()) / 1048576.0,
    );
    Ok(())
}

fn filters() -> Result<Vec<(&'static str, ExecutionFilter)>, Box<dyn Error + Send + Sync>> {
    let all = ExecutionFilter::default;
    let own = || ExecutionFilter {
        user_id: Some(UserId::from_uuid(Uuid::from_u64_pair(7, 1))),
        ..all()
    };
    let since = Some(Timestamp::from_millis(
        i64::try_from(BEGIN_SECONDS * 1000)? + 5_000,
    ));
    Ok(vec![
        ("all", all()),
        (
            "all, by plugin",
            ExecutionFilter {
                plugin: Some("sample".parse()?),
                ..all()
            },
        ),
        (
            "all, a rare status",
            ExecutionFilter {
                status: Some(ExecutionStatus::Failure),
                ..all()
            },
        ),
        ("all, since", ExecutionFilter { since, ..all() }),
        ("own", own()),
        (
            "own, a rare status",
            ExecutionFilter {
                status: Some(ExecutionStatus::Failure),
                ..own()
            },
        ),
        ("own, since", ExecutionFilter { since, ..own() }),
        (
            "nobody's",
            ExecutionFilter {
                user_id: Some(UserId::from_uuid(Uuid::nil())),
                ..all()
            },
        ),
    ])
}

/// Times first pages of 20, newest first, each with its total.
async fn measure_lists(store: &SqliteStore) -> Result<(), Box<dyn Error + Send + Sync>> {
    const LISTS: u32 = 50;
    let request = PageRequest {
        limit: PageLimit::default(),
        sort: Sort {
            field: (),
            direction: Direction::Descending,
        },
        after: None,
    };
    for (title, filter) in filters()? {
        let begin = Instant::now();
        let mut total = 0;
        for _ in 0..LISTS {
            total = store.list_executions(&filter, &request).await?.total;
        }
        let millis = begin.elapsed().as_secs_f64() * 1e3 / f64::from(LISTS);
        println!("    list: {title:<20}{total:>12} in all {millis:>10.2} ms");
    }
    Ok(())
}

fn rare() -> Failure {
    Failure {
        code: "plugin_failed".into(),
        message: "seldom".into(),
    }
}

fn execution(user_id: UserId, number: u64, message: &str) -> Result<Execution, model::Error> {
    // Ids grow, and their time is that of the record, as in the server.
    let millis = number / 16;
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    let time = UuidTime::from_unix(NoContext, BEGIN_SECONDS + millis / 1000, nanos);
    Ok(Execution {
        id: ExecutionId::from_uuid(Uuid::new_v7(time)),
        plugin: PluginName::parse("sample")?,
        action: ActionName::parse("echo")?,
        payload: json!({ "message": message }),
        outcome: ExecutionOutcome::Success(json!({ "message": message })),
        duration: Duration::from_micros(120),
        user_id: Some(user_id),
        task: None,
        source: Source::Rest,
        ip_address: Some("127.0.0.1".into()),
        user_agent: Some("bench/1.0".into()),
        created_at: Timestamp::from_millis(i64::try_from(BEGIN_SECONDS * 1000 + millis).unwrap_or(0)),
    })
}

fn cpu_micros() -> Result<i64, nix::Error> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
