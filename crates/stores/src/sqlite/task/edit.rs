//! Changes of what a task is.

use std::time::Duration;

use model::{
    Error, ErrorCode, Result, Standing, Task, TaskChange, TaskEvent, TaskKind, TaskStatus, Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    place::Placed,
    row::RawTask,
    steer::{Own, reread},
    submit::to_tags_text,
};
use crate::{
    json::to_json_text,
    sqlite::{
        SqliteStore,
        column::{Moment, from_count},
        failure::Outcome,
        ledger::Ledger,
    },
};

/// Changes a task as named.
pub(super) async fn update(
    store: &SqliteStore,
    own: Own,
    change: TaskChange,
    now: Timestamp,
) -> Result<Option<Task>> {
    let columns = Columns::of(&change)?;
    let work = move |connection: &Connection, ledger: &mut Ledger| {
        let Some(before) = own.find_placed(connection)? else {
            return Ok(None);
        };
        require_open(&before, &change)?;
        if change.payload.is_some() {
            require_unasked(connection, before.seq)?;
        }
        let standing = standing_after(before.standing, &change, now)?;
        let mut moved = before.to(standing, now);
        moved.priority = change.priority.unwrap_or(before.priority);
        if standing != before.standing || moved.priority != before.priority {
            before.change(connection, &mut ledger.tasks, moved)?;
        }
        columns.write(connection, before.seq, now)?;
        Ok(Some(reread(connection, own.id)?))
    };
    let task = store.writer.revise(work).await?;
    task.map(RawTask::into_task).transpose()
}

/// Refuses to change what is being done, or was.
fn require_open(task: &Placed, change: &TaskChange) -> Result<()> {
    let conflict = |message: &'static str| Err(Error::new(ErrorCode::Conflict, message));
    if change.payload.is_some() && task.standing.kind == TaskKind::ToDo {
        return conflict("a task without a plugin has no payload");
    }
    if !change.changes_definition() {
        return Ok(());
    }
    let is_to_do = task.standing.kind == TaskKind::ToDo;
    match task.standing.status {
        TaskStatus::Pending => Ok(()),
        TaskStatus::InProgress if is_to_do => Ok(()),
        TaskStatus::InProgress => conflict("the task is in progress; only its texts can be changed"),
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => {
            conflict("the task has ended; only its texts can be changed")
        }
    }
}

/// Refuses another payload for a task that asked something about the one that it has.
fn require_unasked(connection: &Connection, seq: i64) -> Outcome<()> {
    let has_asked = connection
        .prepare_cached("SELECT 1 FROM task WHERE seq = ?1 AND inquiry IS NOT NULL")?
        .exists([seq])?;
    if has_asked {
        let message = "the task has asked something about its payload, which can't be changed any more";
        return Err(Error::new(ErrorCode::Conflict, message).into());
    }
    Ok(())
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

/// What of a change is no matter of where the task stands, as it stands in columns; made where the caller is.
struct Columns {
    title: Option<String>,
    description: Option<Option<String>>,
    tags: Option<Option<String>>,
    payload: Option<String>,
    scheduled_at: Option<Option<Timestamp>>,
    timeout_ms: Option<Option<i64>>,
}

impl Columns {
    /// Takes a change apart.
    ///
    /// # Errors
    /// `Invalid` when the payload can't be kept.
    fn of(change: &TaskChange) -> Result<Self> {
        let to_millis = |span: Duration| from_count(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let payload = change.payload.as_ref().map(to_json_text).transpose();
        Ok(Self {
            title: change.title.as_ref().map(|title| title.as_str().to_owned()),
            description: change
                .description
                .as_ref()
                .map(|text| text.as_ref().map(|text| text.as_str().to_owned())),
            tags: change.tags.as_ref().map(to_tags_text).transpose()?,
            payload: payload.map_err(|error| error.under("payload"))?,
            scheduled_at: change.scheduled_at,
            timeout_ms: change.timeout.map(|timeout| timeout.map(to_millis)),
        })
    }

    fn write(self, connection: &Connection, seq: i64, now: Timestamp) -> Outcome<()> {
        connection
            .prepare_cached(
                "UPDATE task SET title = coalesce(?2, title), \
                 description = CASE WHEN ?3 THEN ?4 ELSE description END, \
                 tags = CASE WHEN ?5 THEN ?6 ELSE tags END, payload = coalesce(?7, payload), \
                 scheduled_at = CASE WHEN ?8 THEN ?9 ELSE scheduled_at END, \
                 timeout_ms = CASE WHEN ?10 THEN ?11 ELSE timeout_ms END, updated_at = ?12 WHERE seq = ?1",
            )?
            .execute(params![
                seq,
                self.title,
                self.description.is_some(),
                self.description.flatten(),
                self.tags.is_some(),
                self.tags.flatten(),
                self.payload,
                self.scheduled_at.is_some(),
                self.scheduled_at.flatten().map(Moment),
                self.timeout_ms.is_some(),
                self.timeout_ms.flatten(),
                Moment(now),
            ])?;
        Ok(())
    }
}
