//! Sessions, failed sign-ins and security events.

use async_trait::async_trait;
use model::{
    CheckedPassword, FoldedText, Page, PageRequest, Renewal, Result, Rotation, SecurityEvent, Session,
    SessionId, SessionStore, SignInFailures, Timestamp, TokenDigest, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore,
    activity::note_activity,
    column::{Id, Moment},
    failure::Outcome,
    security::{keep_event, list_events},
};

/// How many sessions of one account are kept.
const MAX_SESSIONS: u32 = 100;

#[async_trait]
impl SessionStore for SqliteStore {
    async fn open_session(&self, session: &Session, checked: &CheckedPassword) -> Result<bool> {
        let (session, checked) = (session.clone(), checked.clone());
        self.writer
            .step(move |connection| open(connection, &session, &checked))
            .await
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        self.readers
            .read(move |connection| Ok(find_session(connection, id)?))
            .await
    }

    async fn rotate_session(&self, renewal: &Renewal, reuse_event: &SecurityEvent) -> Result<Rotation> {
        let (renewal, event) = (*renewal, reuse_event.clone());
        self.writer
            .step(move |connection| rotate(connection, &renewal, event))
            .await
    }

    async fn close_session(&self, id: SessionId) -> Result<bool> {
        self.writer
            .step(move |connection| Ok(remove_session(connection, id)? > 0))
            .await
    }

    async fn close_sessions(&self, user_id: UserId) -> Result<u64> {
        self.writer
            .step(move |connection| Ok(remove_sessions(connection, user_id, None)?))
            .await
    }

    async fn sign_in_failures(&self, email: &FoldedText) -> Result<SignInFailures> {
        let email = email.clone();
        self.readers
            .read(move |connection| Ok(find_failures(connection, &email)?))
            .await
    }

    async fn record_sign_in_failure(
        &self,
        email: &FoldedText,
        now: Timestamp,
        forgotten_before: Timestamp,
        event: Option<&SecurityEvent>,
    ) -> Result<SignInFailures> {
        let (email, event) = (email.clone(), event.cloned());
        self.writer
            .step(move |connection| {
                let before = find_failures(connection, &email)?;
                let counted = if before.last_at < forgotten_before {
                    0
                } else {
                    before.count
                };
                let after = SignInFailures {
                    count: counted.saturating_add(1),
                    last_at: now,
                };
                connection
                    .prepare_cached(
                        "INSERT INTO sign_in_failure (email, count, last_at) VALUES (?1, ?2, ?3) \
                         ON CONFLICT (email) DO UPDATE SET count = ?2, last_at = ?3",
                    )?
                    .execute(params![email.as_str(), after.count, Moment(after.last_at)])?;
                if let Some(event) = event {
                    keep_event(connection, &event)?;
                }
                Ok(after)
            })
            .await
    }

    async fn list_security_events(
        &self,
        user_id: UserId,
        page: &PageRequest<()>,
    ) -> Result<Page<SecurityEvent>> {
        let page = page.clone();
        self.readers
            .read(move |connection| list_events(connection, user_id, &page))
            .await
    }

    async fn remove_expired_sessions(
        &self,
        now: Timestamp,
        forgotten_before: Timestamp,
        limit: u32,
    ) -> Result<u64> {
        self.writer
            .step(move |connection| {
                let sessions = connection
                    .prepare_cached(
                        "DELETE FROM session WHERE id IN \
                         (SELECT id FROM session WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
                    )?
                    .execute(params![Moment(now), limit])?;
                let failures = connection
                    .prepare_cached(
                        "DELETE FROM sign_in_failure WHERE email IN \
                         (SELECT email FROM sign_in_failure WHERE last_at < ?1 ORDER BY last_at LIMIT ?2)",
                    )?
                    .execute(params![Moment(forgotten_before), limit])?;
                Ok(rows(sessions.saturating_add(failures)))
            })
            .await
    }
}

