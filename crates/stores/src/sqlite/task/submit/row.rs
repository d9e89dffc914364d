//! Adding the row of a task.

use std::{collections::HashSet, time::Duration};

use model::{
    ActionName, Error, NewTask, PluginName, Priority, Recurrence, Result, Standing, Tags, TaskId, TaskKind,
    TaskStatus, Timestamp, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Added,
    check::{Batch, Wish, taken_id},
};
use crate::{
    json::to_json_text,
    sqlite::{
        column::{Id, Kind, Moment, Urgency, from_count},
        failure::{Fault, Outcome},
        lanes::{Place, Sort},
        ledger::Ledger,
        task::{
            place::{place_of, promote_due},
            row::{self, COLUMNS, RawTask},
        },
    },
};

/// A task about to be added. Its parts are turned into text where the caller is, not where all callers wait.
pub(in crate::sqlite::task) struct NewRow {
    id: TaskId,
    user_id: Option<UserId>,
    title: String,
    description: Option<String>,
    priority: Priority,
    tags: Option<String>,
    kind: TaskKind,
    job: Option<JobColumns>,
    retries_and_stalls: (u16, u16),
    timeout_ms: Option<i64>,
    scheduled_at: Option<Timestamp>,
    unique_key: Option<String>,
    depends_on: Vec<TaskId>,
    recurrence: Option<Recurrence>,
    schedule_id: Option<TaskId>,
    created_at: Timestamp,
}

struct JobColumns {
    plugin: PluginName,
    action: ActionName,
    payload: String,
}

