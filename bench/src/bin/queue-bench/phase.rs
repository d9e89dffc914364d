//! The phases, each from an open data directory to figures.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::{Engine, TaskRequest};
use model::{
    ActionName, Clock as _, NoObserver, PluginName, Principal, Priority, Runtime, Tags, TaskTitle, Timestamp,
};
use serde_json::{Value, json};
use server::system::SystemClock;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::probe::{self, Finishes, Probe};
use crate::station::Station;
use crate::stopwatch::{Anchor, Stopwatch, percentiles};

/// When tasks are due that only wait.
pub(crate) const FAR_AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many tasks one submission of many holds.
const AT_ONCE: u32 = 1_000;

/// How many tasks run at once while waits are measured.
const MEASURING_CONCURRENCY: u16 = 100;

/// How long the last task may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How often it is looked whether the last task is done; when it was is known exactly.
const POLL: Duration = Duration::from_millis(2);

/// How long a worker settles before waits are measured.
const SETTLING: Duration = Duration::from_millis(500);

/// Submits tasks that are due now, one in a submission, so many at the same time.
pub(crate) fn enqueue(folder: &Path, count: u32, in_flight: u32) -> Outcome<Value> {
    let station = idle(folder)?;
    let before = bytes_of(folder)?;
    let request = echo(None)?;
    let stopwatch = Stopwatch::start()?;
    let next = Arc::new(AtomicU32::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (engine, request, next) = (station.engine.clone(), request.clone(), Arc::clone(&next));
        let caller = async move {
            let principal = Principal::admin_key();
            while next.fetch_add(1, Ordering::Relaxed) < count {
                engine.submit_task(&principal, request.clone(), None).await?;
            }
            Ok::<(), model::Error>(())
        };
        callers.spawn_on(caller, station.threads.handle());
    }
    station.threads.block_on(all_of(callers))?;
    let figures = stopwatch.figures(usize::try_from(count)?, Instant::now())?;
    station.close()?;
    with_bytes(figures, folder, before)
}

/// Submits tasks, a thousand in a submission, one submission after another; due now, or so far ahead and later.
pub(crate) fn bulk(folder: &Path, count: u32, ahead: Option<Duration>) -> Outcome<Value> {
    let station = idle(folder)?;
    let before = bytes_of(folder)?;
    let stopwatch = Stopwatch::start()?;
    let due = ahead.map(|ahead| SystemClock.now().plus(ahead));
    station
        .threads
        .block_on(submit_many(&station.engine, count, |number| {
            // One a second: over a million there are 11 days of them.
            echo(due.map(|due| due.plus(Duration::from_secs(number.into()))))
        }))?;
    let figures = stopwatch.figures(usize::try_from(count)?, Instant::now())?;
    station.close()?;
    with_bytes(figures, folder, before)
}

/// Does everything that is due, so many at once.
pub(crate) fn process(folder: &Path, concurrency: u16) -> Outcome<Value> {
    let finishes = Arc::new(Finishes::default());
    let station = Station::open(
        folder,
        concurrency,
        Arc::<Finishes>::clone(&finishes),
        vec![probe(0)?],
    )?;
    let depth = station.threads.block_on(station.engine.backlog())?.depth;
    let expected = usize::try_from(depth.ready.iter().sum::<u64>())?;
    if expected == 0 {
        return Err("nothing is due".into());
    }
    let stopwatch = Stopwatch::start()?;
    station.begin_work();
    await_that(|| finishes.completed().0 >= expected || finishes.otherwise() > 0)?;
    let (completed, last) = finishes.completed();
    let figures = stopwatch.figures(completed, last.unwrap_or_else(Instant::now))?;
    station.close()?;
    if finishes.otherwise() > 0 {
        return Err("a task was not completed".into());
    }
    Ok(figures)
}

/// Measures from the call that submits a task to the beginning of its work, so many a second in an even beat.
pub(crate) fn latency(folder: &Path, rate: u32, seconds: u32) -> Outcome<Value> {
    let count = rate * seconds;
    let probe = Arc::new(Probe::new(usize::try_from(count)?)?);
    let station = measuring(folder, &probe)?;
    station.begin_work();
    thread::sleep(SETTLING);
    let begin = Instant::now();
    let mut submissions = JoinSet::new();
    for number in 0..count {
        let due = begin + Duration::from_secs(1) * number / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (engine, request) = (station.engine.clone(), noted(number, None)?);
        let submission = async move {
            let sent = Instant::now();
            let principal = Principal::admin_key();
            engine.submit_task(&principal, request, None).await?;
            Ok((number, sent))
        };
        submissions.spawn_on(submission, station.threads.handle());
    }
    let sent = station.threads.block_on(all_of(submissions))?;
    await_that(|| probe.count() >= sent.len())?;
    station.close()?;
    let begun = probe.begun();
    let waits = sent.iter().filter_map(|(number, sent)| {
        let began = begun.get(usize::try_from(*number).ok()?).copied().flatten()?;
        Some(began.saturating_duration_since(*sent))
    });
    Ok(percentiles(waits.collect()))
}

