//! What a client is asked to do, and what it reports.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

/// Which revisions are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// 2026-07-28: each request for itself.
    Modern,
    /// Those before: beginning with `initialize`.
    Legacy,
}

impl Era {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Modern => "stateless",
            Self::Legacy => "older",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// What a client is asked to do: list all tools, make some calls in turn, look at some tasks.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) era: Era,
    description: Value,
}

impl Job {
    /// A job over HTTP, with one header beside what the client sends by itself.
    pub(super) fn http(server: SocketAddr, header: &str, value: &str, era: Era) -> Self {
        let way = json!({ "url": format!("http://{server}/mcp"), "headers": { header: value } });
        Self::over(way, era)
    }

    /// A job with a server that the client starts.
    pub(super) fn pipes(server: &Path, data: &Path, key: &str, era: Era) -> Self {
        let env = json!({
            "MCP_SERVER_API_KEY": key,
            "DATA_DIR": data,
            "BCRYPT_COST": "4",
            "LOG_LEVEL": "warn",
        });
        Self::over(json!({ "command": [server, "stdio"], "env": env }), era)
    }

    fn over(mut description: Value, era: Era) -> Self {
        put(&mut description, "era", json!(era.word()));
        put(&mut description, "calls", json!([]));
        put(&mut description, "tasks", json!([]));
        Self { era, description }
    }

    /// The same job with calls to be made.
    pub(super) fn calling(mut self, calls: Vec<(&str, Value)>) -> Self {
        let calls = calls
            .into_iter()
            .map(|(name, arguments)| json!({ "name": name, "arguments": arguments }));
        put(&mut self.description, "calls", calls.collect());
        self
    }

    /// The same job with a task to be looked at.
    pub(super) fn looking_at(mut self, task: &str) -> Self {
        put(&mut self.description, "tasks", json!([task]));
        self
    }

    /// As a client reads it.
    pub(super) fn text(&self) -> String {
        self.description.to_string()
    }
}

fn put(description: &mut Value, name: &str, value: Value) {
    if let Some(fields) = description.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// What a client reports.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    /// Which revision was agreed upon.
    pub(super) revision: Option<String>,
    /// The names of all tools, in the order of the list.
    pub(super) tools: Vec<String>,
    /// What came of each call.
    pub(super) results: Vec<Value>,
    /// The states of the tasks.
    #[serde(default)]
    pub(super) tasks: Vec<Value>,
}

impl Report {
    /// Tells whether a tool was listed.
    pub(super) fn has_tool(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool == name)
    }
}
