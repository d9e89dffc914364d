//! Telling whether a task can be added, before anything is written.

use std::collections::{HashMap, HashSet};

use model::{Error, ErrorCode, TaskId, TaskKind, TaskStatus, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::sqlite::{
    column::{Id, Kind, Status},
    failure::{Fault, Outcome},
};

/// What decides whether a task can be added.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) id: TaskId,
    pub(super) user_id: Option<UserId>,
    pub(super) kind: TaskKind,
    pub(super) unique_key: Option<&'a str>,
    pub(super) depends_on: &'a [TaskId],
}

/// Tasks that are about to be added together.
#[derive(Default)]
pub(super) struct Batch<'a> {
    tasks: HashMap<TaskId, (Option<UserId>, TaskKind)>,
    keys: HashSet<(Option<UserId>, &'a str)>,
}

impl<'a> Batch<'a> {
    /// Refuses what couldn't be added once those before it are; else counts it among them.
    pub(super) fn check(&mut self, connection: &Connection, row: Wish<'a>) -> Outcome<()> {
        let owner = match self.tasks.get(&row.id) {
            Some((owner, _)) => Some(*owner),
            None => find_owner(connection, row.id)?,
        };
        if let Some(owner) = owner {
            return if owner == row.user_id {
                Ok(())
            } else {
                Err(taken_id())
            };
        }
        if let Some(key) = row.unique_key
            && (!self.keys.insert((row.user_id, key)) || is_key_taken(connection, row.user_id, key)?)
        {
            return Ok(());
        }
        row.check_dependencies(connection, self)?;
        self.tasks.insert(row.id, (row.user_id, row.kind));
        Ok(())
    }
}

/// Says that an id is another owner's.
pub(super) fn taken_id() -> Fault {
    Error::new(ErrorCode::Conflict, "another task has this id").into()
}

fn find_owner(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<Option<UserId>>> {
    connection
        .prepare_cached("SELECT user_id FROM task WHERE id = ?1")?
        .query_row([Id(id.as_uuid())], |row| row.get::<_, Option<Id>>(0))
        .optional()
        .map(|found| found.map(|owner| owner.map(|id| UserId::from_uuid(id.0))))
}

fn is_key_taken(connection: &Connection, owner: Option<UserId>, key: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM task INDEXED BY task_unique_key WHERE coalesce(user_id, x'') = coalesce(?1, x'') \
             AND unique_key = ?2 AND stage = 1",
        )?
        .exists(params![owner.map(|id| Id(id.as_uuid())), key])
}

impl Wish<'_> {
    /// Tells of each task that this one depends on whether it is completed; those of the batch aren't.
    pub(super) fn check_dependencies(
        &self,
        connection: &Connection,
        batch: &Batch<'_>,
    ) -> Outcome<Vec<bool>> {
        if self.depends_on.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement =
            connection.prepare_cached("SELECT kind, status FROM task WHERE id = ?1 AND user_id IS ?2")?;
        let owner = self.user_id.map(|id| Id(id.as_uuid()));
        let mut are_met = Vec::with_capacity(self.depends_on.len());
        for (index, id) in self.depends_on.iter().enumerate() {
            let in_batch = || {
                let (owner, kind) = batch.tasks.get(id)?;
                (*owner == self.user_id).then_some((*kind, TaskStatus::Pending))
            };
            let found = statement
                .query_row(params![Id(id.as_uuid()), owner], |row| {
                    Ok((row.get::<_, Kind>(0)?.0, row.get::<_, Status>(1)?.0))
                })
                .optional()?
                .or_else(in_batch);
            let refuse = |message: &str| Err(Error::invalid(format!("dependsOn.{index}"), message).into());
            are_met.push(match found {
                None => return refuse("must name a task of the same owner"),
                Some((TaskKind::Recurring, _)) => return refuse("must not name a recurring task"),
                Some((_, TaskStatus::Failed | TaskStatus::Cancelled)) => {
                    return refuse("must not name a task that has failed or was cancelled");
                }
                Some((_, TaskStatus::Completed)) => true,
                Some((_, TaskStatus::Pending | TaskStatus::InProgress)) => false,
            });
        }
        Ok(are_met)
    }
}
