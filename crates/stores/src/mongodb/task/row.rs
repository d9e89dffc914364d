//! A task as it stands in its document.

use std::{collections::HashSet, time::Duration};

use model::{
    CatchUp, Error, Failure, Job, Lease, NewTask, Priority, Recurrence, Result, Standing, Tag, Tags, Task,
    TaskId, TaskKind, TaskStatus, Timestamp, UserId, WorkerId,
};
use mongodb::bson::{DateTime, Document, Uuid, oid::ObjectId};
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::{
    json::to_json_text,
    mongodb::column::{id, moment, timestamp, uuid},
};

/// The field of a result, in the document of a task and in that of a call.
pub(super) const RESULT: &str = "r";

/// The status of a task that was written and doesn't count yet, since others that belong to it aren't all written.
pub(super) const STAGED: i32 = -1;

/// The document of a task. What isn't there has no field. Texts that callers give are texts here: nothing in them is
/// ever a part of a query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::mongodb) struct TaskRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    /// How often the document was changed: who changes what it read names the version.
    #[serde(rename = "v")]
    pub(super) version: i64,
    /// `null` for the operator, so that indexes hold it.
    #[serde(rename = "u")]
    pub(super) user_id: Option<Uuid>,
    /// 0 to-do, 1 job, 2 recurring.
    #[serde(rename = "k")]
    pub(super) kind: i32,
    /// 0 pending, 1 in progress, 2 completed, 3 failed, 4 cancelled; [`STAGED`].
    #[serde(rename = "s")]
    pub(super) status: i32,
    /// 0 low to 3 critical.
    #[serde(rename = "p")]
    pub(super) priority: i32,
    /// Where a job stands that hasn't ended: 0 held by a worker, 1 ready for one, 2 waiting for its time, 3 for other
    /// tasks, 4 for answers.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub(super) queue: Option<i32>,
    /// Its turn among the ready ones of its priority.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<i64>,
    #[serde(rename = "due")]
    pub(super) due_at: DateTime,
    #[serde(rename = "ra", default, skip_serializing_if = "Option::is_none")]
    pub(super) ready_at: Option<DateTime>,
    #[serde(rename = "a")]
    pub(super) attempt: i64,
    #[serde(rename = "rc")]
    pub(super) retry_count: i32,
    #[serde(rename = "mr")]
    pub(super) max_retries: i32,
    #[serde(rename = "sc")]
    pub(super) stall_count: i32,
    #[serde(rename = "ms")]
    pub(super) max_stalls: i32,
    #[serde(rename = "um")]
    pub(super) unmet: i64,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<Uuid>,
    #[serde(rename = "lu", default, skip_serializing_if = "Option::is_none")]
    pub(super) lease_until: Option<DateTime>,
    #[serde(rename = "sa", default, skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<DateTime>,
    #[serde(rename = "fa", default, skip_serializing_if = "Option::is_none")]
    pub(super) finished_at: Option<DateTime>,
    #[serde(rename = "ca")]
    pub(super) created_at: DateTime,
    #[serde(rename = "ua")]
    pub(super) updated_at: DateTime,
    #[serde(rename = "at", default, skip_serializing_if = "Option::is_none")]
    pub(super) scheduled_at: Option<DateTime>,
    #[serde(rename = "to", default, skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<i64>,
    #[serde(rename = "sch", default, skip_serializing_if = "Option::is_none")]
    pub(super) schedule_id: Option<Uuid>,
    #[serde(rename = "uk", default, skip_serializing_if = "Option::is_none")]
    pub(super) unique_key: Option<String>,
    /// The unique key while it keeps others out: until the task has ended.
    #[serde(rename = "ul", default, skip_serializing_if = "Option::is_none")]
    pub(super) unique_lock: Option<String>,
    #[serde(rename = "t")]
    pub(super) title: String,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    /// The plugin.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(super) plugin: Option<String>,
    #[serde(rename = "ac", default, skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<String>,
    #[serde(rename = "pl", default, skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<String>,
    /// What it depends on.
    #[serde(rename = "dp", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) depends_on: Vec<Uuid>,
    /// Those of them that it is to be told of.
    #[serde(rename = "wt", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) waits_for: Vec<Uuid>,
    /// Whether its dependencies are to be looked at again, since one may have ended while this was written.
    #[serde(rename = "chk", default, skip_serializing_if = "is_not")]
    pub(super) is_unchecked: bool,
    /// Whether others may depend on it.
    #[serde(rename = "hd", default, skip_serializing_if = "is_not")]
    pub(super) has_dependents: bool,
    /// Whether they are to be told of its end.
    #[serde(rename = "tell", default, skip_serializing_if = "is_not")]
    pub(super) is_to_tell: bool,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<String>,
    #[serde(rename = "ec", default, skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<String>,
    #[serde(rename = "em", default, skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<String>,
    #[serde(rename = "pg", default, skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<String>,
    #[serde(rename = "iq", default, skip_serializing_if = "Option::is_none")]
    pub(super) inquiry: Option<String>,
    #[serde(rename = "rec", default, skip_serializing_if = "Option::is_none")]
    pub(super) recurrence: Option<RecurrenceRow>,
    /// The next tick of one that isn't paused.
    #[serde(rename = "rn", default, skip_serializing_if = "Option::is_none")]
    pub(super) next_tick: Option<DateTime>,
    /// Ended calls that the history may lack still; that which gave the result is without it.
    #[serde(rename = "out", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) calls: Vec<Document>,
    /// Jobs of ticks that may not be there still.
    #[serde(rename = "fj", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ticks: Vec<TickRow>,
    /// What it is written together with, until all is.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(super) batch: Option<ObjectId>,
    /// The place in the queue that it gets then.
    #[serde(rename = "bq", default, skip_serializing_if = "Option::is_none")]
    pub(super) batch_queue: Option<i32>,
}

