//! Tasks that outlive the server on which they were begun, and the client that began them.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::clients::Place;
use crate::clients::job::{Era, Job};
use crate::clients::kit::{self, Kit};
use crate::say;
use crate::subject::Subject;

/// How long a task's work takes: longer than the server is waited for before a call becomes a task, and than its client
/// needs to end.
const WORK_MILLIS: u64 = 4_000;

/// How long a task may take in all, with the kill in between.
const LIMIT: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Begins a task by the extension and one by the tools, kills the server, and lets other clients get the results.
///
/// Gives the server that runs now.
///
/// # Errors
/// Fails when a task can't be begun, and when it doesn't end well.
pub(super) fn check(kits: &[Kit], place: &Place<'_>, server: Subject) -> Result<Subject> {
    let begin = Instant::now();
    let rmcp = kit::named(kits, Kit::RMCP)?;
    let bearer = format!("Bearer {}", place.token);
    let http = |server: &Subject, era| Job::http(server.address(), "Authorization", &bearer, era);

    let work = json!({ "ms": WORK_MILLIS });
    let call = http(&server, Era::Modern).calling(vec![("sample__sleep", work.clone())]);
    let begun = rmcp.run(&call, &place.folder)?;
    let by_extension = text(begun.results.first(), "/taskId").context("the long call became no task")?;

    let submission = json!({ "tool": "sample__sleep", "arguments": work });
    let submit = http(&server, Era::Legacy).calling(vec![("tasks__submit", submission)]);
    let begun = kit::named(kits, Kit::TYPESCRIPT_V1)?.run(&submit, &place.folder)?;
    let by_tool =
        text(begun.results.first(), "/structuredContent/taskId").context("no task was submitted")?;

    server.kill()?;
    let server = place.start()?;

    let look = http(&server, Era::Modern).looking_at(&by_extension);
    await_completion(|| {
        let report = rmcp.run(&look, &place.folder)?;
        let task = report.tasks.into_iter().next().context("the task wasn't shown")?;
        Ok((task.pointer("/status") == Some(&json!("completed"))).then_some(task))
    })
    .and_then(|task| require_slept(&task, "/result/structuredContent/sleptMs"))
    .context("the task of the extension")?;

    let wait = json!({ "taskId": by_tool, "seconds": 20 });
    let wait = http(&server, Era::Modern).calling(vec![("tasks__wait", wait)]);
    let python = kit::named(kits, Kit::PYTHON)?;
    await_completion(|| {
        let report = python.run(&wait, &place.folder)?;
        let task = report
            .results
            .into_iter()
            .next()
            .context("nothing was answered")?;
        Ok((task.pointer("/structuredContent/isFinal") == Some(&json!(true))).then_some(task))
    })
    .and_then(|task| require_slept(&task, "/structuredContent/result/sleptMs"))
    .context("the task of the tools")?;

    say::line(format!(
        "two tasks outlived their server and their clients, in {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    Ok(server)
}

fn text(result: Option<&Value>, pointer: &str) -> Option<String> {
    result?.pointer(pointer)?.as_str().map(str::to_owned)
}

fn await_completion(look: impl Fn() -> Result<Option<Value>>) -> Result<Value> {
    let begin = Instant::now();
    loop {
        if let Some(task) = look()? {
            return Ok(task);
        }
        if begin.elapsed() > LIMIT {
            bail!("it didn't end within {} s", LIMIT.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

fn require_slept(task: &Value, pointer: &str) -> Result<()> {
    match task.pointer(pointer).and_then(Value::as_u64) {
        Some(millis) if millis >= WORK_MILLIS => Ok(()),
        _ => bail!("it has another result: {task}"),
    }
}
