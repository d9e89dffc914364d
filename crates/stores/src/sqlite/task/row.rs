//! Reading tasks.

use std::time::Duration;

use model::{
    CatchUp, Error, Failure, Job, Lease, Priority, Recurrence, Result, Standing, Task, TaskId, Timestamp,
    UserId, WorkerId,
};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::Deserialize;
use uuid::Uuid;

use crate::sqlite::{
    column::{Id, Kind, Moment, Status, Urgency, to_count},
    lanes::Place,
};

/// The columns of a task `t`, in the order in which they are read. What lies in other tables is looked up only
/// where there can be something.
pub(super) const COLUMNS: &str = "t.kind, t.status, t.attempt, t.retry_count, t.max_retries, t.stall_count, \
    t.max_stalls, t.unmet, t.due_at, t.worker, t.lease_until, t.id, t.user_id, t.priority, t.title, t.description, \
    t.tags, (SELECT l.plugin FROM task_lane l WHERE l.id = t.lane), t.action, t.payload, t.timeout_ms, \
    t.scheduled_at, t.unique_key, (SELECT group_concat(d.position || ':' || hex(d.depends_on)) \
    FROM task_dependency d WHERE d.task_id = t.id), CASE t.kind WHEN 2 THEN (SELECT json_array(r.cron, r.timezone, \
    r.catch_up, r.is_paused, r.next_at, r.last_at) FROM recurrence r WHERE r.task_id = t.id) END, t.schedule_id, \
    CASE t.status WHEN 2 THEN coalesce((SELECT e.result FROM execution e WHERE e.id = t.execution_id), t.result) END, \
    t.error_code, \
    t.error_message, t.progress, t.started_at, t.finished_at, t.created_at, t.updated_at, t.queue, t.inquiry";

/// How many they are.
pub(super) const COLUMN_COUNT: usize = 36;

