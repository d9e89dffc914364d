//! Calls as they are carried from store to store.

use model::{Error, ErrorCode, Result, TaskId, UserId};

use super::row::{ExecutionRow, MAX_TEXT};
use crate::{
    mongodb::column::{id, moment, timestamp, uuid},
    transfer::ExecutionRecord,
};

impl ExecutionRow {
    /// The document of a record.
    ///
    /// # Errors
    /// `PayloadTooLarge` when there is no room for it in a document.
    pub(in crate::mongodb) fn of_record(record: &ExecutionRecord) -> Result<Self> {
        let result_bytes = record.result.as_ref().map_or(0, String::len);
        if record.payload.len().saturating_add(result_bytes) > MAX_TEXT {
            let message = format!(
                "the call {} has a payload and a result of more than 15 MiB together, which this database can't keep",
                record.id
            );
            return Err(Error::new(ErrorCode::PayloadTooLarge, message));
        }
        Ok(Self {
            id: id(record.id),
            plugin: record.plugin.clone(),
            action: record.action.clone(),
            source: record.source.clone(),
            status: record.status.clone(),
            user: record.user_id.map(|user| id(user.as_uuid())),
            task: record.task_id.map(|task| id(task.as_uuid())),
            attempt: record.attempt.map(i64::from),
            created_at: moment(record.created_at),
            duration: record.duration_micros,
            ip_address: record.ip_address.clone(),
            user_agent: record.user_agent.clone(),
            payload: record.payload.clone(),
            result: record.result.clone(),
            error_code: record.error_code.clone(),
            error_message: record.error_message.clone(),
        })
    }

    /// Makes a record of a call.
    pub(in crate::mongodb) fn into_record(self) -> ExecutionRecord {
        ExecutionRecord {
            id: uuid(self.id),
            plugin: self.plugin,
            action: self.action,
            source: self.source,
            status: self.status,
            user_id: self.user.map(|user| UserId::from_uuid(uuid(user))),
            task_id: self.task.map(|task| TaskId::from_uuid(uuid(task))),
            attempt: self.attempt.and_then(|attempt| u32::try_from(attempt).ok()),
            created_at: timestamp(self.created_at),
            duration_micros: self.duration,
            ip_address: self.ip_address,
            user_agent: self.user_agent,
            error_code: self.error_code,
            error_message: self.error_message,
            payload: self.payload,
            result: self.result,
        }
    }
}
