//! Writing where tasks stand.

use model::{ExecutionId, Failure, Lease, Standing, TaskId, TaskStatus, Timestamp};
use rusqlite::{Connection, params};

use super::{Change, Placed};
use crate::sqlite::{
    column::{Id, Moment, Status, Urgency},
    lanes::{Place, TaskLedger},
};

impl Placed {
    /// Writes the row, and of it only what can change in this way, so that few indexes are touched.
    pub(super) fn write_change(
        &self,
        connection: &Connection,
        after: &Self,
        change: Change,
    ) -> rusqlite::Result<()> {
        let (from, to) = (self.standing, after.standing);
        let is_same_priority = self.priority == after.priority;
        let is_without_end =
            is_same_priority && change.call.is_none() && change.error.is_none() && change.inquiry.is_none();
        let begun = Standing {
            status: to.status,
            attempt: to.attempt,
            lease: to.lease,
            ..from
        };
        if let (Some(Place::Ready { .. }), Some(lease)) = (self.place, to.lease)
            && to == begun
            && is_without_end
        {
            return after.write_begin(connection, lease, change.now);
        }
        let ended = Standing {
            status: to.status,
            lease: None,
            ..from
        };
        if let (Some(Place::Held), None, Some(error)) = (self.place, after.place, &change.error)
            && to == ended
            && is_same_priority
        {
            return after.write_end(connection, error.as_ref(), (change.call, change.now));
        }
        if is_without_end && from.status == to.status && from.lease == to.lease {
            // That its time came is no change of a task.
            let is_changed = from != to || self.priority != after.priority;
            return after.write_place(connection, is_changed.then_some(change.now));
        }
        after.write(connection, change)
    }

    /// Writes that a worker takes a ready job.
    fn write_begin(&self, connection: &Connection, lease: Lease, now: Timestamp) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE task SET status = ?2, queue = ?3, turn = NULL, attempt = ?4, worker = ?5, lease_until = ?6, \
                 started_at = ?7, updated_at = ?7, progress = NULL WHERE seq = ?1",
            )?
            .execute(params![
                self.seq,
                Status(self.standing.status),
                self.place.map(Place::number),
                self.standing.attempt,
                Id(lease.worker.as_uuid()),
                Moment(lease.until),
                Moment(now),
            ])
            .map(|_| ())
    }

    /// Writes that an attempt ended the task.
    fn write_end(
        &self,
        connection: &Connection,
        error: Option<&Failure>,
        (call, now): (Option<ExecutionId>, Timestamp),
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE task SET status = ?2, stage = ?2, queue = NULL, worker = NULL, lease_until = NULL, finished_at = ?3, \
                 updated_at = ?3, execution_id = coalesce(?4, execution_id), error_code = ?5, error_message = ?6, \
                 progress = NULL, inquiry = NULL WHERE seq = ?1",
            )?
            .execute(params![
                self.seq,
                Status(self.standing.status),
                Moment(now),
                call.map(|id| Id(id.as_uuid())),
                error.map(|error| error.code.as_str()),
                error.map(|error| error.message.as_str()),
            ])
            .map(|_| ())
    }

    fn turn(&self) -> Option<i64> {
        match self.place {
            Some(Place::Ready { turn }) => Some(turn),
            Some(Place::Held | Place::Scheduled | Place::Blocked | Place::Asking) | None => None,
        }
    }

    /// Writes a change of all but status, lease and error: it leaves the indexes by status alone.
    fn write_place(&self, connection: &Connection, changed_at: Option<Timestamp>) -> rusqlite::Result<()> {
        let (standing, ready_at) = (&self.standing, self.ready_at.map(Moment));
        connection
            .prepare_cached(
                "UPDATE task SET priority = ?2, queue = ?3, turn = ?4, due_at = ?5, ready_at = ?6, unmet = ?7, \
                 retry_count = ?8, max_retries = ?9, stall_count = ?10, max_stalls = ?11, \
                 updated_at = coalesce(?12, updated_at) WHERE seq = ?1",
            )?
            .execute(params![
                self.seq,
                Urgency(self.priority),
                self.place.map(Place::number),
                self.turn(),
                Moment(standing.due_at),
                ready_at,
                standing.unmet,
                standing.retry_count,
                standing.max_retries,
                standing.stall_count,
                standing.max_stalls,
                changed_at.map(Moment),
            ])
            .map(|_| ())
    }

    fn write(&self, connection: &Connection, change: Change) -> rusqlite::Result<()> {
        let (standing, now) = (&self.standing, Moment(change.now));
        let has_error = change.error.is_some();
        let error = change.error.flatten();
        let (code, message) = error.map(|error| (error.code, error.message)).unzip();
        let is_begun = standing.status == TaskStatus::InProgress;
        connection
            .prepare_cached(
                "UPDATE task SET status = ?2, stage = max(?2, 1), priority = ?3, queue = ?4, turn = ?5, due_at = ?6, ready_at = ?7, \
                 attempt = ?8, retry_count = ?9, max_retries = ?10, stall_count = ?11, max_stalls = ?12, unmet = ?13, \
                 worker = ?14, lease_until = ?15, started_at = coalesce(?16, started_at), finished_at = ?17, \
                 updated_at = ?18, execution_id = coalesce(?19, execution_id), progress = NULL, \
                 error_code = CASE WHEN ?20 THEN ?21 ELSE error_code END, \
                 error_message = CASE WHEN ?20 THEN ?22 ELSE error_message END, \
                 inquiry = CASE WHEN ?17 IS NULL THEN coalesce(?23, inquiry) END WHERE seq = ?1",
            )?
            .execute(params![
                self.seq,
                Status(standing.status),
                Urgency(self.priority),
                self.place.map(Place::number),
                self.turn(),
                Moment(standing.due_at),
                self.ready_at.map(Moment),
                standing.attempt,
                standing.retry_count,
                standing.max_retries,
                standing.stall_count,
                standing.max_stalls,
                standing.unmet,
                standing.lease.map(|lease| Id(lease.worker.as_uuid())),
                standing.lease.map(|lease| Moment(lease.until)),
                is_begun.then_some(now),
                standing.status.is_final().then_some(now),
                now,
                change.call.map(|id| Id(id.as_uuid())),
                has_error,
                code,
                message,
                change.inquiry,
            ])
            .map(|_| ())
    }
}

/// Keeps that a task ended, if there are others that are to be told.
pub(super) fn keep_end(connection: &Connection, tasks: &mut TaskLedger, id: TaskId) -> rusqlite::Result<()> {
    if !tasks.lanes(connection)?.has_dependencies() {
        return Ok(());
    }
    let has_dependents = connection
        .prepare_cached("SELECT 1 FROM task_dependency WHERE depends_on = ?1 AND is_told = 0")?
        .exists([Id(id.as_uuid())])?;
    if has_dependents {
        connection
            .prepare_cached("INSERT OR IGNORE INTO task_settlement (task_id) VALUES (?1)")?
            .execute([Id(id.as_uuid())])?;
    }
    Ok(())
}
