//! What the writer remembers of the queue, so that neither submission nor claim has to look for it.

mod line;

use std::collections::HashMap;

use model::{PluginName, Priority, TaskStatus, Timestamp, UserId};
use rusqlite::{Connection, params};

use self::line::Line;
use super::column::{Status, Text, Urgency, to_count};

/// Where a job stands that hasn't ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A worker holds it.
    Held,
    /// It is ready for one, and has this turn among those of its priority.
    Ready {
        /// Its turn.
        turn: i64,
    },
    /// It waits for its time.
    Scheduled,
    /// It waits for other tasks.
    Blocked,
    /// It waits for answers.
    Asking,
}

impl Place {
    /// The number in the column `queue`.
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Held => 0,
            Self::Ready { .. } => 1,
            Self::Scheduled => 2,
            Self::Blocked => 3,
            Self::Asking => 4,
        }
    }
}

/// The queue in numbers: what is ready, by priority and lane, and how much waits for something else.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    numbers: HashMap<PluginName, i64>,
    lines: [Line; 4],
    scheduled: u64,
    /// No job waits for an earlier moment; `None` when that isn't known.
    first_due: Option<Timestamp>,
    blocked: u64,
    asking: u64,
    held: u64,
    claims: u8,
    has_dependencies: bool,
    has_changed: bool,
}

impl Lanes {
    /// The place that a job would get, with its turn if it is ready.
    pub(super) fn peek(&self, place: Place, priority: Priority, owner: Option<UserId>) -> Place {
        match place {
            Place::Ready { .. } => Place::Ready {
                turn: self.line(priority).next_turn(owner),
            },
            Place::Held | Place::Scheduled | Place::Blocked | Place::Asking => place,
        }
    }

    /// Counts a job into a place; gives it its turn when it is ready.
    pub(super) fn enter(
        &mut self,
        place: Place,
        priority: Priority,
        lane: i64,
        owner: Option<UserId>,
    ) -> Place {
        self.has_changed = true;
        match place {
            Place::Held => self.held = self.held.saturating_add(1),
            Place::Scheduled => self.scheduled = self.scheduled.saturating_add(1),
            Place::Blocked => self.blocked = self.blocked.saturating_add(1),
            Place::Asking => self.asking = self.asking.saturating_add(1),
            Place::Ready { .. } => {
                let turn = self.line_mut(priority).enter(lane, owner);
                return Place::Ready { turn };
            }
        }
        place
    }

    /// Counts a job out of a place.
    pub(super) fn leave(&mut self, place: Place, priority: Priority, lane: i64, owner: Option<UserId>) {
        self.has_changed = true;
        match place {
            Place::Held => self.held = self.held.saturating_sub(1),
            Place::Scheduled => self.scheduled = self.scheduled.saturating_sub(1),
            Place::Blocked => self.blocked = self.blocked.saturating_sub(1),
            Place::Asking => self.asking = self.asking.saturating_sub(1),
            Place::Ready { .. } => self.line_mut(priority).leave(lane, owner),
        }
    }

    /// Notes that a ready job's turn came, before it leaves.
    pub(super) fn pass(&mut self, priority: Priority, turn: i64, owner: Option<UserId>) {
        self.has_changed = true;
        self.line_mut(priority).pass(turn, owner);
    }

    /// Tells of each claim whether it is the fourth one, which goes to who has waited longest.
    pub(super) fn is_fourth_claim(&mut self) -> bool {
        self.claims = self.claims.wrapping_add(1) % 4;
        self.claims == 0
    }

