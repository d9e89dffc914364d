//! What the writer remembers between executions: numbers of series, and counts not yet written.

use std::{collections::HashMap, time::Duration};

use model::{ActionName, ExecutionStatus, PluginName, Source, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{column::Id, lanes::TaskLedger};

/// What many executions have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub(super) plugin: PluginName,
    pub(super) action: ActionName,
    pub(super) source: Source,
    pub(super) status: ExecutionStatus,
}

/// How far the time within an id and the time of creation beside it lie apart, in milliseconds: over all
/// executions, `created_at` lies between the id's time less `most` and the id's time less `least`.
///
/// So a filter by time becomes a range of ids, whatever clocks the ids came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Skew {
    pub(super) least: i64,
    pub(super) most: i64,
}

impl Skew {
    const LEAST: &'static str = "execution_id_least_skew_ms";
    const MOST: &'static str = "execution_id_most_skew_ms";

    /// Reads the skew as of the last commit that the connection sees.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT value FROM fact WHERE name = ?")?;
        let mut fact = |name: &str| -> rusqlite::Result<i64> {
            let value = statement.query_row([name], |row| row.get(0)).optional()?;
            Ok(value.unwrap_or(0))
        };
        Ok(Self {
            least: fact(Self::LEAST)?,
            most: fact(Self::MOST)?,
        })
    }

    fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO fact (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        )?;
        statement.execute(params![Self::LEAST, self.least])?;
        statement.execute(params![Self::MOST, self.most])?;
        Ok(())
    }

    fn including(self, id: Uuid, created_at: Timestamp) -> Self {
        let skew = id_millis(id).saturating_sub(created_at.as_millis());
        Self {
            least: self.least.min(skew),
            most: self.most.max(skew),
        }
    }
}

/// The milliseconds since the epoch in a UUID of version 7 (RFC 9562 §5.7); of another UUID, its first 48 bits.
fn id_millis(id: Uuid) -> i64 {
    const BITS_BELOW: u32 = 80;
    i64::try_from(id.as_u128() >> BITS_BELOW).unwrap_or(i64::MAX)
}

/// The counts of one series that a transaction adds.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    calls: i64,
    micros: i64,
    last_called_at: Option<i64>,
}

impl Tally {
    fn add(&mut self, ended: Option<(Duration, Timestamp)>) {
        self.calls = self.calls.saturating_add(1);
        if let Some((duration, accepted_at)) = ended {
            self.micros = self.micros.saturating_add(to_micros(duration));
            self.last_called_at = self.last_called_at.max(Some(accepted_at.as_millis()));
        }
    }

    fn remove_running(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }
}

/// One execution, as the counts see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Which series.
    pub(super) series: i64,
    /// Whose.
    pub(super) user_id: Option<UserId>,
    /// How long it took and when it was accepted, once it ended.
    pub(super) ended: Option<(Duration, Timestamp)>,
}

/// What the writer remembers. Counts are added up here and written once in each transaction.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    numbers: HashMap<Series, i64>,
    tallies: HashMap<i64, Tally>,
    user_tallies: HashMap<(UserId, i64), Tally>,
    /// As the store has it; `None` when it is to be read again.
    skew: Option<Skew>,
    /// The queue, and the counts of tasks.
    pub(super) tasks: TaskLedger,
}

impl Ledger {
    /// How many series are remembered; a caller can make up names without end.
    const MAX_SERIES: usize = 4096;