/// Measures from the moment when tasks are due to the beginning of their work; they are due spread evenly.
pub(crate) fn lateness(folder: &Path, count: u32, millis: u32) -> Outcome<Value> {
    let probe = Arc::new(Probe::new(usize::try_from(count)?)?);
    let station = measuring(folder, &probe)?;
    station.begin_work();
    let anchor = Anchor::drop_now();
    // Late enough for all to be there when the first is due.
    let first = anchor
        .wall
        .plus(Duration::from_millis(1_500) + Duration::from_micros(200) * count);
    let due = |number: u32| {
        let offset = u64::from(number) * u64::from(millis) / u64::from(count.max(1));
        first.plus(Duration::from_millis(offset))
    };
    station
        .threads
        .block_on(submit_many(&station.engine, count, |number| {
            noted(number, Some(due(number)))
        }))?;
    if SystemClock.now() >= first {
        return Err("the first was due before the last was there".into());
    }
    await_that(|| probe.count() >= usize::try_from(count).unwrap_or(usize::MAX))?;
    station.close()?;
    let begun = probe.begun();
    let late = (0..count)
        .zip(begun)
        .filter_map(|(number, began)| Some(anchor.since(due(number), began?)));
    Ok(percentiles(late.collect()))
}

/// A station that takes tasks and does none.
fn idle(folder: &Path) -> Outcome<Station> {
    Station::open(folder, 0, Arc::new(NoObserver), vec![probe(0)?])
}

fn measuring(folder: &Path, probe: &Arc<Probe>) -> Outcome<Station> {
    let runtime: Arc<dyn Runtime> = Arc::<Probe>::clone(probe);
    Station::open(folder, MEASURING_CONCURRENCY, Arc::new(NoObserver), vec![runtime])
}

fn probe(calls: usize) -> Outcome<Arc<dyn Runtime>> {
    Ok(Arc::new(Probe::new(calls)?))
}

async fn submit_many(
    engine: &Engine,
    count: u32,
    request: impl Fn(u32) -> Outcome<TaskRequest>,
) -> Outcome<()> {
    let principal = Principal::admin_key();
    let mut from = 0;
    while from < count {
        let to = (from + AT_ONCE).min(count);
        let requests = (from..to).map(&request).collect::<Outcome<Vec<_>>>()?;
        engine.submit_tasks(&principal, requests, None).await?;
        from = to;
    }
    Ok(())
}

async fn all_of<T: 'static>(mut work: JoinSet<model::Result<T>>) -> Outcome<Vec<T>> {
    let mut found = Vec::with_capacity(work.len());
    while let Some(ended) = work.join_next().await {
        found.push(ended??);
    }
    Ok(found)
}

/// A task that does nothing.
fn echo(scheduled_at: Option<Timestamp>) -> Outcome<TaskRequest> {
    task("sample", "echo", json!({ "message": "hello" }), scheduled_at)
}

/// A task whose beginning is noted.
fn noted(number: u32, scheduled_at: Option<Timestamp>) -> Outcome<TaskRequest> {
    task(
        probe::PLUGIN,
        probe::ACTION,
        json!({ "number": number }),
        scheduled_at,
    )
}

fn task(plugin: &str, action: &str, payload: Value, scheduled_at: Option<Timestamp>) -> Outcome<TaskRequest> {
    Ok(TaskRequest {
        title: TaskTitle::parse("bench")?,
        description: None,
        priority: Priority::default(),
        tags: Tags::default(),
        plugin: Some(PluginName::parse(plugin)?),
        action: Some(ActionName::parse(action)?),
        payload: Some(payload),
        scheduled_at,
        max_retries: None,
        max_stalls: None,
        timeout: None,
        unique_key: None,
        depends_on: Vec::new(),
        schedule: None,
    })
}

/// Waits until something is so; what is measured is noted elsewhere.
fn await_that(is_so: impl Fn() -> bool) -> Outcome<()> {
    let begin = Instant::now();
    while !is_so() {
        if begin.elapsed() > LIMIT {
            return Err(format!("not done in {} s", LIMIT.as_secs()).into());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Adds by how much the files have grown.
fn with_bytes(mut figures: Value, folder: &Path, before: u64) -> Outcome<Value> {
    let grown = bytes_of(folder)?.saturating_sub(before);
    if let Some(fields) = figures.as_object_mut() {
        fields.insert("bytes".to_owned(), json!(grown));
    }
    Ok(figures)
}

/// The sizes of all files in a data directory.
fn bytes_of(folder: &Path) -> Outcome<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let metadata = entry?.metadata()?;
        total += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(total)
}
