//! How an execution stands in its document.

use std::time::Duration;

use ::mongodb::bson::{DateTime, Document, Uuid, doc};
use model::{
    CallTry, Error, ErrorCode, Execution, ExecutionId, ExecutionOutcome, ExecutionStatus, Failure, Result,
    Source, TaskId, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    json::to_json_text,
    mongodb::column::{from_count, from_json_text, id, moment, named, parsed, timestamp, to_count, uuid},
};

/// How many bytes payload and result have together at most: a document has at most 16 MiB.
pub(super) const MAX_TEXT: usize = 15 * 1024 * 1024;

/// An execution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::mongodb) struct ExecutionRow {
    #[serde(rename = "_id")]
    pub(in crate::mongodb) id: Uuid,
    #[serde(rename = "p")]
    pub(super) plugin: String,
    #[serde(rename = "a")]
    pub(super) action: String,
    #[serde(rename = "src")]
    pub(super) source: String,
    #[serde(rename = "st")]
    pub(super) status: String,
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Uuid>,
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<Uuid>,
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<i64>,
    #[serde(rename = "c")]
    pub(super) created_at: DateTime,
    /// In microseconds.
    #[serde(rename = "d")]
    pub(super) duration: i64,
    #[serde(rename = "ip", skip_serializing_if = "Option::is_none")]
    pub(super) ip_address: Option<String>,
    #[serde(rename = "ua", skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<String>,
    #[serde(rename = "pl")]
    pub(super) payload: String,
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<String>,
    #[serde(rename = "ec", skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<String>,
    #[serde(rename = "em", skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<String>,
}

impl ExecutionRow {
    /// Takes an execution apart.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge` when payload or result can't be kept.
    pub(in crate::mongodb) fn of(execution: &Execution) -> Result<Self> {
        let payload = to_json_text(&execution.payload).map_err(|error| error.under("payload"))?;
        let outcome = OutcomeTexts::of(&execution.outcome)?;
        require_room(
            payload
                .len()
                .saturating_add(outcome.result.as_ref().map_or(0, String::len)),
        )?;
        let is_running = execution.outcome == ExecutionOutcome::Running;
        Ok(Self {
            id: id(execution.id.as_uuid()),
            plugin: execution.plugin.as_str().to_owned(),
            action: execution.action.as_str().to_owned(),
            source: execution.source.as_str().to_owned(),
            status: execution.outcome.status().as_str().to_owned(),
            user: execution.user_id.map(|user| id(user.as_uuid())),
            task: execution.task.map(|task| id(task.task_id.as_uuid())),
            attempt: execution.task.map(|task| i64::from(task.attempt)),
            created_at: moment(execution.created_at),
            duration: if is_running { 0 } else { micros(execution.duration) },
            ip_address: execution.ip_address.clone(),
            user_agent: execution.user_agent.clone(),
            payload,
            result: outcome.result,
            error_code: outcome.error_code,
            error_message: outcome.error_message,
        })
    }

    /// How many bytes of text of its callers and plugins it has.
    pub(super) fn text_len(&self) -> usize {
        let optional = [&self.result, &self.error_message];
        let further = optional.into_iter().flatten().map(String::len);
        further.fold(self.payload.len(), usize::saturating_add)
    }

    /// Reads the execution.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(in crate::mongodb) fn into_execution(self) -> Result<Execution> {
        let status = named(&ExecutionStatus::ALL, ExecutionStatus::as_str, &self.status)?;
        let absent = || Error::bug("an ended execution has no end");
        let outcome = match status {
            ExecutionStatus::Running => ExecutionOutcome::Running,
            ExecutionStatus::Success => {
                ExecutionOutcome::Success(from_json_text(self.result.as_deref().ok_or_else(absent)?)?)
            }
            ExecutionStatus::Failure => ExecutionOutcome::Failure(Failure {
                code: self.error_code.ok_or_else(absent)?,
                message: self.error_message.ok_or_else(absent)?,
            }),
        };
        let task = self.task.map(|task| CallTry {
            task_id: TaskId::from_uuid(uuid(task)),
            attempt: self
                .attempt
                .and_then(|attempt| u32::try_from(attempt).ok())
                .unwrap_or(0),
        });
        Ok(Execution {
            id: ExecutionId::from_uuid(uuid(self.id)),
            plugin: parsed(&self.plugin)?,
            action: parsed(&self.action)?,
            payload: from_json_text(&self.payload)?,
            outcome,
            duration: Duration::from_micros(to_count(self.duration)),
            user_id: self.user.map(|user| UserId::from_uuid(uuid(user))),
            task,
            source: named(&Source::ALL, Source::as_str, &self.source)?,
            ip_address: self.ip_address,
            user_agent: self.user_agent,
            created_at: timestamp(self.created_at),
        })
    }
}

/// What an ended execution has that a running one hasn't.
#[derive(Default)]
struct OutcomeTexts {
    result: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl OutcomeTexts {
    fn of(outcome: &ExecutionOutcome) -> Result<Self> {
        Ok(match outcome {
            ExecutionOutcome::Running => Self::default(),
            ExecutionOutcome::Success(result) => Self {
                result: Some(to_json_text(result).map_err(|error| error.under("result"))?),
                ..Self::default()
            },
            ExecutionOutcome::Failure(failure) => Self {
                error_code: Some(failure.code.clone()),
                error_message: Some(failure.message.clone()),
                ..Self::default()
            },
        })
    }
}

/// What ends a running execution, as a change of its document.
///
/// # Errors
/// `Invalid` or `TooLarge` when the result can't be kept; `Bug` when the outcome is no end.
pub(super) fn end_of(outcome: &ExecutionOutcome, duration: Duration) -> Result<Document> {
    if *outcome == ExecutionOutcome::Running {
        return Err(Error::bug("an execution was to be ended as running"));
    }
    let texts = OutcomeTexts::of(outcome)?;
    require_room(texts.result.as_ref().map_or(0, String::len))?;
    let mut end = doc! { "st": outcome.status().as_str(), "d": micros(duration) };
    let optional = [
        ("r", texts.result),
        ("ec", texts.error_code),
        ("em", texts.error_message),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            end.insert(name, text);
        }
    }
    Ok(end)
}

fn require_room(bytes: usize) -> Result<()> {
    if bytes <= MAX_TEXT {
        return Ok(());
    }
    let message = "the payload and the result of a call have at most 15 MiB together in this server's store";
    Err(Error::new(ErrorCode::PayloadTooLarge, message))
}

fn micros(duration: Duration) -> i64 {
    from_count(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
