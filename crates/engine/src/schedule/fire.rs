//! The step that lets jobs come of recurring tasks.

use std::{
    future::pending,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use model::{CatchUp, NewTask, Patience, Recurrence, Result, Task, TaskId, Timestamp, UniqueKey, UserId};
use tokio::time::timeout;

use super::cron::Ticks;
use crate::{pace::Duty, parts::Engine};

/// A tick acted on later than this was missed.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// How many ticks are acted on together, so that their writes become durable together.
const BATCH: u16 = 100;

/// How many batches one step does at most; the next step goes on.
const BATCHES_PER_STEP: usize = 20;

/// How often recurring tasks are asked for that others made or changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Engine {
    /// Lets jobs come of recurring tasks whose next tick is now or has passed, some 2,000 at most. Gives when the
    /// next tick is, now when there is more to do; `None` when there is none.
    ///
    /// A tick counts once however many processes try. One that is at most 60 s late gets its job. After that it was
    /// missed: with [`CatchUp::Once`] one job stands for it and all that followed until now; with [`CatchUp::Skip`]
    /// none does. No job comes for an owner whose account isn't active, and no more for one whose account is gone.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    pub async fn fire_due_schedules(&self) -> Result<Option<Timestamp>> {
        let mut now = self.parts.clock.now();
        for _ in 0..BATCHES_PER_STEP {
            let (due, next) = self.parts.store.due_schedules(now, BATCH).await?;
            if due.is_empty() {
                return Ok(next);
            }
            // The worker's claim then becomes durable together with the jobs.
            self.parts.queue.nudge();
            let outcomes = join_all(due.iter().map(|task| self.fire(task, now))).await;
            self.parts.queue.nudge();
            let fired = outcomes.into_iter().collect::<Result<Vec<bool>>>()?;
            now = self.parts.clock.now();
            if !fired.contains(&true) {
                return Ok(Some(now.plus(LOOK_EVERY)));
            }
        }
        Ok(Some(now))
    }

    /// Gives false when another process was first, or a person paused, changed or ended it.
    async fn fire(&self, task: &Task, now: Timestamp) -> Result<bool> {
        let Some((recurrence, tick)) = task
            .recurrence
            .as_ref()
            .and_then(|seen| Some((seen, seen.next_at?)))
        else {
            return Ok(false);
        };
        let step = step_of(task.id, recurrence, tick, now);
        let (next, gives_job) = match self.owner_standing(task.user_id).await? {
            OwnerStanding::Active => (step.next, step.gives_job),
            OwnerStanding::Inactive => (step.next, false),
            OwnerStanding::Gone => (None, false),
        };
        let job = gives_job.then(|| self.job_of(task, tick, now)).transpose()?;
        self.parts.store.fire_schedule(task.id, tick, next, job).await
    }

    async fn owner_standing(&self, owner: Option<UserId>) -> Result<OwnerStanding> {
        let Some(id) = owner else {
            return Ok(OwnerStanding::Active);
        };
        Ok(match self.parts.store.find_user(id).await? {
            Some(user) if user.is_active => OwnerStanding::Active,
            Some(_) => OwnerStanding::Inactive,
            None => OwnerStanding::Gone,
        })
    }

    /// The job of a tick. Its time tells of which tick it came.
    fn job_of(&self, task: &Task, tick: Timestamp, now: Timestamp) -> Result<NewTask> {
        Ok(NewTask {
            id: TaskId::generate(self.parts.ids.as_ref()),
            user_id: task.user_id,
            title: task.title.clone(),
            description: task.description.clone(),
            priority: task.priority,
            tags: task.tags.clone(),
            job: task.job.clone(),
            patience: Patience {
                max_retries: task.standing.max_retries,
                max_stalls: task.standing.max_stalls,
                timeout: task.timeout,
            },
            scheduled_at: Some(tick),
            unique_key: key_of_jobs(task)?,
            depends_on: Vec::new(),
            recurrence: None,
            schedule_id: Some(task.id),
            created_at: now,
        })
    }
}

/// Whether jobs may come for an owner.
enum OwnerStanding {
    Active,
    Inactive,
    Gone,
}

/// What follows from a tick.
struct Step {
    next: Option<Timestamp>,
    gives_job: bool,
}

fn step_of(id: TaskId, recurrence: &Recurrence, tick: Timestamp, now: Timestamp) -> Step {
    let ticks = match Ticks::read(&recurrence.cron, &recurrence.timezone, now) {
        Ok(ticks) => ticks,
        Err(error) => {
            let task = id.to_string();
            tracing::error!(task, %error, "a schedule can't be read any more, and ends");
            return Step {
                next: None,
                gives_job: false,
            };
        }
    };
    if now.since(tick) <= LATE_AFTER {
        return Step {
            next: ticks.after(tick),
            gives_job: true,
        };
    }
    match recurrence.catch_up {
        CatchUp::Once => Step {
            next: ticks.after(now),
            gives_job: true,
        },
        CatchUp::Skip => Step {
            // A tick that is late by exactly the limit isn't missed yet.
            next: ticks.after(now.minus(LATE_AFTER + Duration::from_millis(1))),
            gives_job: false,
        },
    }
}

/// A recurring task with a unique key is there once, and so is a job of it that hasn't ended: its own key stands in
/// the way of neither.
fn key_of_jobs(task: &Task) -> Result<Option<UniqueKey>> {
    let key = task.unique_key.as_ref();
    key.map(|_| UniqueKey::parse(&task.id.to_string())).transpose()
}

/// Fires schedules on time, in every process: also in those that run no tasks.
pub(crate) struct FireSchedules {
    engine: Engine,
    /// When the next tick is, in milliseconds, as far as is known; the end of time while that isn't known.
    next: AtomicI64,
}

impl FireSchedules {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            next: AtomicI64::new(Timestamp::MAX.as_millis()),
        }
    }

    fn expect(&self, next: Timestamp) {
        self.next.store(next.as_millis(), Ordering::Relaxed);
    }
}

#[async_trait]
impl Duty for FireSchedules {
    fn name(&self) -> &'static str {
        "fire schedules"
    }

    /// How soon recurring tasks are seen that came to be, or were changed, since the last look.
    fn period(&self) -> Duration {
        LOOK_EVERY
    }

    async fn woken(&self) {
        let next = Timestamp::from_millis(self.next.load(Ordering::Relaxed));
        let wait = next.since(self.engine.parts.clock.now());
        let _elapsed = timeout(wait, pending::<()>()).await;
    }

    async fn step(&self) -> Result<()> {
        // A step that fails is tried again at the next look, not at once.
        self.expect(Timestamp::MAX);
        let next = self.engine.fire_due_schedules().await?;
        self.expect(next.unwrap_or(Timestamp::MAX));
        Ok(())
    }
}
