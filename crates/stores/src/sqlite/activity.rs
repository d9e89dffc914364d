//! Which accounts did something on which day.

use model::{Timestamp, UserId};
use rusqlite::{Connection, params};

use super::column::{Id, Moment};

/// Notes an account as active on the day of `moment`.
pub(super) fn note_activity(
    connection: &Connection,
    user_id: UserId,
    moment: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO user_activity (day, user_id) VALUES (?1, ?2)")?
        .execute(params![Moment(moment.start_of_day()), Id(user_id.as_uuid())])?;
    Ok(())
}
