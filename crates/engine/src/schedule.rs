//! Recurring tasks: when jobs come of them, and what people do about that.

mod cron;
mod fire;

use model::{
    CatchUp, Error, ErrorCode, Permission, Principal, Recurrence, RecurrenceChange, Result, Task, TaskId,
    Timestamp, UserId,
};

use crate::{
    ownership::{no_such_task, require_call_of},
    parts::Engine,
    principal::visible_owner,
};
use cron::Ticks;
pub(crate) use fire::FireSchedules;

/// The time zone of who names none.
const DEFAULT_TIMEZONE: &str = "UTC";

/// The most ticks that are looked for at once.
const MOST_TICKS: usize = 100;

/// How often a change is tried that meets another one, or a tick.
const TRIES: usize = 5;

/// When jobs are to come of a new recurring task.
#[derive(Clone, Debug)]
pub struct ScheduleRequest {
    /// A cron expression of at most 256 characters: five fields, six with seconds first, or a nickname.
    pub cron: String,
    /// The name of its time zone in the IANA database; UTC when `None`.
    pub timezone: Option<String>,
    /// What happens to missed ticks; one job for all of them when `None`.
    pub catch_up: Option<CatchUp>,
}

impl ScheduleRequest {
    /// Reads it, and finds the first tick after `now`.
    ///
    /// # Errors
    /// `Invalid` on `cron`, also for an expression that never comes true, or `timezone`.
    pub(crate) fn recurrence(self, now: Timestamp) -> Result<Recurrence> {
        let timezone = self.timezone.unwrap_or_else(|| DEFAULT_TIMEZONE.to_owned());
        Ok(Recurrence {
            next_at: Some(first_tick(&self.cron, &timezone, now)?),
            cron: self.cron,
            timezone,
            catch_up: self.catch_up.unwrap_or_default(),
            is_paused: false,
            last_at: None,
        })
    }
}

/// A change of when jobs come of a recurring task. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ScheduleUpdate {
    /// Another cron expression.
    pub cron: Option<String>,
    /// Another time zone.
    pub timezone: Option<String>,
    /// Another way to catch up.
    pub catch_up: Option<CatchUp>,
}

impl Engine {
    /// Lets no more jobs come of a recurring task until it is resumed. Those that have come go on. One that is
    /// paused stays so.
    ///
    /// # Errors
    /// `NotFound` when there is no such task, or it is another's; `Conflict` when it isn't recurring or has ended.
    pub async fn pause_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        self.alter_schedule(id, visible_owner(principal)?, |seen, _now| {
            Ok(RecurrenceChange {
                is_paused: Some(true),
                next_at: None,
                ..unchanged(seen)
            })
        })
        .await
    }

    /// Lets jobs come of a recurring task again, from the next tick on: none for those that passed meanwhile. One
    /// that isn't paused goes on.
    ///
    /// # Errors
    /// As [`Self::pause_task`]; `Forbidden` without the permission to call its plugin.
    pub async fn resume_task(&self, principal: &Principal, id: TaskId) -> Result<Task> {
        principal.require(&Permission::WriteTasks)?;
        require_call_of(principal, &self.visible_task(principal, id).await?)?;
        self.alter_schedule(id, visible_owner(principal)?, |seen, now| {
            if !seen.is_paused {
                return Ok(unchanged(seen));
            }
            let ticks = Ticks::read(&seen.cron, &seen.timezone, now)?;
            Ok(RecurrenceChange {
                is_paused: Some(false),
                next_at: ticks.after(latest(now, seen)),
                ..unchanged(seen)
            })
        })
        .await
    }

    /// Changes when jobs come of a recurring task: with another expression or time zone, from its first tick ahead
    /// on. With `owner`, only that owner's task. Asks for no permission: the verb has.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it isn't recurring or has ended; `Invalid` on `cron` or `timezone`.
    pub(crate) async fn change_schedule(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        update: &ScheduleUpdate,
    ) -> Result<Task> {
        self.alter_schedule(id, owner, |seen, now| {
            let cron = update.cron.as_ref().unwrap_or(&seen.cron);
            let timezone = update.timezone.as_ref().unwrap_or(&seen.timezone);
            let stays = *cron == seen.cron && *timezone == seen.timezone;
            let next_at = match seen.next_at {
                next if stays => next,
                _ => Some(first_tick(cron, timezone, latest(now, seen))?),
            };
            Ok(RecurrenceChange {
                cron: update.cron.clone(),
                timezone: update.timezone.clone(),
                catch_up: update.catch_up,
                is_paused: None,
                next_at: next_at.filter(|_| !seen.is_paused),
            })
        })
        .await
    }

    /// The next up to `count` ticks of a recurrence, at most 100: none while it is paused, or when it has ended.
    #[must_use]
    pub fn upcoming_ticks(&self, recurrence: &Recurrence, count: usize) -> Vec<Timestamp> {
        let now = self.parts.clock.now();
        let Ok(ticks) = Ticks::read(&recurrence.cron, &recurrence.timezone, now) else {
            return Vec::new();
        };
        std::iter::successors(recurrence.next_at, |tick| ticks.after(*tick))
            .take(count.min(MOST_TICKS))
            .collect()
    }

    /// Reads, decides and writes, and does so again when something else came between.
    async fn alter_schedule(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        decide: impl Fn(&Recurrence, Timestamp) -> Result<RecurrenceChange> + Send + Sync,
    ) -> Result<Task> {
        let store = &self.parts.store;
        let mut tries = 1;
        loop {
            let task = store.find_task(id, owner).await?.ok_or_else(no_such_task)?;
            let seen = require_recurring(&task)?;
            let now = self.parts.clock.now();
            let change = decide(seen, now)?;
            let changed = store.change_recurrence(id, owner, seen, change, now).await;
            match changed {
                Err(error) if error.code() == ErrorCode::Conflict && tries < TRIES => tries += 1,
                Ok(changed) => return changed.ok_or_else(no_such_task),
                Err(error) => return Err(error),
            }
        }
    }
}

fn require_recurring(task: &Task) -> Result<&Recurrence> {
    if task.standing.status.is_final() {
        return Err(Error::new(
            ErrorCode::Conflict,
            "the task has ended; no more jobs come of it",
        ));
    }
    task.recurrence
        .as_ref()
        .ok_or_else(|| Error::new(ErrorCode::Conflict, "the task isn't a recurring one"))
}

/// A change that changes nothing.
fn unchanged(seen: &Recurrence) -> RecurrenceChange {
    RecurrenceChange {
        next_at: seen.next_at,
        ..RecurrenceChange::default()
    }
}

/// From where the next tick is looked for: never before one that has counted, though the clock was set back.
fn latest(now: Timestamp, seen: &Recurrence) -> Timestamp {
    seen.last_at.map_or(now, |last| last.max(now))
}

fn first_tick(cron: &str, timezone: &str, now: Timestamp) -> Result<Timestamp> {
    let first = Ticks::read(cron, timezone, now)?.after(now);
    first.ok_or_else(|| Error::invalid("cron", "never comes true"))
}