/// Looks a task up by id, whosever it is.
pub(super) fn find(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<RawTask>> {
    let sql = format!("SELECT {COLUMNS} FROM task t WHERE t.id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([Id(id.as_uuid())], RawTask::read)
        .optional()
}

/// Reads a standing from a row that begins with its columns, as [`COLUMNS`] does, but for the place in the queue.
pub(super) fn read_standing(row: &Row<'_>, queue: usize) -> rusqlite::Result<Standing> {
    let queue: Option<i64> = row.get(queue)?;
    let worker: Option<Id> = row.get(9)?;
    let until: Option<Moment> = row.get(10)?;
    Ok(Standing {
        kind: row.get::<_, Kind>(0)?.0,
        status: row.get::<_, Status>(1)?.0,
        attempt: row.get(2)?,
        retry_count: row.get(3)?,
        max_retries: row.get(4)?,
        stall_count: row.get(5)?,
        max_stalls: row.get(6)?,
        unmet: row.get(7)?,
        awaits_input: queue == Some(Place::Asking.number()),
        due_at: row.get::<_, Moment>(8)?.0,
        lease: worker.zip(until).map(|(worker, until)| Lease {
            worker: WorkerId::from_uuid(worker.0),
            until: until.0,
        }),
    })
}

/// A task as it stands in columns. Its texts are taken apart where the caller is, not where all callers wait.
pub(super) struct RawTask {
    standing: Standing,
    id: TaskId,
    user_id: Option<UserId>,
    priority: Priority,
    title: String,
    description: Option<String>,
    tags: Option<String>,
    plugin: Option<String>,
    action: Option<String>,
    payload: Option<String>,
    timeout_ms: Option<i64>,
    scheduled_at: Option<Moment>,
    unique_key: Option<String>,
    dependencies: Option<String>,
    recurrence: Option<String>,
    schedule_id: Option<Id>,
    result: Option<String>,
    error: Option<Failure>,
    progress: Option<String>,
    started_at: Option<Moment>,
    finished_at: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
    inquiry: Option<String>,
}

impl RawTask {
    /// Reads a row of [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let code: Option<String> = row.get(27)?;
        let message: Option<String> = row.get(28)?;
        Ok(Self {
            standing: read_standing(row, 34)?,
            id: TaskId::from_uuid(row.get::<_, Id>(11)?.0),
            user_id: row.get::<_, Option<Id>>(12)?.map(|id| UserId::from_uuid(id.0)),
            priority: row.get::<_, Urgency>(13)?.0,
            title: row.get(14)?,
            description: row.get(15)?,
            tags: row.get(16)?,
            plugin: row.get(17)?,
            action: row.get(18)?,
            payload: row.get(19)?,
            timeout_ms: row.get(20)?,
            scheduled_at: row.get(21)?,
            unique_key: row.get(22)?,
            dependencies: row.get(23)?,
            recurrence: row.get(24)?,
            schedule_id: row.get(25)?,
            result: row.get(26)?,
            error: code.map(|code| Failure {
                code,
                message: message.unwrap_or_default(),
            }),
            progress: row.get(29)?,
            started_at: row.get(30)?,
            finished_at: row.get(31)?,
            created_at: row.get(32)?,
            updated_at: row.get(33)?,
            inquiry: row.get(35)?,
        })
    }

    /// Its name.
    pub(super) fn id(&self) -> TaskId {
        self.id
    }

    /// Where it stands.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whose it is.
    pub(super) fn user_id(&self) -> Option<UserId> {
        self.user_id
    }

    /// How many bytes its longer texts have.
    pub(super) fn text_bytes(&self) -> usize {
        let texts = [
            &self.payload,
            &self.result,
            &self.description,
            &self.tags,
            &self.dependencies,
            &self.progress,
            &self.inquiry,
        ];
        texts.into_iter().flatten().map(String::len).sum()
    }

    /// Puts what a claim wrote in the place of what was read before it.
    pub(super) fn claimed(self, standing: Standing, now: Timestamp) -> Self {
        Self {
            standing,
            progress: None,
            started_at: Some(Moment(now)),
            updated_at: Moment(now),
            ..self
        }
    }

    /// Takes the texts apart.
    ///
    /// # Errors
    /// `Bug` when one can't be read: this server wrote them.
    pub(super) fn into_task(self) -> Result<Task> {
        let job = match (self.plugin, self.action) {
            (Some(plugin), Some(action)) => Some(Job {
                plugin: plugin.parse().map_err(Error::bug)?,
                action: action.parse().map_err(Error::bug)?,
                payload: self
                    .payload
                    .as_deref()
                    .map_or(Ok(serde_json::Value::Null), read_json)?,
            }),
            (None | Some(_), _) => None,
        };
        Ok(Task {
            id: self.id,
            user_id: self.user_id,
            title: self.title.parse().map_err(Error::bug)?,
            description: self
                .description
                .map(|text| text.parse())
                .transpose()
                .map_err(Error::bug)?,
            priority: self.priority,
            tags: self
                .tags
                .as_deref()
                .map(read_json)
                .transpose()?
                .unwrap_or_default(),
            job,
            standing: self.standing,
            timeout: self
                .timeout_ms
                .map(|millis| Duration::from_millis(to_count(millis))),
            scheduled_at: self.scheduled_at.map(|moment| moment.0),
            unique_key: self
                .unique_key
                .map(|text| text.parse())
                .transpose()
                .map_err(Error::bug)?,
            depends_on: self
                .dependencies
                .as_deref()
                .map_or(Ok(Vec::new()), read_dependencies)?,
            recurrence: self.recurrence.as_deref().map(read_recurrence).transpose()?,
            schedule_id: self.schedule_id.map(|id| TaskId::from_uuid(id.0)),
            inquiry: self.inquiry.as_deref().map(read_json).transpose()?,
            result: self.result.as_deref().map(read_json).transpose()?,
            error: self.error,
            progress: self.progress.as_deref().map(read_json).transpose()?,
            started_at: self.started_at.map(|moment| moment.0),
            finished_at: self.finished_at.map(|moment| moment.0),
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        })
    }
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::bug)
}

/// Reads `position:id` pairs, which come in any order.
fn read_dependencies(text: &str) -> Result<Vec<TaskId>> {
    let mut pairs: Vec<(u32, TaskId)> = Vec::new();
    for pair in text.split(',') {
        let (position, id) = pair.split_once(':').unwrap_or_default();
        let id = Uuid::try_parse(id).map_err(Error::bug)?;
        pairs.push((position.parse().map_err(Error::bug)?, TaskId::from_uuid(id)));
    }
    pairs.sort_unstable();
    Ok(pairs.into_iter().map(|(_, id)| id).collect())
}

fn read_recurrence(text: &str) -> Result<Recurrence> {
    #[derive(Deserialize)]
    struct Columns(String, String, CatchUp, u8, Option<i64>, Option<i64>);
    let Columns(cron, timezone, catch_up, is_paused, next_at, last_at) = read_json(text)?;
    Ok(Recurrence {
        cron,
        timezone,
        catch_up,
        is_paused: is_paused != 0,
        next_at: next_at.map(Timestamp::from_millis),
        last_at: last_at.map(Timestamp::from_millis),
    })
}
