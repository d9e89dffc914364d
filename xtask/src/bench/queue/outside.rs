//! The queue over HTTP: the server takes tasks and does none.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::bench::contenders::SETTINGS;
use crate::bench::load::{self, Load};
use crate::bench::machine;
use crate::bench::queue::figures::Rate;
use crate::request::Request;
use crate::subject::{Setup, Subject};

/// Requests with one task each that are in flight.
const SINGLES: u32 = 50;

/// Requests with many tasks each that are in flight.
const BULKS: u32 = 4;

/// How many tasks one of those holds.
const AT_ONCE: u32 = 1_000;

const EMAIL: &str = "bench@bench.example";
const PASSWORD: &str = "correct horse battery staple";

/// Sends one task in a request, for so many seconds.
pub(super) fn single(server: &Path, folder: &Path, seconds: u32) -> Result<Rate> {
    drive(server, folder, seconds, ("/api/v1/tasks", &task(), SINGLES))
}

/// Sends a thousand tasks in a request, for so many seconds; gives the rate of tasks.
pub(super) fn bulk(server: &Path, folder: &Path, seconds: u32) -> Result<Rate> {
    let tasks: Vec<Value> = (0..AT_ONCE).map(|_| task()).collect();
    let body = json!({ "tasks": tasks });
    let requests = drive(server, folder, seconds, ("/api/v1/tasks/bulk", &body, BULKS))?;
    Ok(Rate {
        per_second: requests.per_second * f64::from(AT_ONCE),
        cpu: requests.cpu / AT_ONCE,
        bytes: 0.0,
    })
}

/// The server as shipped, but that it does no tasks, limits are out of the way and its log is quiet.
pub(super) fn start(server: &Path, folder: &Path, worker_concurrency: &str) -> Result<(Subject, String)> {
    let mut settings = SETTINGS.to_vec();
    settings.push(("WORKER_CONCURRENCY", worker_concurrency));
    let subject = Subject::start(&Setup {
        binary: server,
        folder,
        settings: &settings,
    })?;
    let account = json!({ "email": EMAIL, "username": "bench", "password": PASSWORD });
    let registered = Request::post("/api/v1/auth/register", &account).send(subject.address())?;
    let token = match registered.text("/data/token") {
        Ok(token) => token,
        // The account is there from an earlier round.
        Err(_) => Request::post(
            "/api/v1/auth/login",
            &json!({ "email": EMAIL, "password": PASSWORD }),
        )
        .send(subject.address())?
        .text("/data/token")
        .context("can't sign in")?,
    };
    Ok((subject, token))
}

fn drive(
    server: &Path,
    folder: &Path,
    seconds: u32,
    (path, body, connections): (&str, &Value, u32),
) -> Result<Rate> {
    let (subject, token) = start(server, folder, "0")?;
    let load = Load {
        url: format!("http://{}{path}", subject.address()),
        method: "POST",
        headers: vec![
            ("Authorization", format!("Bearer {token}")),
            ("Content-Type", "application/json".to_owned()),
        ],
        body: Some(body.to_string()),
        connections,
    };
    let before = machine::cpu(subject.pid())?;
    let drive = load::drive(&load, seconds, folder)?;
    let busy = machine::cpu(subject.pid())?.saturating_sub(before);
    subject.stop()?;
    Ok(Rate {
        per_second: drive.per_second(),
        cpu: busy.div_f64(drive.requests.max(1.0)),
        bytes: 0.0,
    })
}

fn task() -> Value {
    json!({ "title": "bench", "plugin": "sample", "action": "echo", "payload": { "message": "hello" } })
}
