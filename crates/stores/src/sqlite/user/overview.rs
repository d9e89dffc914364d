//! Numbers of accounts.

use std::{collections::HashMap, time::Duration};

use model::{DailyUsers, Role, Timestamp, UserOverview};
use rusqlite::{Connection, params};

use crate::sqlite::column::{Moment, Text, to_count};

const DAY: Duration = Duration::from_secs(86_400);

/// Counts accounts for the `days` days that end with the day of `now`; days before the epoch are left out.
pub(super) fn count(connection: &Connection, now: Timestamp, days: u16) -> rusqlite::Result<UserOverview> {
    let mut overview = UserOverview::default();
    let mut statement =
        connection.prepare_cached("SELECT role, is_active, count(*) FROM user GROUP BY role, is_active")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let role = row.get::<_, Text<Role>>(0)?.0;
        let is_active: bool = row.get(1)?;
        let accounts = to_count(row.get(2)?);
        overview.total = overview.total.saturating_add(accounts);
        if is_active {
            overview.active = overview.active.saturating_add(accounts);
        }
        let by_role = Role::ALL.into_iter().zip(&mut overview.by_role);
        for (_, sum) in by_role.filter(|(other, _)| *other == role) {
            *sum = sum.saturating_add(accounts);
        }
    }
    overview.days = count_days(connection, now.start_of_day(), days)?;
    Ok(overview)
}

fn count_days(connection: &Connection, today: Timestamp, days: u16) -> rusqlite::Result<Vec<DailyUsers>> {
    let mut span: Vec<Timestamp> = (0..u32::from(days)).map(|ago| today.minus(DAY * ago)).collect();
    span.dedup();
    span.reverse();
    let Some(&first) = span.first() else {
        return Ok(Vec::new());
    };
    let end = today.plus(DAY);
    let new = by_day(
        connection,
        "SELECT created_at - created_at % 86400000 AS day, count(*) FROM user \
         WHERE created_at >= ?1 AND created_at < ?2 GROUP BY day",
        (first, end),
    )?;
    let active = by_day(
        connection,
        "SELECT day, count(*) FROM user_activity WHERE day >= ?1 AND day < ?2 GROUP BY day",
        (first, end),
    )?;
    let of = |counts: &HashMap<Timestamp, u64>, day| counts.get(&day).copied().unwrap_or(0);
    Ok(span
        .into_iter()
        .map(|day| DailyUsers {
            day,
            new: of(&new, day),
            active: of(&active, day),
        })
        .collect())
}

fn by_day(
    connection: &Connection,
    sql: &str,
    (first, end): (Timestamp, Timestamp),
) -> rusqlite::Result<HashMap<Timestamp, u64>> {
    connection
        .prepare_cached(sql)?
        .query_map(params![Moment(first), Moment(end)], |row| {
            Ok((row.get::<_, Moment>(0)?.0, to_count(row.get(1)?)))
        })?
        .collect()
}
