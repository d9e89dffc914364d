//! Security events.

use model::{
    Page, PageRequest, Position, SecurityEvent, SecurityEventId, SecurityEventKind, SortValue, UserId,
};
use rusqlite::{
    Connection, Row, params, params_from_iter,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};

use super::{
    column::{Id, Moment, to_count},
    failure::Outcome,
    paging::Selection,
};
use crate::paging::to_page;

/// How many security events of one account are kept.
const MAX_EVENTS: u32 = 1000;

/// Keeps a security event, unless its account is gone; the oldest beyond the limit goes.
pub(super) fn keep_event(connection: &Connection, event: &SecurityEvent) -> rusqlite::Result<()> {
    let user_id = Id(event.user_id.as_uuid());
    let added = connection
        .prepare_cached(
            "INSERT INTO security_event (id, user_id, kind, ip_address, created_at) \
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM user WHERE id = ?2)",
        )?
        .execute(params![
            Id(event.id.as_uuid()),
            user_id,
            event.kind.as_str(),
            event.ip_address,
            Moment(event.created_at),
        ])?;
    if added > 0 {
        connection
            .prepare_cached(
                "DELETE FROM security_event WHERE id IN (SELECT id FROM security_event WHERE user_id = ?1 \
                 ORDER BY id DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![user_id, MAX_EVENTS])?;
    }
    Ok(())
}

/// Lists the security events of an account by id, which is the order of time.
pub(super) fn list_events(
    connection: &Connection,
    user_id: UserId,
    request: &PageRequest<()>,
) -> Outcome<Page<SecurityEvent>> {
    let owned = || Selection::all().with("user_id = ?", user_id.as_uuid().as_bytes().to_vec());
    let total = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM security_event{}",
            owned().clause()
        ))?
        .query_row(params_from_iter(owned().values()), |row| row.get(0))?;
    let (clauses, selection) = owned().page(None, request)?;
    let sql = format!("SELECT id, user_id, kind, ip_address, created_at FROM security_event{clauses}");
    let events = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(selection.values()), read_event)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(to_page(events, request.limit, to_count(total), |last| Position {
        value: SortValue::Id,
        id: last.id.as_uuid(),
    }))
}

/// Reads a row of id, account, kind, address and time.
pub(super) fn read_event(row: &Row<'_>) -> rusqlite::Result<SecurityEvent> {
    Ok(SecurityEvent {
        id: SecurityEventId::from_uuid(row.get::<_, Id>(0)?.0),
        user_id: UserId::from_uuid(row.get::<_, Id>(1)?.0),
        kind: row.get::<_, Kind>(2)?.0,
        ip_address: row.get(3)?,
        created_at: row.get::<_, Moment>(4)?.0,
    })
}

struct Kind(SecurityEventKind);

impl FromSql for Kind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        SecurityEventKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .map(Self)
            .ok_or(FromSqlError::InvalidType)
    }
}
