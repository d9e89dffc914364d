//! New tasks: checked in all their fields, then kept.

use std::{collections::HashSet, time::Duration};

use model::{
    ActionName, Detail, Error, ErrorKind, Job, NewTask, Patience, Permission, PluginName, Principal,
    Priority, Recurrence, Result, Submitted, Tags, TaskDescription, TaskId, TaskKind, TaskTitle, Timestamp,
    UniqueKey,
};
use serde_json::{Map, Value};

use crate::{idempotency::Reservation, parts::Engine, schedule::ScheduleRequest};

/// The most times that a task may be asked to survive the loss of its worker.
const MOST_STALLS: u16 = 100;

/// How far ahead a task can be scheduled: 100 years of 365.25 days.
const FARTHEST: Duration = Duration::from_secs(100 * 31_557_600);

/// A task that someone wants to be done.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// What it is called.
    pub title: TaskTitle,
    /// More about it.
    pub description: Option<TaskDescription>,
    /// How urgent it is.
    pub priority: Priority,
    /// For finding it.
    pub tags: Tags,
    /// The plugin that does it; without one, it is a to-do that only people move.
    pub plugin: Option<PluginName>,
    /// The plugin's action.
    pub action: Option<ActionName>,
    /// What the action works on, at most 64 levels and 1 MiB as JSON; an empty object when `None`. An object
    /// `{"$fromTask": id, "pointer": …}` in it stands for the result, or the part of it to which the JSON pointer
    /// leads, of a task in `depends_on`.
    pub payload: Option<Value>,
    /// When it may start at the earliest, at most 100 years ahead; at once when `None` or past.
    pub scheduled_at: Option<Timestamp>,
    /// How often it is tried again, at most 100 times; 3 when `None`.
    pub max_retries: Option<u16>,
    /// How often it may take its worker down with it, at most 100 times; 3 when `None`.
    pub max_stalls: Option<u16>,
    /// How long one try may take, 1 ms to 24 h; the action's own limit when `None`.
    pub timeout: Option<Duration>,
    /// While a task of the same owner with the same key is pending or in progress, that one is given in its place.
    pub unique_key: Option<UniqueKey>,
    /// The tasks of the same owner that must be completed first, at most 100.
    pub depends_on: Vec<TaskId>,
    /// When jobs come of it; makes it a recurring task.
    pub schedule: Option<ScheduleRequest>,
}

impl Engine {
    /// Takes a task; what is given is on disk. With a reservation, a repeated submission gives the same task.
    ///
    /// # Errors
    /// `Forbidden` without the permission to call the plugin; `NotFound` when plugin or action don't exist;
    /// `Invalid` with the path of each field that is wrong. `Unavailable` when the store can't be reached: whether
    /// the task was taken isn't known then.
    pub async fn submit_task(
        &self,
        principal: &Principal,
        request: TaskRequest,
        reservation: Option<Reservation>,
    ) -> Result<Submitted> {
        principal.require(&Permission::WriteTasks)?;
        let id = self.name_of_task(reservation, 0);
        let task = self.draft(principal, request, id)?;
        let is_job = task.kind() == TaskKind::Job;
        // Before it is kept: they may end right then.
        self.parts.queue.note_dependencies(&task.depends_on);
        let write = self.parts.store.submit_task(task);
        if is_job {
            self.waking(write).await
        } else {
            write.await
        }
    }

    /// Takes 1 to 1,000 tasks, all or none, and gives them in the same order. None of them can depend on another.
    ///
    /// # Errors
    /// As [`Self::submit_task`], with paths below `tasks.N`.
    pub async fn submit_tasks(
        &self,
        principal: &Principal,
        requests: Vec<TaskRequest>,
        reservation: Option<Reservation>,
    ) -> Result<Vec<Submitted>> {
        principal.require(&Permission::WriteTasks)?;
        if !(1..=NewTask::MOST_AT_ONCE).contains(&requests.len()) {
            return Err(Error::invalid("tasks", "must have 1 to 1,000 tasks"));
        }
        let mut mistakes = Mistakes::default();
        let mut tasks = Vec::with_capacity(requests.len());
        for (number, request) in (0..).zip(requests) {
            let id = self.name_of_task(reservation, number);
            let drafted = self.draft(principal, request, id);
            let drafted = drafted.map_err(|error| error.under(&format!("tasks.{number}")));
            tasks.extend(mistakes.take(drafted)?);
            if mistakes.are_enough() {
                break;
            }
        }
        mistakes.into_result()?;
        let has_job = tasks.iter().any(|task: &NewTask| task.kind() == TaskKind::Job);
        for task in &tasks {
            self.parts.queue.note_dependencies(&task.depends_on);
        }
        let write = self.parts.store.submit_tasks(tasks);
        let submitted = if has_job {
            self.waking(write).await
        } else {
            write.await
        };
        submitted.map_err(|error| error.under("tasks"))
    }

    fn name_of_task(&self, reservation: Option<Reservation>, number: u16) -> TaskId {
        match reservation {
            Some(reservation) => reservation.task(number),
            None => TaskId::generate(self.parts.ids.as_ref()),
        }
    }

