//! The plugin `journal`: each call leaves a line at its beginning and one at its end.

use std::error::Error as StdError;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Action, ActionName, Annotations, Call, Clock as _, Error, ErrorCode, Health, Plugin, PluginName, Reply,
    Result, ResultForm, Runtime, Span,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use server::system::SystemClock;
use tokio::task;

/// The longest that a call can be asked to take.
const MAX_SLEEP_MILLIS: u64 = 60_000;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(70);

/// Holds the plugin `journal`.
pub(crate) struct Journal {
    plugin: Plugin,
    file: Arc<File>,
}

/// What a call is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    line: Option<String>,
    #[serde(default)]
    sleep_ms: u64,
    fail: Option<Fail>,
    /// Attempts up to this one fail; all when there is none.
    fail_attempts: Option<u32>,
}

/// A way to fail.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fail {
    Retryable,
    Permanent,
}

/// What happened to a call.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Moment {
    /// It began: the first thing that the plugin does.
    Begin,
    /// It failed, as asked.
    Failed,
    /// It had its effect, and is about to return.
    Done,
}

/// One line of the journal.
#[derive(Serialize)]
struct Line<'a> {
    /// Milliseconds since 1970.
    at: i64,
    what: Moment,
    execution: String,
    task: Option<String>,
    attempt: Option<u32>,
    line: Option<&'a str>,
}

impl Journal {
    /// Opens the journal, to which it only ever appends.
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, Box<dyn StdError>> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            plugin: Plugin {
                name: PluginName::parse("journal")?,
                title: "Journal".into(),
                description: "Writes down that it was called.".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                actions: vec![append_action()?],
                prompts: Vec::new(),
                resources: Vec::new(),
                resource_templates: Vec::new(),
                max_concurrency: 1024,
            },
            file: Arc::new(file),
        })
    }

    /// Appends one line, in one write, so that lines never mix; one that tells of an effect is made durable.
    async fn write(&self, call: &Call, moment: Moment, line: Option<&str>) -> Result<()> {
        let mut text = serde_json::to_string(&Line {
            at: SystemClock.now().as_millis(),
            what: moment,
            execution: call.execution_id.to_string(),
            task: call.task.map(|attempt| attempt.task_id.to_string()),
            attempt: call.task.map(|attempt| attempt.attempt),
            line,
        })
        .map_err(Error::bug)?;
        text.push('\n');
        let file = Arc::clone(&self.file);
        let written = task::spawn_blocking(move || {
            (&*file).write_all(text.as_bytes())?;
            match moment {
                Moment::Done => file.sync_data(),
                Moment::Begin | Moment::Failed => Ok(()),
            }
        });
        written
            .await
            .map_err(Error::bug)?
            .map_err(|error| Error::unavailable("the journal can't be written").source(error))
    }
}

fn append_action() -> Result<Action> {
    Ok(Action {
        name: ActionName::parse("append")?,
        title: "Append".into(),
        description: "Appends a line to the journal.".into(),
        input_schema: json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "line": { "type": "string", "maxLength": 1000, "description": "What to write down." },
                "sleepMs": { "type": "integer", "minimum": 0, "maximum": MAX_SLEEP_MILLIS, "description": "How long to take." },
                "fail": { "enum": ["retryable", "permanent"], "description": "Fail in this way in place of writing." },
                "failAttempts": { "type": "integer", "minimum": 1, "description": "Fail at attempts up to this one only." },
            },
            "additionalProperties": false,
        }),
        output_schema: None,
        result_form: ResultForm::Value,
        annotations: Annotations {
            read_only: false,
            destructive: false,
            idempotent: false,
            open_world: false,
        },
        span: Span::Varies,
        timeout: TIMEOUT,
    })
}

#[async_trait]
impl Runtime for Journal {
    fn kind(&self) -> &'static str {
        "journal"
    }

    fn plugins(&self) -> Vec<Plugin> {
        vec![self.plugin.clone()]
    }

    fn health(&self, _plugin: &PluginName) -> Health {
        Health::Healthy
    }

    async fn call(&self, call: Call) -> Result<Reply<Value>> {
        let wish: Wish = serde_json::from_value(call.payload.clone())
            .map_err(|error| Error::invalid("", error.to_string()))?;
        let line = wish.line.as_deref();
        self.write(&call, Moment::Begin, line).await?;
        take(Duration::from_millis(wish.sleep_ms.min(MAX_SLEEP_MILLIS))).await;
        let attempt = call.task.map_or(1, |attempt| attempt.attempt);
        let fails_now = wish.fail_attempts.is_none_or(|last| attempt <= last);
        if let Some(fail) = wish.fail.filter(|_| fails_now) {
            self.write(&call, Moment::Failed, line).await?;
            let code = match fail {
                Fail::Retryable => ErrorCode::PluginUnavailable,
                Fail::Permanent => ErrorCode::PluginFailed,
            };
            return Err(Error::new(code, "failed as asked"));
        }
        self.write(&call, Moment::Done, line).await?;
        Ok(Reply::Done(json!({ "attempt": attempt })))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "taking time is what the call was asked for"
)]
async fn take(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
