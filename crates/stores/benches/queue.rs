//! Measures how many jobs a second go through the queue of the embedded store, and what each costs.
//!
//! `cargo bench -p stores --bench queue [-- SECONDS [WAITING [DIRECTORY]]]`: jobs are submitted, claimed and finished
//! through the ports, each step durable before the next; first on an empty queue, then with `WAITING` scheduled jobs
//! (100,000 if not said) in it. The CPU time is that of the whole process, callers included.
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
    ActionName, AttemptEnd, CallTry, ClaimRequest, ClaimedTask, Execution, ExecutionId, ExecutionOutcome,
    Job, NewTask, Patience, PluginName, Priority, Source, Store as _, Tags, TaskEnding, TaskId,
    TaskQueue as _, TaskStore as _, TaskTitle, Timestamp, UserId, WorkerId,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde_json::json;
use stores::{SqliteOptions, SqliteStore};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use uuid::{NoContext, Timestamp as UuidTime, Uuid};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// When the first job is submitted.
const BEGIN_SECONDS: u64 = 1_770_000_000;

/// How long leases last.
const LEASE: Duration = Duration::from_secs(15);

/// How many jobs one bulk submission holds.
const BULK: u64 = 1_000;

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let waiting: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let place = arguments
        .next()
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{:<44}{:>12}{:>14}", "", "jobs/s", "CPU us/job");
    for waiting in [0, waiting] {
        let directory = tempfile::tempdir_in(&place)?;
        let store = SqliteStore::open(directory.path(), &SqliteOptions::default())?;
        let bench = Arc::new(Bench {
            store,
            jobs: AtomicU64::new(0),
        });
        runtime.block_on(bench.fill(waiting))?;
        println!("{waiting} scheduled jobs waiting");
        runtime.block_on(bench.measure(Duration::from_secs(seconds)))?;
        runtime.block_on(bench.store.close())?;
    }
    Ok(())
}

struct Bench {
    store: SqliteStore,
    jobs: AtomicU64,
}

impl Bench {
    /// Schedules jobs that don't become due.
    async fn fill(self: &Arc<Self>, waiting: u64) -> Outcome<()> {
        let begin = Instant::now();
        let mut left = waiting;
        while left > 0 {
            let portion = left.min(BULK);
            let tasks: Result<Vec<NewTask>, model::Error> = (0..portion)
                .map(|_| {
                    let mut task = self.task(3)?;
                    task.scheduled_at = Some(task.created_at.plus(Duration::from_secs(86_400)));
                    Ok(task)
                })
                .collect();
            self.store.submit_tasks(tasks?).await?;
            left -= portion;
        }
        if waiting > 0 {
            print_line("filled in bulk", waiting, begin.elapsed(), None);
        }
        Ok(())
    }

    async fn measure(self: &Arc<Self>, span: Duration) -> Outcome<()> {
        for (title, callers) in [("submit, 1 in flight", 1), ("submit, 50 in flight", 50)] {
            self.submit(title, callers, span).await?;
        }
        for in_flight in [1, 10, 100] {
            let title = format!("claim and finish a backlog, {in_flight} in flight");
            self.process(&title, in_flight, span).await?;
        }
        self.drain().await?;
        for in_flight in [1, 100] {
            let title = format!("submit, claim and finish, {in_flight} in flight");
            self.flow(&title, in_flight, span).await?;
        }
        Ok(())
    }