    /// Checks every field, and makes the task of them.
    fn draft(&self, principal: &Principal, mut request: TaskRequest, id: TaskId) -> Result<NewTask> {
        let now = self.parts.clock.now();
        let mut mistakes = Mistakes::default();
        let job = mistakes.take(read_job(principal, &mut request))?.flatten();
        if let Some(job) = &job {
            mistakes.take(self.require_workable(job, &request.depends_on))?;
        }
        let is_to_do = request.plugin.is_none() && request.action.is_none();
        mistakes.take(require_plugin_for_work(&request, is_to_do))?;
        let patience = Patience {
            max_retries: request.max_retries.unwrap_or(Patience::default().max_retries),
            max_stalls: request.max_stalls.unwrap_or(Patience::default().max_stalls),
            timeout: request.timeout,
        };
        mistakes.take(require_bounds(
            Some(patience.max_retries),
            Some(patience.max_stalls),
            patience.timeout,
        ))?;
        mistakes.take(require_near(request.scheduled_at, now))?;
        mistakes.take(require_distinct(&request.depends_on))?;
        let recurrence = mistakes.take(read_schedule(&request, now))?.flatten();
        mistakes.into_result()?;
        Ok(NewTask {
            id,
            user_id: principal.user_id(),
            title: request.title,
            description: request.description,
            priority: request.priority,
            tags: request.tags,
            job,
            patience,
            scheduled_at: request.scheduled_at,
            unique_key: request.unique_key,
            depends_on: request.depends_on,
            recurrence,
            schedule_id: None,
            created_at: now,
        })
    }
}

/// The work of a task: `None` for a to-do.
fn read_job(principal: &Principal, request: &mut TaskRequest) -> Result<Option<Job>> {
    match (&request.plugin, &request.action) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::invalid("action", "must be given with a plugin")),
        (None, Some(_)) => Err(Error::invalid("plugin", "must be given with an action")),
        (Some(plugin), Some(action)) => {
            principal.require(&Permission::ExecutePlugin(plugin.clone()))?;
            Ok(Some(Job {
                plugin: plugin.clone(),
                action: action.clone(),
                payload: request
                    .payload
                    .take()
                    .unwrap_or_else(|| Value::Object(Map::new())),
            }))
        }
    }
}

/// Refuses what would have no meaning for a to-do.
fn require_plugin_for_work(request: &TaskRequest, is_to_do: bool) -> Result<()> {
    if !is_to_do {
        return Ok(());
    }
    let given = [
        ("payload", request.payload.is_some()),
        ("maxRetries", request.max_retries.is_some()),
        ("maxStalls", request.max_stalls.is_some()),
        ("timeoutMs", request.timeout.is_some()),
        ("dependsOn", !request.depends_on.is_empty()),
        ("schedule", request.schedule.is_some()),
    ];
    let details = given
        .into_iter()
        .filter(|(_, is_given)| *is_given)
        .map(|(path, _)| Detail {
            path: path.to_owned(),
            message: "can be given with a plugin and an action only".to_owned(),
        });
    let details: Vec<_> = details.collect();
    if details.is_empty() {
        Ok(())
    } else {
        Err(Error::invalid_fields(details))
    }
}

/// Passes for numbers and times within their limits; what is `None` isn't looked at.
pub(super) fn require_bounds(
    max_retries: Option<u16>,
    max_stalls: Option<u16>,
    timeout: Option<Duration>,
) -> Result<()> {
    let mut mistakes = Mistakes::default();
    if max_retries.is_some_and(|retries| retries > Patience::MOST_RETRIES) {
        mistakes.note("maxRetries", "must be a whole number from 0 to 100");
    }
    if max_stalls.is_some_and(|stalls| stalls > MOST_STALLS) {
        mistakes.note("maxStalls", "must be a whole number from 0 to 100");
    }
    let range = Duration::from_millis(1)..=Patience::LONGEST_TIMEOUT;
    if timeout.is_some_and(|timeout| !range.contains(&timeout)) {
        mistakes.note(
            "timeoutMs",
            "must be a whole number of milliseconds from 1 to 86400000",
        );
    }
    mistakes.into_result()
}

/// Passes for a time in the past or at most 100 years ahead.
pub(super) fn require_near(scheduled_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if scheduled_at.is_some_and(|at| at > now.plus(FARTHEST)) {
        return Err(Error::invalid("scheduledAt", "must be at most 100 years ahead"));
    }
    Ok(())
}

fn require_distinct(depends_on: &[TaskId]) -> Result<()> {
    if depends_on.len() > NewTask::MOST_DEPENDENCIES {
        return Err(Error::invalid("dependsOn", "must have at most 100 tasks"));
    }
    let mut seen = HashSet::with_capacity(depends_on.len());
    match depends_on.iter().position(|id| !seen.insert(id)) {
        Some(number) => Err(Error::invalid(format!("dependsOn.{number}"), "is given twice")),
        None => Ok(()),
    }
}

fn read_schedule(request: &TaskRequest, now: Timestamp) -> Result<Option<Recurrence>> {
    let Some(schedule) = request.schedule.clone() else {
        return Ok(None);
    };
    let mut mistakes = Mistakes::default();
    if request.scheduled_at.is_some() {
        mistakes.note("scheduledAt", "can't be given together with schedule");
    }
    if !request.depends_on.is_empty() {
        mistakes.note("dependsOn", "can't be given together with schedule");
    }
    let read = schedule.recurrence(now).map_err(|error| error.under("schedule"));
    let recurrence = mistakes.take(read)?;
    mistakes.into_result()?;
    Ok(recurrence)
}

/// What is wrong with a request, gathered until all of it is looked at.
#[derive(Default)]
struct Mistakes(Vec<Detail>);

impl Mistakes {
    fn note(&mut self, path: &str, message: &str) {
        self.0.push(Detail {
            path: path.to_owned(),
            message: message.to_owned(),
        });
    }

    /// Takes what was read, or keeps why it can't be.
    ///
    /// # Errors
    /// Every error of another kind than `Invalid`.
    fn take<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::Invalid => {
                self.0.extend_from_slice(error.details());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn are_enough(&self) -> bool {
        self.0.len() >= Error::MAX_DETAILS
    }

    fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_fields(self.0))
        }
    }
}
