//! Turns.

use std::collections::{BTreeMap, HashMap};

use model::{Priority, UserId};
use rusqlite::Connection;

use crate::sqlite::column::{Id, Urgency};

/// The ready jobs of one priority.
///
/// Owners take turns: a job gets the turn after that of its owner's job before it, and the present one when its
/// owner has none that waits. Of equal turns, the job that was submitted first goes first.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// How many there are in each lane that has any.
    pub(super) ready: BTreeMap<i64, u64>,
    /// The greatest turn that was claimed.
    present: i64,
    /// The owners who have ready jobs, or had one claimed at a turn that isn't past.
    pub(super) owners: HashMap<Option<UserId>, Queuer>,
    /// How many owners are remembered before those are forgotten whose turn is past.
    forget_at: usize,
}

/// An owner, as those see it who wait in the same line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queuer {
    /// How many ready jobs it has.
    pub(super) waiting: u64,
    /// The last turn that it was given.
    pub(super) last: i64,
    /// The last of its turns that came.
    served: Option<i64>,
}

impl Line {
    /// How many owners are few enough not to be forgotten.
    pub(super) const FEW: usize = 1024;

    /// The turn that a job of this owner gets if it becomes ready now.
    pub(super) fn next_turn(&self, owner: Option<UserId>) -> i64 {
        let queuer = self.owners.get(&owner);
        queuer.map_or(self.present, |queuer| {
            self.present.max(queuer.last.saturating_add(1))
        })
    }

    /// Counts a job in, and gives it its turn.
    pub(super) fn enter(&mut self, lane: i64, owner: Option<UserId>) -> i64 {
        let turn = self.next_turn(owner);
        let queuer = self.owners.entry(owner).or_default();
        queuer.last = turn;
        queuer.waiting = queuer.waiting.saturating_add(1);
        let count = self.ready.entry(lane).or_default();
        *count = count.saturating_add(1);
        turn
    }

    /// Counts a job out. An owner none of whose jobs waits any more has given back the turns that didn't come.
    pub(super) fn leave(&mut self, lane: i64, owner: Option<UserId>) {
        if let Some(queuer) = self.owners.get_mut(&owner) {
            queuer.waiting = queuer.waiting.saturating_sub(1);
            match queuer.served {
                Some(served) if queuer.waiting == 0 => queuer.last = served,
                None if queuer.waiting == 0 => drop(self.owners.remove(&owner)),
                Some(_) | None => {}
            }
        }
        let Some(count) = self.ready.get_mut(&lane) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.ready.remove(&lane);
        }
    }

    /// Goes on to a turn of an owner, when it is claimed; the job is yet to be counted out.
    pub(super) fn pass(&mut self, turn: i64, owner: Option<UserId>) {
        self.present = self.present.max(turn);
        if let Some(queuer) = self.owners.get_mut(&owner) {
            queuer.served = queuer.served.max(Some(turn));
        }
        if self.owners.len() > self.forget_at.max(Self::FEW) {
            let present = self.present;
            self.owners
                .retain(|_, queuer| queuer.waiting > 0 || queuer.last >= present);
            self.forget_at = self.owners.len().saturating_mul(2);
        }
    }

    /// The greatest turn that was claimed.
    pub(super) fn present(&self) -> i64 {
        self.present
    }

    /// Counts anew what the store holds; the first turn that is ready is the present one, or `floor` if
    /// that is known to be past.
    pub(super) fn load(
        &mut self,
        connection: &Connection,
        priority: Priority,
        floor: i64,
    ) -> rusqlite::Result<()> {
        // Added up here: the database would sort them first.
        let mut statement = connection.prepare_cached(
            "SELECT lane, user_id, turn FROM task INDEXED BY task_ready WHERE queue = 1 AND priority = ?1",
        )?;
        let mut first: Option<i64> = None;
        let mut rows = statement.query([Urgency(priority)])?;
        while let Some(row) = rows.next()? {
            let owner = row.get::<_, Option<Id>>(1)?.map(|id| UserId::from_uuid(id.0));
            let turn: i64 = row.get(2)?;
            first = Some(first.map_or(turn, |first| first.min(turn)));
            let ready = self.ready.entry(row.get(0)?).or_default();
            *ready = ready.saturating_add(1);
            let queuer = self.owners.entry(owner).or_default();
            queuer.waiting = queuer.waiting.saturating_add(1);
            queuer.last = queuer.last.max(turn);
        }
        self.present = first.unwrap_or(0).max(floor);
        Ok(())
    }
}