    /// Closed-loop callers, each waiting until its job is durable.
    async fn submit(self: &Arc<Self>, title: &str, callers: u64, span: Duration) -> Outcome<()> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (before, begin, cpu) = (self.jobs.load(Ordering::Relaxed), Instant::now(), cpu_micros()?);
        let mut running = JoinSet::new();
        for caller in 0..callers {
            let (bench, is_over) = (Arc::clone(self), Arc::clone(&is_over));
            running.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    bench.store.submit_task(bench.task(caller % 8)?).await?;
                }
                Ok::<(), model::Error>(())
            });
        }
        wait(span).await?;
        is_over.store(true, Ordering::Relaxed);
        join_all(running).await?;
        let submitted = self.jobs.load(Ordering::Relaxed) - before;
        print_line(title, submitted, begin.elapsed(), Some(cpu_micros()? - cpu));
        Ok(())
    }

    /// One worker with so many jobs at once, over what was submitted before; more is added aside when it runs out.
    async fn process(self: &Arc<Self>, title: &str, in_flight: u16, span: Duration) -> Outcome<()> {
        let (begin, cpu) = (Instant::now(), cpu_micros()?);
        let slots = Arc::new(Semaphore::new(usize::from(in_flight)));
        let mut ends = JoinSet::new();
        let mut done = 0;
        while begin.elapsed() < span {
            let first = Arc::clone(&slots).acquire_owned().await?;
            let mut permits = vec![first];
            while let Ok(more) = Arc::clone(&slots).try_acquire_owned() {
                permits.push(more);
            }
            let claimed = self.claim(u16::try_from(permits.len())?).await?;
            if claimed.is_empty() {
                break;
            }
            for (task, permit) in claimed.into_iter().zip(permits) {
                let bench = Arc::clone(self);
                done += 1;
                ends.spawn(async move {
                    bench.finish(&task).await?;
                    drop(permit);
                    Ok::<(), model::Error>(())
                });
            }
            while let Some(ended) = ends.try_join_next() {
                ended??;
            }
        }
        join_all(ends).await?;
        print_line(title, done, begin.elapsed(), Some(cpu_micros()? - cpu));
        Ok(())
    }

    /// Finishes all that is ready.
    async fn drain(self: &Arc<Self>) -> Outcome<()> {
        loop {
            let claimed = self.claim(500).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            let mut ends = JoinSet::new();
            for task in claimed {
                let bench = Arc::clone(self);
                ends.spawn(async move { bench.finish(&task).await });
            }
            join_all(ends).await?;
        }
    }

    /// So many callers, each of which submits a job, and the next when that one is finished.
    async fn flow(self: &Arc<Self>, title: &str, in_flight: u16, span: Duration) -> Outcome<()> {
        let (begin, cpu) = (Instant::now(), cpu_micros()?);
        let (is_over, nudge) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let slots = Arc::new(Semaphore::new(usize::from(in_flight)));
        let done = Arc::new(AtomicU64::new(0));
        let worker = {
            let (bench, is_over, nudge) = (Arc::clone(self), Arc::clone(&is_over), Arc::clone(&nudge));
            let (slots, done) = (Arc::clone(&slots), Arc::clone(&done));
            async move {
                let mut ends = JoinSet::new();
                while !is_over.load(Ordering::Relaxed) || slots.available_permits() < usize::from(in_flight) {
                    let claimed = bench.claim(in_flight).await?;
                    if claimed.is_empty() {
                        drop(tokio::time::timeout(Duration::from_millis(10), nudge.notified()).await);
                    }
                    for task in claimed {
                        let (bench, slots, done) =
                            (Arc::clone(&bench), Arc::clone(&slots), Arc::clone(&done));
                        ends.spawn(async move {
                            bench.finish(&task).await?;
                            done.fetch_add(1, Ordering::Relaxed);
                            slots.add_permits(1);
                            Ok::<(), model::Error>(())
                        });
                    }
                    while let Some(ended) = ends.try_join_next() {
                        ended??;
                    }
                }
                join_all(ends).await
            }
        };
        let mut running: JoinSet<Outcome<()>> = JoinSet::new();
        running.spawn(worker);
        let mut submits = JoinSet::new();
        while begin.elapsed() < span {
            slots.acquire().await?.forget();
            let (bench, nudge, caller) = (
                Arc::clone(self),
                Arc::clone(&nudge),
                self.jobs.load(Ordering::Relaxed),
            );
            submits.spawn(async move {
                bench.store.submit_task(bench.task(caller % 8)?).await?;
                nudge.notify_one();
                Ok::<(), model::Error>(())
            });
            while let Some(ended) = submits.try_join_next() {
                ended??;
            }
        }
        join_all(submits).await?;
        is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        let done = done.load(Ordering::Relaxed);
        print_line(title, done, begin.elapsed(), Some(cpu_micros()? - cpu));
        Ok(())
    }

    async fn claim(&self, limit: u16) -> Result<Vec<ClaimedTask>, model::Error> {
        let now = at(self.jobs.load(Ordering::Relaxed));
        let request = ClaimRequest {
            worker: WorkerId::from_uuid(Uuid::from_u128(1)),
            now,
            lease_until: now.plus(LEASE),
            limit,
            room: Vec::new(),
        };
        Ok(self.store.claim_tasks(request).await?.tasks)
    }

    async fn finish(&self, claimed: &ClaimedTask) -> Result<(), model::Error> {
        let now = at(self.jobs.load(Ordering::Relaxed));
        let ending = TaskEnding {
            end: AttemptEnd::Succeeded,
            execution: Some(call(claimed, now)?),
            failure: None,
            inquiry: None,
            is_recorded: false,
            now,
        };
        self.store.finish_task(claimed.hold(), &ending).await.map(|_| ())
    }

    fn task(&self, owner: u64) -> Result<NewTask, model::Error> {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        Ok(NewTask {
            id: TaskId::from_uuid(id_at(number)),
            user_id: Some(UserId::from_uuid(Uuid::from_u64_pair(7, owner))),
            title: TaskTitle::parse("a job of the benchmark")?,
            description: None,
            priority: Priority::Medium,
            tags: Tags::default(),
            job: Some(Job {
                plugin: PluginName::parse("sample")?,
                action: ActionName::parse("echo")?,
                payload: json!({ "message": "x".repeat(40) }),
            }),
            patience: Patience::default(),
            scheduled_at: None,
            unique_key: None,
            depends_on: Vec::new(),
            recurrence: None,
            schedule_id: None,
            created_at: at(number),
        })
    }
}

