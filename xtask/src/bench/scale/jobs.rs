//! Tasks from their submission to their end.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::bench::scale::crowd::{Crowd, Shared};
use crate::bench::scale::figures::{Claims, Idle, Jobs};
use crate::bench::scale::mongo::Mongo;
use crate::bench::scale::watch::Watch;
use crate::request::Request;

/// How many tasks one request brings.
const AT_ONCE: u32 = 1_000;

/// How long all tasks of a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// When a run began, and when all was taken in.
struct Times {
    enqueued: Duration,
    done: Duration,
}

/// Has so many tasks done, and once more some of them to see what claims take.
pub(super) fn measure(
    crowd: &Crowd,
    (watch, shared): (&mut Watch, &Shared),
    tasks: u32,
    idle: &Idle,
) -> Result<Jobs> {
    // The first ones find nothing in any cache.
    have_done(crowd, shared, AT_ONCE)?;
    let before = watch.cpu(crowd)?;
    let counted = watch.count(|| have_done(crowd, shared, tasks))?;
    let cpu = watch.cpu(crowd)?.each(before, f64::from(tasks));
    let per_second = |time: Duration| f64::from(tasks) / time.as_secs_f64();
    Ok(Jobs {
        enqueued_per_second: per_second(counted.outcome.enqueued),
        per_second: per_second(counted.outcome.done),
        cpu,
        trips: counted.each(f64::from(tasks), idle),
        claims: claims(crowd, (watch, shared), tasks.min(5 * AT_ONCE))?,
    })
}

/// Submits so many tasks, a thousand in a request and each to the next process, and waits until all are completed.
fn have_done(crowd: &Crowd, shared: &Shared, tasks: u32) -> Result<Times> {
    let mut eye = Mongo::connect(&shared.mongodb_uri)?;
    let documents = eye.done()?.inserted;
    let completed = completed(crowd)?;
    let begin = Instant::now();
    let (mut left, mut servers) = (tasks, crowd.servers.iter().cycle());
    while left > 0 {
        let some = left.min(AT_ONCE);
        let tasks: Vec<Value> = (0..some).map(|_| task()).collect();
        let server = servers.next().context("no process")?;
        let reply = Request::post("/api/v1/tasks/bulk", &json!({ "tasks": tasks }))
            .header("Authorization", crowd.bearer())
            .send(server.address())?;
        if !(200..300).contains(&reply.status) {
            bail!("status {}: {}", reply.status, reply.body);
        }
        left -= some;
    }
    let enqueued = begin.elapsed();
    // Each is a document, and its call another: so much is known without asking for more than counts.
    while eye.done()?.inserted < documents + 2 * u64::from(tasks) {
        require_time(begin)?;
        thread::sleep(LOOK);
    }
    while self::completed(crowd)? < completed + u64::from(tasks) {
        require_time(begin)?;
        thread::sleep(LOOK);
    }
    Ok(Times {
        enqueued,
        done: begin.elapsed(),
    })
}

fn require_time(begin: Instant) -> Result<()> {
    if begin.elapsed() > LIMIT {
        bail!("the tasks have not ended within {} s", LIMIT.as_secs());
    }
    Ok(())
}

fn completed(crowd: &Crowd) -> Result<u64> {
    let server = crowd.servers.first().context("no process")?;
    let stats = Request::get("/api/v1/tasks/stats")
        .header("Authorization", crowd.bearer())
        .send(server.address())?;
    let count = stats
        .body
        .pointer("/data/byStatus/completed")
        .and_then(Value::as_u64);
    count.with_context(|| format!("no count of tasks in {}", stats.body))
}

fn task() -> Value {
    json!({ "title": "bench", "plugin": "sample", "action": "echo", "payload": { "message": "hello" } })
}

/// Has tasks done while the database writes down each operation, and counts those of claims.
fn claims(crowd: &Crowd, (watch, shared): (&mut Watch, &Shared), tasks: u32) -> Result<Claims> {
    let (mongo, database) = (&mut watch.mongo, crowd.database.as_str());
    mongo.begin_profile(database)?;
    let done = have_done(crowd, shared, tasks);
    mongo.end_profile(database)?;
    done?;
    let place = format!("{database}.tasks");
    let mut count = |like: Value| {
        let mut like = like.as_object().cloned().unwrap_or_default();
        like.insert("ns".to_owned(), json!(place));
        mongo.count_profiled(database, &Value::Object(like))
    };
    let there = json!({ "$exists": true });
    Ok(Claims {
        // What is always there is the name of the one plugin that has tasks.
        looks: count(json!({
            "command.aggregate": "tasks",
            "command.pipeline.0.$match.q": 1,
            "command.pipeline.0.$match.l": there,
            "nreturned": { "$gt": 1 },
        }))?,
        takes: count(json!({ "op": "update", "command.u.$set.ct": there, "nMatched": { "$gt": 0 } }))?,
        losses: count(json!({ "op": "update", "command.u.$set.ct": there, "nMatched": 0 }))?,
        readings: count(json!({ "op": "query", "command.filter.ct": there }))?,
        others: count(json!({ "op": "update", "command.u.$set.n": there }))?
            + count(json!({ "op": "getmore", "originatingCommand.filter.ct": there }))?
            + count(json!({ "op": "getmore", "originatingCommand.aggregate": "tasks" }))?,
        tasks: f64::from(tasks),
    })
}
