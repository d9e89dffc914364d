//! What a plugin says while a call is under way.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a call has come, as its plugin says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// What is being done, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Takes what a plugin says of its progress. Cheap, never blocks; of many reports in a short time, the last counts.
#[derive(Clone, Default)]
pub struct ProgressReporter(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl ProgressReporter {
    /// Hands every report on.
    #[must_use]
    pub fn new(take: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(take)))
    }

    /// Says how far the call has come: a fraction from 0 to 1 (what lies outside is moved there; not a number is
    /// dropped), and what is being done (cut off after 256 characters).
    pub fn report(&self, fraction: f64, message: Option<&str>) {
        const MAX_CHARS: usize = 256;
        if let Some(take) = &self.0
            && !fraction.is_nan()
        {
            take(Progress {
                fraction: fraction.clamp(0.0, 1.0),
                message: message.map(|text| text.chars().take(MAX_CHARS).collect()),
            });
        }
    }
}

impl fmt::Debug for ProgressReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "ProgressReporter"
        } else {
            "ProgressReporter(none)"
        })
    }
}

/// How much a plugin's log message matters (the severities of RFC 5424); the later, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For who made the plugin.
    Debug,
    /// What happens.
    Info,
    /// What happens and matters.
    Notice,
    /// What may lead to a failure.
    Warning,
    /// What failed.
    Error,
    /// A part doesn't work.
    Critical,
    /// Someone must act at once.
    Alert,
    /// Nothing works.
    Emergency,
}

/// A message of a plugin to the caller's program.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMessage {
    /// How much it matters.
    pub level: LogLevel,
    /// What it says: a text, or fields.
    pub content: Value,
}

/// Takes what a plugin logs for its caller. Cheap, never blocks; messages that the caller doesn't want, or can't take
/// fast enough, are dropped. They are not in this server's own log.
#[derive(Clone, Default)]
pub struct LogReporter(Option<Arc<dyn Fn(LogMessage) + Send + Sync>>);

impl LogReporter {
    /// Hands every message on.
    #[must_use]
    pub fn new(take: impl Fn(LogMessage) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(take)))
    }

    /// Logs a message: a text, or fields.
    pub fn log(&self, level: LogLevel, content: impl Into<Value>) {
        if let Some(take) = &self.0 {
            take(LogMessage {
                level,
                content: content.into(),
            });
        }
    }
}

impl fmt::Debug for LogReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "LogReporter"
        } else {
            "LogReporter(none)"
        })
    }
}