impl NewRow {
    /// What decides whether it can be added.
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            id: self.id,
            user_id: self.user_id,
            kind: self.kind,
            unique_key: self.unique_key.as_deref(),
            depends_on: &self.depends_on,
        }
    }

    /// Takes a task apart.
    ///
    /// # Errors
    /// `Invalid` when the payload can't be kept.
    pub(in crate::sqlite::task) fn of(task: &NewTask) -> Result<Self> {
        let job = match &task.job {
            None => None,
            Some(job) => Some(JobColumns {
                plugin: job.plugin.clone(),
                action: job.action.clone(),
                payload: to_json_text(&job.payload).map_err(|error| error.under("payload"))?,
            }),
        };
        let millis = |span: Duration| from_count(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Ok(Self {
            id: task.id,
            user_id: task.user_id,
            title: task.title.as_str().to_owned(),
            description: task.description.as_ref().map(|text| text.as_str().to_owned()),
            priority: task.priority,
            tags: to_tags_text(&task.tags)?,
            kind: task.kind(),
            job,
            retries_and_stalls: (task.patience.max_retries, task.patience.max_stalls),
            timeout_ms: task.patience.timeout.map(millis),
            scheduled_at: task.scheduled_at,
            unique_key: task.unique_key.as_ref().map(|key| key.as_str().to_owned()),
            depends_on: without_repetition(&task.depends_on),
            recurrence: task.recurrence.clone(),
            schedule_id: task.schedule_id,
            created_at: task.created_at,
        })
    }

    /// Adds the task, with what it depends on and when it recurs, unless it is there or its unique key is taken.
    ///
    /// It fails before it writes anything (but a lane for a plugin), or tears the transaction.
    pub(in crate::sqlite::task) fn insert(
        self,
        connection: &Connection,
        ledger: &mut Ledger,
    ) -> Outcome<Added> {
        let is_plain = self.unique_key.is_none() && self.depends_on.is_empty();
        // That of a plain one shows when it is added.
        if !is_plain && let Some(submitted) = self.find_submitted(connection)? {
            return Ok(submitted);
        }
        if let Some(same) = self.find_same(connection)? {
            return Ok(Added::Found(Box::new(same), false));
        }
        let are_met = self.wish().check_dependencies(connection, &Batch::default())?;
        let unmet = are_met.iter().filter(|is_met| !**is_met).count();
        let unmet = u32::try_from(unmet).unwrap_or(u32::MAX);
        let due_at = self.scheduled_at.unwrap_or_default().max(self.created_at);
        let standing = Standing::new(self.kind, self.retries_and_stalls, unmet, due_at);
        let place = place_of(&standing, self.created_at);
        if matches!(place, Some(Place::Ready { .. })) {
            let line = (self.priority, self.created_at);
            promote_due(connection, &mut ledger.tasks, line, None).map_err(Fault::Torn)?;
        }
        let lanes = ledger.tasks.lanes(connection)?;
        let lane = match &self.job {
            Some(job) => Some(lanes.lane(connection, &job.plugin)?),
            None => None,
        };
        let sort = self.sort(lane);
        let place = place.map(|place| lanes.peek(place, sort.priority, sort.owner));
        if !self.write(connection, &standing, (lane, place))? {
            let submitted = self.find_submitted(connection)?;
            return submitted.ok_or_else(|| Error::bug("a task is there and isn't").into());
        }
        if let Some(place) = place {
            lanes.enter(place, sort.priority, sort.lane, sort.owner);
            if place == Place::Scheduled {
                lanes.note_due(standing.due_at);
            }
        }
        if !self.depends_on.is_empty() {
            lanes.note_dependency();
        }
        ledger.tasks.add(sort);
        self.write_dependencies(connection, &are_met)
            .and_then(|()| self.write_recurrence(connection))
            .map_err(Fault::Torn)?;
        Ok(Added::New(standing))
    }

    fn sort(&self, lane: Option<i64>) -> Sort {
        Sort {
            owner: self.user_id,
            status: TaskStatus::Pending,
            priority: self.priority,
            lane: lane.unwrap_or(0),
        }
    }

    /// This task, when it was submitted before.
    fn find_submitted(&self, connection: &Connection) -> Outcome<Option<Added>> {
        match row::find(connection, self.id)? {
            None => Ok(None),
            Some(task) if task.user_id() == self.user_id => Ok(Some(Added::Found(Box::new(task), true))),
            Some(_) => Err(taken_id()),
        }
    }

    fn find_same(&self, connection: &Connection) -> rusqlite::Result<Option<RawTask>> {
        let Some(key) = &self.unique_key else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM task t INDEXED BY task_unique_key WHERE coalesce(t.user_id, x'') = coalesce(?1, x'') \
             AND t.unique_key = ?2 AND t.stage = 1"
        );
        let owner = self.user_id.map(|id| Id(id.as_uuid()));
        connection
            .prepare_cached(&sql)?
            .query_row(params![owner, key], RawTask::read)
            .optional()
    }

    /// Adds the row; gives false when a task has its id.
    fn write(
        &self,
        connection: &Connection,
        standing: &Standing,
        (lane, place): (Option<i64>, Option<Place>),
    ) -> rusqlite::Result<bool> {
        let (turn, is_ready) = match place {
            Some(Place::Ready { turn }) => (Some(turn), true),
            Some(Place::Held | Place::Scheduled | Place::Blocked | Place::Asking) | None => (None, false),
        };
        let created_at = Moment(self.created_at);
        connection
            .prepare_cached(
                "INSERT INTO task (id, user_id, kind, status, stage, priority, queue, lane, turn, due_at, ready_at, attempt, \
                 retry_count, max_retries, stall_count, max_stalls, unmet, created_at, updated_at, scheduled_at, \
                 timeout_ms, schedule_id, unique_key, title, description, tags, action, payload) \
                 VALUES (?1, ?2, ?3, 0, 1, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, ?10, 0, ?11, ?12, ?13, ?13, ?14, ?15, ?16, ?17, \
                 ?18, ?19, ?20, ?21, ?22) ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![
                Id(self.id.as_uuid()),
                self.user_id.map(|id| Id(id.as_uuid())),
                Kind(self.kind),
                Urgency(self.priority),
                place.map(Place::number),
                lane,
                turn,
                Moment(standing.due_at),
                is_ready.then_some(created_at),
                standing.max_retries,
                standing.max_stalls,
                standing.unmet,
                created_at,
                self.scheduled_at.map(Moment),
                self.timeout_ms,
                self.schedule_id.map(|id| Id(id.as_uuid())),
                self.unique_key,
                self.title,
                self.description,
                self.tags,
                self.job.as_ref().map(|job| job.action.as_str()),
                self.job.as_ref().map(|job| job.payload.as_str()),
            ])
            .map(|rows| rows > 0)
    }

    fn write_dependencies(&self, connection: &Connection, are_met: &[bool]) -> rusqlite::Result<()> {
        for (position, (id, is_met)) in (0_u64..).zip(self.depends_on.iter().zip(are_met)) {
            connection
                .prepare_cached(
                    "INSERT INTO task_dependency (task_id, position, depends_on, is_told) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![Id(self.id.as_uuid()), from_count(position), Id(id.as_uuid()), is_met])?;
        }
        Ok(())
    }

    fn write_recurrence(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(recurrence) = &self.recurrence else {
            return Ok(());
        };
        connection
            .prepare_cached(
                "INSERT INTO recurrence (task_id, cron, timezone, catch_up, is_paused, next_at, last_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                Id(self.id.as_uuid()),
                recurrence.cron,
                recurrence.timezone,
                recurrence.catch_up.as_str(),
                recurrence.is_paused,
                recurrence.next_at.map(Moment),
                recurrence.last_at.map(Moment),
            ])
            .map(|_| ())
    }
}

/// The ids, each once, in their order.
pub(super) fn without_repetition(ids: &[TaskId]) -> Vec<TaskId> {
    let mut seen = HashSet::new();
    ids.iter().copied().filter(|id| seen.insert(*id)).collect()
}

/// Turns tags into the text in their column; there is none when there are no tags.
///
/// # Errors
/// `Bug`, never in practice.
pub(in crate::sqlite::task) fn to_tags_text(tags: &Tags) -> Result<Option<String>> {
    if tags.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(tags).map(Some).map_err(Error::bug)
}