    /// The lanes of a priority that have ready jobs.
    pub(super) fn ready_lanes(&self, priority: Priority) -> impl Iterator<Item = i64> + '_ {
        self.line(priority).ready.keys().copied()
    }

    /// How many jobs are ready, of each priority from low to critical.
    pub(super) fn ready(&self) -> [u64; 4] {
        Priority::ALL.map(|priority| self.line(priority).ready.values().sum())
    }

    /// Whether a job is ready in a lane that `is_open`.
    pub(super) fn has_ready(&self, is_open: impl Fn(i64) -> bool) -> bool {
        let mut lanes = self.lines.iter().flat_map(|line| line.ready.keys());
        lanes.any(|lane| is_open(*lane))
    }

    /// How many jobs wait for their time.
    pub(super) fn scheduled(&self) -> u64 {
        self.scheduled
    }

    /// How many wait for other tasks.
    pub(super) fn blocked(&self) -> u64 {
        self.blocked
    }

    /// How many wait for answers.
    pub(super) fn asking(&self) -> u64 {
        self.asking
    }

    /// Tells whether a job that waits for its time may be due.
    pub(super) fn may_be_due(&self, now: Timestamp) -> bool {
        self.scheduled > 0 && self.first_due.is_none_or(|due| due <= now)
    }

    /// Notes that a job waits until this moment.
    pub(super) fn note_due(&mut self, due_at: Timestamp) {
        self.first_due = self.first_due.map(|first| first.min(due_at));
    }

    /// Notes that none waits for an earlier moment; `None` when it isn't known which is the first.
    pub(super) fn note_first_due(&mut self, due_at: Option<Timestamp>) {
        self.first_due = due_at;
    }

    /// How many are held by workers.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Whether a task may depend on another.
    pub(super) fn has_dependencies(&self) -> bool {
        self.has_dependencies
    }

    /// Notes that a task depends on another.
    pub(super) fn note_dependency(&mut self) {
        self.has_dependencies = true;
    }

    /// The lane of a plugin, if it ever had a task.
    pub(super) fn find_lane(&self, plugin: &PluginName) -> Option<i64> {
        self.numbers.get(plugin).copied()
    }

    /// The lane of a plugin, which is given one when it has its first task.
    pub(super) fn lane(&mut self, connection: &Connection, plugin: &PluginName) -> rusqlite::Result<i64> {
        if let Some(lane) = self.find_lane(plugin) {
            return Ok(lane);
        }
        let lane = connection
            .prepare_cached("INSERT INTO task_lane (plugin) VALUES (?1)")?
            .insert([plugin.as_str()])?;
        self.has_changed = true;
        self.numbers.insert(plugin.clone(), lane);
        Ok(lane)
    }

    fn line(&self, priority: Priority) -> &Line {
        let [low, medium, high, critical] = &self.lines;
        match priority {
            Priority::Low => low,
            Priority::Medium => medium,
            Priority::High => high,
            Priority::Critical => critical,
        }
    }

    fn line_mut(&mut self, priority: Priority) -> &mut Line {
        let [low, medium, high, critical] = &mut self.lines;
        match priority {
            Priority::Low => low,
            Priority::Medium => medium,
            Priority::High => high,
            Priority::Critical => critical,
        }
    }

    /// What to go on from when the rest is forgotten.
    fn past(&self) -> Past {
        Past {
            turns: Priority::ALL.map(|priority| self.line(priority).present()),
            claims: self.claims,
        }
    }

    /// Counts anew what the store holds.
    pub(super) fn load(connection: &Connection, past: Past) -> rusqlite::Result<Self> {
        let mut lanes = Self {
            has_changed: true,
            claims: past.claims,
            ..Self::default()
        };
        let mut names = connection.prepare_cached("SELECT plugin, id FROM task_lane")?;
        lanes.numbers = names
            .query_map((), |row| Ok((row.get::<_, Text<_>>(0)?.0, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (priority, turn) in Priority::ALL.into_iter().zip(past.turns) {
            lanes.line_mut(priority).load(connection, priority, turn)?;
        }
        let count = |sql: &str| -> rusqlite::Result<u64> {
            let counted = connection.prepare_cached(sql)?.query_row((), |row| row.get(0));
            counted.map(to_count)
        };
        lanes.has_dependencies = connection
            .prepare_cached("SELECT 1 FROM task_dependency")?
            .exists(())?;
        lanes.held = count("SELECT count(*) FROM task INDEXED BY task_held WHERE queue = 0")?;
        lanes.scheduled = count("SELECT count(*) FROM task INDEXED BY task_due WHERE queue = 2")?;
        lanes.blocked = count("SELECT count(*) FROM task INDEXED BY task_blocked WHERE queue = 3")?;
        lanes.asking = count("SELECT count(*) FROM task INDEXED BY task_asking WHERE queue = 4")?;
        Ok(lanes)
    }
}

/// How far the turns have come, which no task tells: an owner who waits must not be passed by those who come once
/// all else is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    turns: [i64; 4],
    claims: u8,
}

/// What tasks have in common that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sort {
    pub(super) owner: Option<UserId>,
    pub(super) status: TaskStatus,
    pub(super) priority: Priority,
    /// 0 for what has no plugin.
    pub(super) lane: i64,
}

/// What the writer remembers of tasks: the queue, and counts not yet written.
#[derive(Debug, Default)]
pub(super) struct TaskLedger {
    lanes: Option<Lanes>,
    past: Past,
    counts: HashMap<Sort, i64>,
}

impl TaskLedger {
    /// The queue, counted anew when it was forgotten.
    pub(super) fn lanes(&mut self, connection: &Connection) -> rusqlite::Result<&mut Lanes> {
        match &mut self.lanes {
            Some(lanes) => Ok(lanes),
            empty @ None => Ok(empty.insert(Lanes::load(connection, self.past)?)),
        }
    }

    /// Counts a task in.
    pub(super) fn add(&mut self, sort: Sort) {
        let count = self.counts.entry(sort).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts a task out.
    pub(super) fn remove(&mut self, sort: Sort) {
        let count = self.counts.entry(sort).or_default();
        *count = count.saturating_sub(1);
    }

    /// Notes where an isolated step begins, all counts before it being written.
    pub(super) fn begin_step(&mut self) {
        if let Some(lanes) = &mut self.lanes {
            lanes.has_changed = false;
        }
    }

    /// Forgets what an isolated step did since it began.
    pub(super) fn undo_step(&mut self) {
        self.counts.clear();
        // Counting anew costs too much for every refusal; what was counted during the step saw what is undone.
        if self.lanes.as_ref().is_some_and(|lanes| lanes.has_changed) {
            self.forget();
        }
    }

    /// Forgets all that a lost transaction may have written.
    pub(super) fn forget(&mut self) {
        self.counts.clear();
        if let Some(lanes) = self.lanes.take() {
            self.past = lanes.past();
        }
    }

    /// Writes the counts of this transaction.
    pub(super) fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.counts.is_empty() {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO task_count (user_id, status, priority, lane, count) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (user_id, status, priority, lane) DO UPDATE SET count = count + ?5",
        )?;
        for (sort, count) in self.counts.drain().filter(|(_, count)| *count != 0) {
            let owner = sort.owner.map(|id| *id.as_uuid().as_bytes());
            statement.execute(params![
                owner.as_ref().map_or(&[][..], |bytes| bytes.as_slice()),
                Status(sort.status),
                Urgency(sort.priority),
                sort.lane,
                count
            ])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
