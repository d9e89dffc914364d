//! Measures how many executions a second the embedded store records, and what each costs.
//!
//! `cargo bench -p stores --bench record [-- SECONDS [DIRECTORY]]`: closed-loop callers, each waiting until its
//! record is durable. The CPU time is that of the whole process, callers included.
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use std::{
    error::Error,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use model::{
    ActionName, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStore as _, PageLimit,
    PageRequest, PluginName, Sort, Source, Store as _, Timestamp, UserId,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde_json::json;
use stores::{SqliteOptions, SqliteStore};
use uuid::{NoContext, Timestamp as UuidTime, Uuid};

/// What one run of the benchmark varies.
struct Scenario {
    title: &'static str,
    callers: u64,
    users: u64,
    message_bytes: usize,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        title: "1 caller",
        callers: 1,
        users: 1,
        message_bytes: 40,
    },
    Scenario {
        title: "64 callers of one account",
        callers: 64,
        users: 1,
        message_bytes: 40,
    },
    Scenario {
        title: "64 callers of 64 accounts",
        callers: 64,
        users: 64,
        message_bytes: 40,
    },
    Scenario {
        title: "64 callers, 400 B twice",
        callers: 64,
        users: 1,
        message_bytes: 400,
    },
    Scenario {
        title: "256 callers of one account",
        callers: 256,
        users: 1,
        message_bytes: 40,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
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
        "", "records/s", "CPU us/record", "list, ms"
    );
    for scenario in &SCENARIOS {
        let directory = tempfile::tempdir_in(&place)?;
        let store = Arc::new(SqliteStore::open(directory.path(), &SqliteOptions::default())?);
        runtime.block_on(measure(store, scenario, Duration::from_secs(seconds)))?;
    }
    Ok(())
}

async fn measure(store: Arc<SqliteStore>, scenario: &Scenario, span: Duration) -> Result<(), Box<dyn Error>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    let (begin, cpu_before) = (Instant::now(), cpu_micros()?);
    for caller in 0..scenario.callers {
        let user_id = UserId::from_uuid(Uuid::from_u64_pair(7, caller % scenario.users.max(1)));
        let message = "x".repeat(scenario.message_bytes);
        let (store, is_over, count) = (Arc::clone(&store), Arc::clone(&is_over), Arc::clone(&count));
        callers.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                store
                    .record_execution(execution(user_id, number, &message)?)
                    .await?;
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
    let listed = list_time(&store).await?;
    store.close().await?;
    println!(
        "{:<30}{:>12.0}{:>16.1}{:>14.2}",
        scenario.title,
        to_f64(total) / elapsed.as_secs_f64(),
        to_f64(u64::try_from(cpu)?) / to_f64(total),
        listed.as_secs_f64() * 1e3,
    );
    Ok(())
}

async fn list_time(store: &SqliteStore) -> Result<Duration, model::Error> {
    let filter = ExecutionFilter {
        user_id: Some(UserId::from_uuid(Uuid::from_u64_pair(7, 0))),
        ..ExecutionFilter::default()
    };
    let request = PageRequest {
        limit: PageLimit::default(),
        sort: Sort {
            field: (),
            direction: model::Direction::Descending,
        },
        after: None,
    };
    let begin = Instant::now();
    const LISTS: u32 = 100;
    for _ in 0..LISTS {
        store.list_executions(&filter, &request).await?;
    }
    Ok(begin.elapsed() / LISTS)
}

fn execution(user_id: UserId, number: u64, message: &str) -> Result<Execution, model::Error> {
    const BEGIN_SECONDS: u64 = 1_770_000_000;
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
        task_id: None,
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
