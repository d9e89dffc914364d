//! Changes of what a task is.

use model::{
    Error, ErrorCode, Result, Standing, Task, TaskChange, TaskEvent, TaskKind, TaskStatus, Timestamp,
};

use super::{
    change::{Change, Patch},
    depend::Own,
    row::{to_millis, to_tag_texts},
};
use crate::{
    json::to_json_text,
    mongodb::{MongoStore, column::moment, contention::Contention},
};

impl MongoStore {
    /// Changes a task as named.
    pub(super) async fn edit(&self, own: Own, change: &TaskChange, now: Timestamp) -> Result<Option<Task>> {
        let texts = texts_of(change)?;
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_placed(own).await? else {
                return Ok(None);
            };
            let before = row.standing()?;
            require_open(&before, change)?;
            if change.payload.is_some() && row.inquiry.is_some() {
                let message =
                    "the task has asked something about its payload, which can't be changed any more";
                return Err(Error::new(ErrorCode::Conflict, message));
            }
            let mut write = Change::to(&row, standing_after(before, change, now)?, now)?;
            write.priority = change.priority.unwrap_or(write.priority);
            write.patch = texts.clone();
            write.patch.put("ua", Some(moment(now)));
            if let Some(task) = self.change_and_read(&row, write).await? {
                return Ok(Some(task.into_task()?));
            }
            contention.again().await?;
        }
    }
}

/// What of a change is no matter of where the task stands.
///
/// # Errors
/// `Invalid` when the payload can't be kept.
fn texts_of(change: &TaskChange) -> Result<Patch> {
    let mut patch = Patch::default();
    if let Some(title) = &change.title {
        patch.put("t", Some(title.as_str()));
    }
    if let Some(description) = &change.description {
        patch.put("d", description.as_ref().map(|text| text.as_str()));
    }
    if let Some(tags) = &change.tags {
        patch.put("g", Some(to_tag_texts(tags)).filter(|tags| !tags.is_empty()));
    }
    if let Some(payload) = &change.payload {
        let text = to_json_text(payload).map_err(|error| error.under("payload"))?;
        patch.put("pl", Some(text));
    }
    if let Some(at) = change.scheduled_at {
        patch.put("at", at.map(moment));
    }
    if let Some(timeout) = change.timeout {
        patch.put("to", timeout.map(to_millis));
    }
    Ok(patch)
}

/// Refuses to change what is being done, or was.
fn require_open(standing: &Standing, change: &TaskChange) -> Result<()> {
    let conflict = |message: &'static str| Err(Error::new(ErrorCode::Conflict, message));
    if change.payload.is_some() && standing.kind == TaskKind::ToDo {
        return conflict("a task without a plugin has no payload");
    }
    if !change.changes_definition() {
        return Ok(());
    }
    let is_to_do = standing.kind == TaskKind::ToDo;
    match standing.status {
        TaskStatus::Pending => Ok(()),
        TaskStatus::InProgress if is_to_do => Ok(()),
        TaskStatus::InProgress => conflict("the task is in progress; only its texts can be changed"),
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => {
            conflict("the task has ended; only its texts can be changed")
        }
    }
}

fn standing_after(before: Standing, change: &TaskChange, now: Timestamp) -> Result<Standing> {
    let moved = match change.status {
        Some(to) => before.after(TaskEvent::Moved { to })?,
        None => before,
    };
    Ok(Standing {
        max_retries: change.max_retries.unwrap_or(moved.max_retries),
        max_stalls: change.max_stalls.unwrap_or(moved.max_stalls),
        due_at: match change.scheduled_at {
            Some(at) => at.map_or(now, |at| at.max(now)),
            None => moved.due_at,
        },
        ..moved
    })
}
