//! What a handler knows of a request beside its parameters, and how it speaks before the result.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::{catalogue::Implementation, error::TASKS_EXTENSION, question::QuestionKind, revision::Revision};

/// What a client said that it can do, as it said it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(Map<String, Value>);

impl Capabilities {
    /// Takes what the client sent.
    #[must_use]
    pub fn new(said: Map<String, Value>) -> Self {
        Self(said)
    }

    /// Tells whether the client can answer such a question.
    #[must_use]
    pub fn answers(&self, kind: QuestionKind) -> bool {
        self.0.get(kind.capability()).is_some_and(Value::is_object)
    }

    /// Tells whether the client takes tasks instead of results.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        let extensions = self.0.get("extensions");
        extensions
            .and_then(|all| all.get(TASKS_EXTENSION))
            .is_some_and(Value::is_object)
    }

    /// All that was said.
    #[must_use]
    pub fn said(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// How much a log message matters (RFC 5424).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the tool's maker.
    Debug,
    /// What happens.
    Info,
    /// What matters.
    Notice,
    /// What may go wrong.
    Warning,
    /// What went wrong.
    Error,
    /// Badly.
    Critical,
    /// At once.
    Alert,
    /// Nothing works.
    Emergency,
}

/// Something that a handler says before its result.
#[derive(Clone, Debug, PartialEq)]
pub enum OutboxNotice {
    /// How far it has come.
    Progress {
        /// So far.
        progress: f64,
        /// Of how much.
        total: Option<f64>,
        /// What is being done.
        message: Option<String>,
    },
    /// A log message.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// Of which part.
        logger: Option<String>,
        /// What.
        data: Value,
    },
}

/// Takes what a handler says before its result. Never blocks: what the client doesn't want, or can't take fast enough, is dropped.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    sender: Option<mpsc::Sender<OutboxNotice>>,
    wants_progress: bool,
    least_level: Option<LogLevel>,
}

impl Outbox {
    /// An outbox that leads to `sender`; progress only when it is wanted, log messages from `least_level` on (none when `None`).
    #[must_use]
    pub fn new(
        sender: mpsc::Sender<OutboxNotice>,
        wants_progress: bool,
        least_level: Option<LogLevel>,
    ) -> Self {
        Self {
            sender: Some(sender),
            wants_progress,
            least_level,
        }
    }

    /// Tells whether the client asked for progress.
    #[must_use]
    pub fn wants_progress(&self) -> bool {
        self.wants_progress
    }

    /// Tells whether the client hears any log message at all.
    #[must_use]
    pub fn wants_logs(&self) -> bool {
        self.sender.is_some() && self.least_level.is_some()
    }

    /// Says how far the work has come.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<String>) {
        if self.wants_progress {
            self.send(OutboxNotice::Progress {
                progress,
                total,
                message,
            });
        }
    }

    /// Writes a log message.
    pub fn log(&self, level: LogLevel, logger: Option<String>, data: Value) {
        if self.least_level.is_some_and(|least| level >= least) {
            self.send(OutboxNotice::Log { level, logger, data });
        }
    }

    fn send(&self, notice: OutboxNotice) {
        if let Some(sender) = &self.sender {
            // A full or closed channel: the client is too slow for it, or gone.
            let _dropped = sender.try_send(notice);
        }
    }
}

/// What a handler knows of a request.
#[derive(Clone, Debug)]
pub struct Context<C> {
    /// On whose behalf, as the host found out.
    pub caller: C,
    /// Which revision is spoken.
    pub revision: Revision,
    /// Which program the caller uses, as it says.
    pub client: Option<Implementation>,
    /// What that program can do.
    pub capabilities: Capabilities,
    /// Takes what is said before the result.
    pub outbox: Outbox,
    /// The `traceparent` that the request carried (W3C Trace Context).
    pub trace_parent: Option<String>,
}
