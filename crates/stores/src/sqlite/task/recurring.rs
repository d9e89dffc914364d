//! Recurring tasks.

use async_trait::async_trait;
use model::{NewTask, Recurrence, RecurrenceChange, Result, ScheduleStore, Task, TaskId, Timestamp, UserId};

use super::unbuilt;
use crate::sqlite::SqliteStore;

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn due_schedules(&self, _now: Timestamp, _limit: u16) -> Result<(Vec<Task>, Option<Timestamp>)> {
        Err(unbuilt())
    }

    async fn fire_schedule(
        &self,
        _id: TaskId,
        _tick: Timestamp,
        _next: Option<Timestamp>,
        _job: Option<NewTask>,
    ) -> Result<bool> {
        Err(unbuilt())
    }

    async fn change_recurrence(
        &self,
        _id: TaskId,
        _owner: Option<UserId>,
        _seen: &Recurrence,
        _change: RecurrenceChange,
        _now: Timestamp,
    ) -> Result<Option<Task>> {
        Err(unbuilt())
    }
}
