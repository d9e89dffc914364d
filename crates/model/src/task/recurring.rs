//! The port of recurring tasks.

use async_trait::async_trait;

use super::{NewTask, Task};
use crate::{
    error::Result,
    id::{TaskId, UserId},
    schedule::{Recurrence, RecurrenceChange},
    time::Timestamp,
};

/// Lets jobs come of recurring tasks. Each method is one atomic, durable step.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// Gives up to `limit` recurring tasks whose next tick is at or before `now`, the earliest first, and the
    /// next tick of all that aren't among them.
    async fn due_schedules(&self, now: Timestamp, limit: u16) -> Result<(Vec<Task>, Option<Timestamp>)>;

    /// Moves a recurring task from the tick `tick` to `next`, and submits the job of that tick if there is one
    /// to be. Gives false, and changes nothing, when its next tick isn't `tick` any more, or it was paused,
    /// cancelled or deleted: so that each tick counts once, however many processes try.
    ///
    /// A job whose unique key is taken isn't submitted; the tick counts all the same.
    async fn fire_schedule(
        &self,
        id: TaskId,
        tick: Timestamp,
        next: Option<Timestamp>,
        job: Option<NewTask>,
    ) -> Result<bool>;

    /// Changes when jobs come of a recurring task; with `owner`, only if it is that owner's. Sets `next_at` to
    /// `change.next_at` whatever it is. Gives the task, and `None` when there is none.
    ///
    /// # Errors
    /// `Conflict` when it isn't a recurring task, or is cancelled, or its cron expression, time zone, pause
    /// or next tick changed since `seen` was read: a tick that has counted never comes back.
    #[expect(
        clippy::too_many_arguments,
        reason = "whose task, what was seen of it, what to make of it, and when: one conditional step"
    )]
    async fn change_recurrence(
        &self,
        id: TaskId,
        owner: Option<UserId>,
        seen: &Recurrence,
        change: RecurrenceChange,
        now: Timestamp,
    ) -> Result<Option<Task>>;
}
