//! How full the queue is.

use model::{Priority, QueueDepth, Timestamp};
use rusqlite::{Connection, params};

use crate::sqlite::{
    column::{Moment, Urgency},
    lanes::Lanes,
};

/// How many jobs at the head of each lane are looked at for the one that has been ready longest: since owners take
/// turns, it may stand behind younger ones of others.
const LOOKED_AT: u16 = 64;

/// Measures by what the writer counts.
pub(super) fn measure(connection: &Connection, lanes: &Lanes) -> rusqlite::Result<QueueDepth> {
    let mut oldest_ready: Option<Timestamp> = None;
    let mut statement = connection.prepare_cached(
        "SELECT min(ready_at) FROM (SELECT ready_at FROM task INDEXED BY task_ready \
         WHERE queue = 1 AND priority = ?1 AND lane = ?2 ORDER BY turn, seq LIMIT ?3)",
    )?;
    for priority in Priority::ALL {
        for lane in lanes.ready_lanes(priority) {
            let oldest: Option<Moment> =
                statement.query_row(params![Urgency(priority), lane, LOOKED_AT], |row| row.get(0))?;
            oldest_ready = oldest_ready
                .into_iter()
                .chain(oldest.map(|moment| moment.0))
                .min();
        }
    }
    Ok(QueueDepth {
        ready: lanes.ready(),
        scheduled: lanes.scheduled(),
        blocked: lanes.blocked(),
        awaiting_input: lanes.asking(),
        in_progress: lanes.held(),
        oldest_ready,
    })
}
