//! Accounts with what belongs to them.

use model::{
    FoldedText, KeyHash, PasswordHash, SecurityEvent, Session, SessionId, Timestamp, TokenDigest, UserId,
};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Filled, behind};
use crate::{
    sqlite::{
        column::{Id, Moment},
        failure::Outcome,
        key::{self, COLUMN_COUNT as KEY_COLUMN_COUNT, COLUMNS as KEY_COLUMNS, read_key},
        security::read_event,
    },
    transfer::{AccountRecord, KeyRecord, MAX_PAGE_RECORDS, Record},
};

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// How many bytes an account takes, and as many each thing that belongs to it, without longer texts.
const BYTES_EACH: usize = 128;

/// Reads accounts that follow one.
pub(super) fn read(connection: &Connection, after: Option<Uuid>, page: &mut Filled) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "SELECT id, email, username, role, is_active, is_email_verified, last_login, metadata, created_at, updated_at, \
         password_hash FROM user INDEXED BY user_by_id WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![behind(after), MAX_PAGE_RECORDS])?;
    while let Some(row) = rows.next()? {
        let mut account = read_alone(row)?;
        add_sessions(connection, &mut account)?;
        add_keys(connection, &mut account)?;
        add_events_and_days(connection, &mut account)?;
        let parts = [
            account.sessions.len(),
            account.keys.len(),
            account.events.len(),
            account.days.len(),
        ];
        let things = parts.into_iter().fold(1, usize::saturating_add);
        let bytes = things
            .saturating_mul(BYTES_EACH)
            .saturating_add(account.metadata.as_ref().map_or(0, String::len));
        let id = account.id.to_string();
        if !page.add(Record::Account(Box::new(account)), (id, bytes)) {
            break;
        }
    }
    Ok(())
}

fn read_alone(row: &Row<'_>) -> rusqlite::Result<AccountRecord> {
    Ok(AccountRecord {
        id: UserId::from_uuid(row.get::<_, Id>(0)?.0),
        email: row.get(1)?,
        username: row.get(2)?,
        role: row.get(3)?,
        is_active: row.get(4)?,
        is_email_verified: row.get(5)?,
        last_login: row.get::<_, Option<Moment>>(6)?.map(|moment| moment.0),
        metadata: row.get(7)?,
        created_at: row.get::<_, Moment>(8)?.0,
        updated_at: row.get::<_, Moment>(9)?.0,
        password_hash: PasswordHash::new(row.get::<_, String>(10)?),
        sessions: Vec::new(),
        keys: Vec::new(),
        events: Vec::new(),
        days: Vec::new(),
    })
}

fn add_sessions(connection: &Connection, account: &mut AccountRecord) -> rusqlite::Result<()> {
    let user_id = account.id;
    account.sessions = connection
        .prepare_cached(
            "SELECT id, refresh_token, created_at, expires_at FROM session WHERE user_id = ?1 ORDER BY id",
        )?
        .query_map([Id(user_id.as_uuid())], |row| {
            Ok(Session {
                id: SessionId::from_uuid(row.get::<_, Id>(0)?.0),
                user_id,
                refresh_token: TokenDigest(row.get(1)?),
                created_at: row.get::<_, Moment>(2)?.0,
                expires_at: row.get::<_, Moment>(3)?.0,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(())
}

fn add_keys(connection: &Connection, account: &mut AccountRecord) -> rusqlite::Result<()> {
    let sql = format!("SELECT {KEY_COLUMNS}, api_key.hash FROM api_key WHERE user_id = ?1 ORDER BY id");
    account.keys = connection
        .prepare_cached(&sql)?
        .query_map([Id(account.id.as_uuid())], |row| {
            Ok(KeyRecord {
                key: read_key(row)?,
                hash: KeyHash(row.get(KEY_COLUMN_COUNT)?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(())
}

fn add_events_and_days(connection: &Connection, account: &mut AccountRecord) -> rusqlite::Result<()> {
    let id = Id(account.id.as_uuid());
    account.events = connection
        .prepare_cached(
            "SELECT id, user_id, kind, ip_address, created_at FROM security_event WHERE user_id = ?1 ORDER BY id",
        )?
        .query_map([id], read_event)?
        .collect::<rusqlite::Result<_>>()?;
    account.days = connection
        .prepare_cached("SELECT day FROM user_activity WHERE user_id = ?1 ORDER BY day")?
        .query_map([id], |row| row.get::<_, i64>(0).map(|day| day.div_euclid(DAY)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(())
}

/// Adds an account with what belongs to it.
pub(super) fn write(connection: &Connection, account: &AccountRecord) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO user (id, email, email_folded, username, username_folded, role, is_active, \
             is_email_verified, last_login, metadata, created_at, updated_at, password_hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            Id(account.id.as_uuid()),
            account.email,
            FoldedText::of(&account.email).as_str(),
            account.username,
            FoldedText::of(&account.username).as_str(),
            account.role,
            account.is_active,
            account.is_email_verified,
            account.last_login.map(Moment),
            account.metadata,
            Moment(account.created_at),
            Moment(account.updated_at),
            account.password_hash.as_str(),
        ])?;
    for session in &account.sessions {
        write_session(connection, session)?;
    }
    for record in &account.keys {
        key::insert(connection, &record.key, record.hash)?;
    }
    for event in &account.events {
        write_event(connection, event)?;
    }
    for day in &account.days {
        let day = Timestamp::from_millis(day.saturating_mul(DAY));
        connection
            .prepare_cached("INSERT INTO user_activity (day, user_id) VALUES (?1, ?2)")?
            .execute(params![Moment(day), Id(account.id.as_uuid())])?;
    }
    Ok(())
}

fn write_session(connection: &Connection, session: &Session) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO session (id, user_id, refresh_token, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            Id(session.id.as_uuid()),
            Id(session.user_id.as_uuid()),
            session.refresh_token.0,
            Moment(session.created_at),
            Moment(session.expires_at),
        ])
        .map(|_| ())
}

fn write_event(connection: &Connection, event: &SecurityEvent) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO security_event (id, user_id, kind, ip_address, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            Id(event.id.as_uuid()),
            Id(event.user_id.as_uuid()),
            event.kind.as_str(),
            event.ip_address,
            Moment(event.created_at),
        ])
        .map(|_| ())
}