    /// Begins with what the store holds.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            skew: Some(Skew::read(connection)?),
            ..Self::default()
        })
    }

    /// Forgets all that a lost transaction may have written.
    pub(super) fn forget(&mut self) {
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.forget();
        *self = Self {
            tasks,
            ..Self::default()
        };
    }

    /// Begins an isolated step: writes the counts of those before it, which its undoing must not touch.
    pub(super) fn begin_step(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.flush(connection)?;
        self.tasks.begin_step();
        Ok(())
    }

    /// Forgets all that an isolated step may have written since it began.
    pub(super) fn undo_step(&mut self) {
        self.numbers.clear();
        self.tallies.clear();
        self.user_tallies.clear();
        self.skew = None;
        self.tasks.undo_step();
    }

    /// The number of a series, which is given one when it is new.
    pub(super) fn number(&mut self, connection: &Connection, series: Series) -> rusqlite::Result<i64> {
        if let Some(number) = self.numbers.get(&series) {
            return Ok(*number);
        }
        let number = find_or_add(connection, &series)?;
        if self.numbers.len() >= Self::MAX_SERIES {
            self.numbers.clear();
        }
        self.numbers.insert(series, number);
        Ok(number)
    }

    /// Widens the skew for a new execution, if need be.
    pub(super) fn note_skew(
        &mut self,
        connection: &Connection,
        id: Uuid,
        created_at: Timestamp,
    ) -> rusqlite::Result<()> {
        let known = match self.skew {
            Some(known) => known,
            None => Skew::read(connection)?,
        };
        let skew = known.including(id, created_at);
        if skew != known {
            skew.write(connection)?;
        }
        self.skew = Some(skew);
        Ok(())
    }

    /// Counts an execution in.
    pub(super) fn add(&mut self, entry: Entry) {
        self.tallies.entry(entry.series).or_default().add(entry.ended);
        if let Some(user_id) = entry.user_id {
            let tally = self.user_tallies.entry((user_id, entry.series)).or_default();
            tally.add(entry.ended);
        }
    }

    /// Counts a running execution out of its series, since it ended.
    pub(super) fn remove_running(&mut self, series: i64, user_id: Option<UserId>) {
        self.tallies.entry(series).or_default().remove_running();
        if let Some(user_id) = user_id {
            let tally = self.user_tallies.entry((user_id, series)).or_default();
            tally.remove_running();
        }
    }

    /// Writes the counts of this transaction.
    pub(super) fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.tasks.flush(connection)?;
        if self.tallies.is_empty() {
            return Ok(());
        }
        // Sums stop at the greatest number that a column holds.
        let mut series = connection.prepare_cached(
            "UPDATE call_series SET calls = calls + ?2, \
             total_micros = min(total_micros, 9223372036854775807 - ?3) + ?3, \
             last_called_at = max(coalesce(last_called_at, ?4), coalesce(?4, last_called_at)) WHERE id = ?1",
        )?;
        for (number, tally) in self.tallies.drain() {
            series.execute(params![number, tally.calls, tally.micros, tally.last_called_at])?;
        }
        let mut users = connection.prepare_cached(
            "INSERT INTO user_call_count (user_id, series, calls, total_micros, last_called_at) \
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (user_id, series) DO UPDATE SET calls = calls + ?3, \
             total_micros = min(total_micros, 9223372036854775807 - ?4) + ?4, \
             last_called_at = max(coalesce(last_called_at, ?5), coalesce(?5, last_called_at))",
        )?;
        for ((user_id, number), tally) in self.user_tallies.drain() {
            users.execute(params![
                Id(user_id.as_uuid()),
                number,
                tally.calls,
                tally.micros,
                tally.last_called_at
            ])?;
        }
        Ok(())
    }
}

/// The whole microseconds of a duration, at most the greatest number that a column holds.
pub(super) fn to_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn find_or_add(connection: &Connection, series: &Series) -> rusqlite::Result<i64> {
    let content = params![
        series.plugin.as_str(),
        series.action.as_str(),
        series.source.as_str(),
        series.status.as_str()
    ];
    let mut find = connection.prepare_cached(
        "SELECT id FROM call_series WHERE plugin = ?1 AND action = ?2 AND source = ?3 AND status = ?4",
    )?;
    if let Some(number) = find.query_row(content, |row| row.get(0)).optional()? {
        return Ok(number);
    }
    connection
        .prepare_cached("INSERT INTO call_series (plugin, action, source, status) VALUES (?1, ?2, ?3, ?4)")?
        .insert(content)
}