/// Ends all sessions of an account but `kept`; gives how many.
pub(super) fn remove_sessions(
    connection: &Connection,
    user_id: UserId,
    kept: Option<SessionId>,
) -> rusqlite::Result<u64> {
    let kept = kept.map(|id| Id(id.as_uuid()));
    let removed = connection
        .prepare_cached("DELETE FROM session WHERE user_id = ?1 AND (?2 IS NULL OR id <> ?2)")?
        .execute(params![Id(user_id.as_uuid()), kept])?;
    Ok(rows(removed))
}

/// Forgets the failed sign-ins under a folded e-mail.
pub(super) fn forget_failures(connection: &Connection, email: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM sign_in_failure WHERE email = ?1")?
        .execute([email])?;
    Ok(())
}

fn open(connection: &Connection, session: &Session, checked: &CheckedPassword) -> Outcome<bool> {
    let user_id = Id(session.user_id.as_uuid());
    let new_hash = checked.renewed.as_ref().unwrap_or(&checked.hash);
    let email: Option<String> = connection
        .prepare_cached(
            "UPDATE user SET last_login = ?2, password_hash = ?4 WHERE id = ?1 AND is_active \
             AND password_hash = ?3 RETURNING email_folded",
        )?
        .query_row(
            params![
                user_id,
                Moment(session.created_at),
                checked.hash.as_str(),
                new_hash.as_str()
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(email) = email else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "INSERT INTO session (id, user_id, refresh_token, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            Id(session.id.as_uuid()),
            user_id,
            session.refresh_token.0,
            Moment(session.created_at),
            Moment(session.expires_at),
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE user_id = ?1 \
             ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![user_id, MAX_SESSIONS])?;
    forget_failures(connection, &email)?;
    note_activity(connection, session.user_id, session.created_at)?;
    Ok(true)
}

fn rotate(connection: &Connection, renewal: &Renewal, reuse_event: SecurityEvent) -> Outcome<Rotation> {
    let now = reuse_event.created_at;
    let found = find_session(connection, renewal.id)?;
    let Some(mut session) = found.filter(|session| session.expires_at > now) else {
        return Ok(Rotation::Gone);
    };
    if session.refresh_token != renewal.presented {
        return end_for_reuse(connection, &session, reuse_event);
    }
    session.refresh_token = renewal.next;
    session.expires_at = renewal.expires_at;
    connection
        .prepare_cached("UPDATE session SET refresh_token = ?2, expires_at = ?3 WHERE id = ?1")?
        .execute(params![
            Id(session.id.as_uuid()),
            session.refresh_token.0,
            Moment(session.expires_at)
        ])?;
    note_activity(connection, session.user_id, now)?;
    Ok(Rotation::Rotated(session))
}

fn end_for_reuse(connection: &Connection, session: &Session, event: SecurityEvent) -> Outcome<Rotation> {
    remove_session(connection, session.id)?;
    let event = SecurityEvent {
        user_id: session.user_id,
        ..event
    };
    keep_event(connection, &event)?;
    Ok(Rotation::Reused)
}

fn find_session(connection: &Connection, id: SessionId) -> rusqlite::Result<Option<Session>> {
    connection
        .prepare_cached("SELECT user_id, refresh_token, created_at, expires_at FROM session WHERE id = ?1")?
        .query_row([Id(id.as_uuid())], |row| {
            Ok(Session {
                id,
                user_id: UserId::from_uuid(row.get::<_, Id>(0)?.0),
                refresh_token: TokenDigest(row.get(1)?),
                created_at: row.get::<_, Moment>(2)?.0,
                expires_at: row.get::<_, Moment>(3)?.0,
            })
        })
        .optional()
}

fn remove_session(connection: &Connection, id: SessionId) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM session WHERE id = ?1")?
        .execute([Id(id.as_uuid())])
}

fn find_failures(connection: &Connection, email: &FoldedText) -> rusqlite::Result<SignInFailures> {
    let found = connection
        .prepare_cached("SELECT count, last_at FROM sign_in_failure WHERE email = ?1")?
        .query_row([email.as_str()], |row| {
            Ok(SignInFailures {
                count: row.get(0)?,
                last_at: row.get::<_, Moment>(1)?.0,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
