//! What a handler says before its result, as notifications.

use serde::Serialize;
use serde_json::Value;

use crate::{
    context::{LogLevel, OutboxNotice},
    jsonrpc::notification_message,
};

/// Writes the notices of one request.
#[derive(Debug)]
pub(crate) struct NoticeWriter {
    progress_token: Option<Value>,
    reached: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams<'a> {
    progress_token: &'a Value,
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct LogParams<'a> {
    level: LogLevel,
    #[serde(skip_serializing_if = "Option::is_none")]
    logger: Option<&'a str>,
    data: &'a Value,
}

impl NoticeWriter {
    /// For a request with this progress token.
    pub(crate) fn new(progress_token: Option<Value>) -> Self {
        Self {
            progress_token,
            reached: f64::NEG_INFINITY,
        }
    }

    /// Writes a notice; `None` for progress that the protocol forbids to tell: without a token, or that isn't further than
    /// what was told before.
    pub(crate) fn write(&mut self, notice: &OutboxNotice) -> Option<String> {
        match notice {
            OutboxNotice::Progress {
                progress,
                total,
                message,
            } => {
                if !progress.is_finite() || *progress <= self.reached {
                    return None;
                }
                let params = ProgressParams {
                    progress_token: self.progress_token.as_ref()?,
                    progress: *progress,
                    total: total.filter(|total| total.is_finite()),
                    message: message.as_deref(),
                };
                self.reached = *progress;
                Some(notification_message("notifications/progress", &params))
            }
            OutboxNotice::Log { level, logger, data } => {
                let params = LogParams {
                    level: *level,
                    logger: logger.as_deref(),
                    data,
                };
                Some(notification_message("notifications/message", &params))
            }
        }
    }
}