fn call(claimed: &ClaimedTask, now: Timestamp) -> Result<Execution, model::Error> {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Ok(Execution {
        id: ExecutionId::from_uuid(Uuid::new_v7(UuidTime::from_unix(
            NoContext,
            millis / 1000,
            u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000,
        ))),
        plugin: PluginName::parse("sample")?,
        action: ActionName::parse("echo")?,
        payload: json!({ "message": "x".repeat(40) }),
        outcome: ExecutionOutcome::Success(json!({ "message": "x".repeat(40) })),
        duration: Duration::from_micros(120),
        user_id: claimed.task.user_id,
        task: Some(CallTry {
            task_id: claimed.task.id,
            attempt: claimed.task.standing.attempt,
        }),
        source: Source::Task,
        ip_address: None,
        user_agent: None,
        created_at: now,
    })
}

/// Ids grow, and their time is that of the job, as in the server: 16 jobs a millisecond.
fn id_at(number: u64) -> Uuid {
    let millis = number / 16;
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(UuidTime::from_unix(
        NoContext,
        BEGIN_SECONDS + millis / 1000,
        nanos,
    ))
}

fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(BEGIN_SECONDS * 1000 + number / 16).unwrap_or(0))
}

async fn wait(span: Duration) -> Outcome<()> {
    Ok(tokio::task::spawn_blocking(move || std::thread::sleep(span)).await?)
}

async fn join_all<E: Error + Send + Sync + 'static>(mut running: JoinSet<Result<(), E>>) -> Outcome<()> {
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

fn cpu_micros() -> Result<i64, nix::Error> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

fn print_line(title: &str, jobs: u64, elapsed: Duration, cpu_micros: Option<i64>) {
    let cpu = cpu_micros.map_or_else(String::new, |micros| {
        let each = to_f64(u64::try_from(micros).unwrap_or(0)) / to_f64(jobs.max(1));
        format!("{each:.1}")
    });
    println!(
        "{title:<44}{:>12.0}{cpu:>14}",
        to_f64(jobs) / elapsed.as_secs_f64()
    );
}

#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
