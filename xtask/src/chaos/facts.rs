//! What the server shows at the end, and what its plugin wrote down meanwhile.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::chaos::drive::Admin;
use crate::chaos::lives::Stage;
use crate::clock;
use crate::request::Request;

/// How many threads read at the same time.
const READERS: usize = 4;

/// A task, as it is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) error: Option<Failure>,
    #[serde(default)]
    pub(super) retry_count: u64,
    #[serde(default)]
    pub(super) max_retries: u64,
    #[serde(default)]
    pub(super) scheduled_at: Option<String>,
    #[serde(default)]
    pub(super) finished_at: Option<String>,
    #[serde(default)]
    pub(super) schedule_id: Option<String>,
}

impl Task {
    /// When it came into its final state; milliseconds since 1970.
    pub(super) fn finished_millis(&self) -> Option<i64> {
        self.finished_at.as_deref().and_then(clock::parse_millis)
    }

    /// The code of its failure.
    pub(super) fn code(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.code)
    }
}

/// Why something failed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) code: String,
}

/// One attempt at a task, as its history shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    pub(super) id: String,
    pub(super) attempt: u32,
    pub(super) status: String,
    #[serde(default)]
    pub(super) error: Option<Failure>,
    pub(super) created_at: String,
}

impl Attempt {
    /// The code of its failure; empty when it has none.
    pub(super) fn code(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.code)
    }

    /// Tells whether it ended with its worker, and not by itself.
    pub(super) fn was_interrupted(&self) -> bool {
        matches!(self.code(), "interrupted")
    }

    /// Tells whether it failed by itself.
    pub(super) fn has_failed(&self) -> bool {
        self.status == "failure" && !matches!(self.code(), "interrupted" | "cancelled")
    }

    /// When it began; milliseconds since 1970.
    pub(super) fn began_millis(&self) -> i64 {
        clock::parse_millis(&self.created_at).unwrap_or_default()
    }
}

/// What a line of the journal tells of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Moment {
    Begin,
    Failed,
    Done,
}

/// One line of the journal.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Line {
    pub(super) at: i64,
    pub(super) what: Moment,
    pub(super) execution: String,
    pub(super) task: Option<String>,
    pub(super) attempt: Option<u32>,
    /// The number of the process that wrote it.
    #[serde(skip)]
    pub(super) process: usize,
}

/// Everything that can be seen from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) tasks: Vec<Task>,
    /// By the id of the task, the earliest first.
    pub(super) attempts: HashMap<String, Vec<Attempt>>,
    pub(super) journal: Vec<Line>,
    /// How many tasks the lists of each status say that they hold, and the list of all.
    pub(super) totals: Vec<(&'static str, u64)>,
}

impl Facts {
    /// Reads every task and every attempt as the operator, and the journal.
    pub(super) fn gather(stage: &Stage, admin: &Admin) -> Result<Self> {
        let reader = Reader {
            address: stage.current()?,
            key: &admin.key,
        };
        let tasks = reader.tasks()?;
        let attempts = reader.all_attempts(&tasks)?;
        let mut totals = vec![("all", reader.total("")?)];
        for status in ["pending", "in-progress", "completed", "failed", "cancelled"] {
            totals.push((status, reader.total(&format!("&status={status}"))?));
        }
        Ok(Self {
            tasks,
            attempts,
            journal: stage.journal()?,
            totals,
        })
    }
}

/// Reads with the operator's key.
struct Reader<'a> {
    address: SocketAddr,
    key: &'a str,
}

impl Reader<'_> {
    fn get(&self, path: &str) -> Result<Value> {
        let reply = Request::get(path)
            .header("X-API-Key", self.key)
            .send(self.address)
            .with_context(|| path.to_owned())?;
        if reply.status != 200 {
            bail!("{path}: {} {}", reply.status, reply.body);
        }
        Ok(reply.body)
    }

    fn total(&self, filter: &str) -> Result<u64> {
        let body = self.get(&format!("/api/v1/tasks?limit=1{filter}"))?;
        let total = body.pointer("/page/total").and_then(Value::as_u64);
        total.with_context(|| format!("a list without a total: {body}"))
    }

    fn tasks(&self) -> Result<Vec<Task>> {
        let mut found: Vec<Task> = Vec::new();
        let mut path = "/api/v1/tasks?limit=100&sort=createdAt".to_owned();
        loop {
            let mut body = self.get(&path)?;
            let page = body.pointer_mut("/data").map(Value::take).unwrap_or_default();
            let page: Vec<Task> = serde_json::from_value(page).with_context(|| path.clone())?;
            found.extend(page);
            match body.pointer("/page/nextCursor").and_then(Value::as_str) {
                Some(cursor) => {
                    path = format!("/api/v1/tasks?limit=100&sort=createdAt&cursor={cursor}");
                }
                None => return Ok(found),
            }
        }
    }

    fn all_attempts(&self, tasks: &[Task]) -> Result<HashMap<String, Vec<Attempt>>> {
        let portion = tasks.len().div_ceil(READERS).max(1);
        thread::scope(|scope| {
            let readers: Vec<_> = tasks
                .chunks(portion)
                .map(|some| scope.spawn(move || self.some_attempts(some)))
                .collect();
            let mut found = HashMap::new();
            for reader in readers {
                let read = reader.join().map_err(|_| anyhow!("a reader failed"))?;
                found.extend(read?);
            }
            Ok(found)
        })
    }

    fn some_attempts(&self, tasks: &[Task]) -> Result<Vec<(String, Vec<Attempt>)>> {
        tasks
            .iter()
            .map(|task| Ok((task.id.clone(), self.attempts(&task.id)?)))
            .collect()
    }

    fn attempts(&self, id: &str) -> Result<Vec<Attempt>> {
        let path = format!("/api/v1/tasks/{id}/attempts");
        let mut body = self.get(&path)?;
        let list = body.pointer_mut("/data").map(Value::take).unwrap_or_default();
        let mut attempts: Vec<Attempt> = serde_json::from_value(list).with_context(|| path)?;
        attempts.sort_by_key(|attempt| attempt.attempt);
        Ok(attempts)
    }
}

impl Stage {
    /// Reads what the plugins wrote down. A line that a kill cut off is left out: it can only be the last one of its
    /// life, and tells of nothing that anyone was told.
    fn journal(&self) -> Result<Vec<Line>> {
        let mut all = Vec::new();
        for (process, path) in self.journals.iter().enumerate() {
            let text = fs::read_to_string(path)?;
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Line>(line).ok());
            all.extend(lines.map(|line| Line { process, ..line }));
        }
        Ok(all)
    }
}
