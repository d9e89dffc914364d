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
    /// The last turn of each owner who has one that isn't past.
    pub(super) last_turns: HashMap<Option<UserId>, i64>,
    /// How many owners are remembered before those are forgotten whose turn is past.
    forget_at: usize,
}

impl Line {
    /// How many owners are few enough not to be forgotten.
    pub(super) const FEW: usize = 1024;

    /// The turn that a job of this owner gets if it becomes ready now.
    pub(super) fn next_turn(&self, owner: Option<UserId>) -> i64 {
        let last = self.last_turns.get(&owner);
        last.map_or(self.present, |last| self.present.max(last.saturating_add(1)))
    }

    /// Counts a job in, and gives it its turn.
    pub(super) fn enter(&mut self, lane: i64, owner: Option<UserId>) -> i64 {
        let turn = self.next_turn(owner);
        self.last_turns.insert(owner, turn);
        let count = self.ready.entry(lane).or_default();
        *count = count.saturating_add(1);
        turn
    }

    /// Counts a job out.
    pub(super) fn leave(&mut self, lane: i64) {
        let Some(count) = self.ready.get_mut(&lane) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.ready.remove(&lane);
        }
    }

    /// Goes on to a turn, when it is claimed.
    pub(super) fn pass(&mut self, turn: i64) {
        self.present = self.present.max(turn);
        if self.last_turns.len() > self.forget_at.max(Self::FEW) {
            let present = self.present;
            self.last_turns.retain(|_, last| *last >= present);
            self.forget_at = self.last_turns.len().saturating_mul(2);
        }
    }

    /// Counts anew what the store holds; the first turn that is ready is the present one.
    pub(super) fn load(&mut self, connection: &Connection, priority: Priority) -> rusqlite::Result<()> {
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
            let last = self.last_turns.entry(owner).or_insert(turn);
            *last = turn.max(*last);
        }
        self.present = first.unwrap_or(0);
        Ok(())
    }
}