/// When jobs come of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecurrenceRow {
    #[serde(rename = "c")]
    pub(super) cron: String,
    #[serde(rename = "z")]
    pub(super) timezone: String,
    #[serde(rename = "cu")]
    pub(super) catch_up: String,
    #[serde(rename = "ps")]
    pub(super) is_paused: bool,
    #[serde(rename = "nx")]
    pub(super) next_at: Option<DateTime>,
    #[serde(rename = "la")]
    pub(super) last_at: Option<DateTime>,
}

/// A tick that counted, with the job that is to come of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TickRow {
    #[serde(rename = "at")]
    pub(super) at: DateTime,
    #[serde(rename = "j")]
    pub(super) job: TaskRow,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_not(value: &bool) -> bool {
    !*value
}

macro_rules! numbered {
    ($($(#[$doc:meta])* $to:ident, $from:ident, $of:ident: $($variant:ident = $number:literal),*;)*) => {$(
        $(#[$doc])*
        pub(super) const fn $to(value: $of) -> i32 {
            match value { $($of::$variant => $number,)* }
        }

        /// Reads such a number.
        pub(super) fn $from(number: i32) -> Result<$of> {
            match number {
                $($number => Ok($of::$variant),)*
                other => Err(unknown(stringify!($of), other)),
            }
        }
    )*};
}

numbered! {
    /// The number of a kind.
    kind_number, read_kind, TaskKind: ToDo = 0, Job = 1, Recurring = 2;
    /// The number of a status.
    status_number, read_status, TaskStatus:
        Pending = 0, InProgress = 1, Completed = 2, Failed = 3, Cancelled = 4;
    /// The number of a priority, which grows with it.
    priority_number, read_priority, Priority: Low = 0, Medium = 1, High = 2, Critical = 3;
}

fn unknown(what: &str, number: i32) -> Error {
    Error::bug(format!("{number} is no {what}"))
}

/// Turns a span into whole milliseconds.
pub(super) fn to_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Turns tags into what stands in a document.
pub(super) fn to_tag_texts(tags: &Tags) -> Vec<String> {
    tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}

impl RecurrenceRow {
    fn of(recurrence: &Recurrence) -> Self {
        Self {
            cron: recurrence.cron.clone(),
            timezone: recurrence.timezone.clone(),
            catch_up: recurrence.catch_up.as_str().to_owned(),
            is_paused: recurrence.is_paused,
            next_at: recurrence.next_at.map(moment),
            last_at: recurrence.last_at.map(moment),
        }
    }

    fn into_recurrence(self) -> Result<Recurrence> {
        let catch_up = CatchUp::ALL
            .into_iter()
            .find(|catch_up| catch_up.as_str() == self.catch_up)
            .ok_or_else(|| Error::bug("an unknown way to catch up"))?;
        Ok(Recurrence {
            cron: self.cron,
            timezone: self.timezone,
            catch_up,
            is_paused: self.is_paused,
            next_at: self.next_at.map(timestamp),
            last_at: self.last_at.map(timestamp),
        })
    }

    /// The next tick, if a job may come of it.
    pub(super) fn active_tick(&self) -> Option<DateTime> {
        self.next_at.filter(|_| !self.is_paused)
    }
}

impl TaskRow {
    /// The document of a new task that waits for nothing, as far as it is known without looking at others.
    ///
    /// # Errors
    /// `Invalid` when the payload can't be kept.
    pub(super) fn of(task: &NewTask) -> Result<Self> {
        let payload = match &task.job {
            Some(job) => Some(to_json_text(&job.payload).map_err(|error| error.under("payload"))?),
            None => None,
        };
        let unique_key = task.unique_key.as_ref().map(|key| key.as_str().to_owned());
        let recurrence = task.recurrence.as_ref().map(RecurrenceRow::of);
        Ok(Self {
            id: id(task.id.as_uuid()),
            version: 0,
            user_id: task.user_id.map(|owner| id(owner.as_uuid())),
            kind: kind_number(task.kind()),
            status: status_number(TaskStatus::Pending),
            priority: priority_number(task.priority),
            queue: None,
            turn: None,
            due_at: moment(task.scheduled_at.unwrap_or_default().max(task.created_at)),
            ready_at: None,
            attempt: 0,
            retry_count: 0,
            max_retries: i32::from(task.patience.max_retries),
            stall_count: 0,
            max_stalls: i32::from(task.patience.max_stalls),
            unmet: 0,
            worker: None,
            lease_until: None,
            started_at: None,
            finished_at: None,
            created_at: moment(task.created_at),
            updated_at: moment(task.created_at),
            scheduled_at: task.scheduled_at.map(moment),
            timeout_ms: task.patience.timeout.map(to_millis),
            schedule_id: task.schedule_id.map(|schedule| id(schedule.as_uuid())),
            unique_lock: unique_key.clone(),
            unique_key,
            title: task.title.as_str().to_owned(),
            description: task.description.as_ref().map(|text| text.as_str().to_owned()),
            tags: to_tag_texts(&task.tags),
            plugin: task.job.as_ref().map(|job| job.plugin.as_str().to_owned()),
            action: task.job.as_ref().map(|job| job.action.as_str().to_owned()),
            payload,
            depends_on: distinct(&task.depends_on),
            waits_for: Vec::new(),
            is_unchecked: false,
            has_dependents: false,
            is_to_tell: false,
            result: None,
            error_code: None,
            error_message: None,
            progress: None,
            inquiry: None,
            next_tick: recurrence.as_ref().and_then(RecurrenceRow::active_tick),
            recurrence,
            calls: Vec::new(),
            ticks: Vec::new(),
            batch: None,
            batch_queue: None,
        })
    }

    /// Its name.
    pub(super) fn task_id(&self) -> TaskId {
        TaskId::from_uuid(uuid(self.id))
    }

    /// Whether it is one of this owner's; `None` sees all.
    pub(super) fn belongs_to(&self, owner: Option<UserId>) -> bool {
        owner.is_none_or(|owner| self.user_id == Some(id(owner.as_uuid())))
    }

    /// How urgent it is.
    pub(super) fn urgency(&self) -> Result<Priority> {
        read_priority(self.priority)
    }

    /// Its status.
    pub(super) fn task_status(&self) -> Result<TaskStatus> {
        read_status(self.status)
    }

    /// When it may start.
    pub(super) fn due(&self) -> Timestamp {
        timestamp(self.due_at)
    }

    /// Where it stands in the queue.
    pub(super) fn place(&self) -> Result<Option<Place>> {
        self.queue.map(Place::of_number).transpose()
    }

    /// Where it stands.
    pub(super) fn standing(&self) -> Result<Standing> {
        let small = |number: i32| u16::try_from(number).map_err(Error::bug);
        let lease = self.worker.zip(self.lease_until).map(|(worker, until)| Lease {
            worker: WorkerId::from_uuid(uuid(worker)),
            until: timestamp(until),
        });
        Ok(Standing {
            kind: read_kind(self.kind)?,
            status: read_status(self.status)?,
            attempt: u32::try_from(self.attempt).map_err(Error::bug)?,
            retry_count: small(self.retry_count)?,
            max_retries: small(self.max_retries)?,
            stall_count: small(self.stall_count)?,
            max_stalls: small(self.max_stalls)?,
            unmet: u32::try_from(self.unmet).map_err(Error::bug)?,
            awaits_input: self.place()? == Some(Place::Asking),
            due_at: timestamp(self.due_at),
            lease,
        })
    }

    /// How many bytes its longer texts have.
    pub(super) fn text_bytes(&self) -> usize {
        let texts = [
            &self.payload,
            &self.result,
            &self.description,
            &self.progress,
            &self.inquiry,
        ];
        let tags = self.tags.iter().map(String::len);
        texts.into_iter().flatten().map(String::len).chain(tags).sum()
    }

    fn job(&self) -> Result<Option<Job>> {
        let (Some(plugin), Some(action)) = (&self.plugin, &self.action) else {
            return Ok(None);
        };
        Ok(Some(Job {
            plugin: plugin.parse().map_err(Error::bug)?,
            action: action.parse().map_err(Error::bug)?,
            payload: match &self.payload {
                Some(text) => read_json(text)?,
                None => serde_json::Value::Null,
            },
        }))
    }

    /// Takes the texts apart.
    ///
    /// # Errors
    /// `Bug` when one can't be read: this server wrote them.
    pub(super) fn into_task(self) -> Result<Task> {
        let standing = self.standing()?;
        let job = self.job()?;
        let tags: Result<Vec<Tag>> = self.tags.iter().map(|tag| Tag::parse(tag)).collect();
        let ids = self.depends_on.iter();
        Ok(Task {
            id: self.task_id(),
            user_id: self.user_id.map(|owner| UserId::from_uuid(uuid(owner))),
            title: self.title.parse().map_err(Error::bug)?,
            description: self
                .description
                .map(|text| text.parse())
                .transpose()
                .map_err(Error::bug)?,
            priority: read_priority(self.priority)?,
            tags: Tags::new(tags.map_err(Error::bug)?).map_err(Error::bug)?,
            job,
            timeout: self
                .timeout_ms
                .map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0))),
            scheduled_at: self.scheduled_at.map(timestamp),
            unique_key: self
                .unique_key
                .map(|text| text.parse())
                .transpose()
                .map_err(Error::bug)?,
            depends_on: ids.map(|other| TaskId::from_uuid(uuid(*other))).collect(),
            recurrence: self.recurrence.map(RecurrenceRow::into_recurrence).transpose()?,
            schedule_id: self.schedule_id.map(|schedule| TaskId::from_uuid(uuid(schedule))),
            inquiry: self.inquiry.as_deref().map(read_json).transpose()?,
            result: match standing.status {
                TaskStatus::Completed => self.result.as_deref().map(read_json).transpose()?,
                TaskStatus::Pending | TaskStatus::InProgress | TaskStatus::Failed | TaskStatus::Cancelled => {
                    None
                }
            },
            error: self.error_code.map(|code| Failure {
                code,
                message: self.error_message.unwrap_or_default(),
            }),
            progress: self.progress.as_deref().map(read_json).transpose()?,
            started_at: self.started_at.map(timestamp),
            finished_at: self.finished_at.map(timestamp),
            created_at: timestamp(self.created_at),
            updated_at: timestamp(self.updated_at),
            standing,
        })
    }
}

/// The ids, each once, in their order.
fn distinct(ids: &[TaskId]) -> Vec<Uuid> {
    let mut seen = HashSet::new();
    let ids = ids.iter().filter(|id| seen.insert(**id));
    ids.map(|other| id(other.as_uuid())).collect()
}

/// Reads JSON that this server wrote.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::bug)
}
