//! Accounts.

mod listing;
mod overview;

use async_trait::async_trait;
use model::{
    Account, Error, ErrorCode, FoldedText, NewAccount, Page, PageRequest, PasswordHash, PasswordReplacement,
    Result, SecurityEvent, Timestamp, User, UserChange, UserFilter, UserId, UserOverview, UserSort,
    UserStore,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::{Map, Value};

use super::{
    SqliteStore,
    column::{Id, Json, Moment, Text},
    failure::Outcome,
    security::keep_event,
    session::{forget_failures, remove_sessions},
};
use crate::{
    account::{changed, is_active_admin, last_admin},
    json::to_json_text,
};

/// The columns of an account, in the order in which they are read.
pub(super) const COLUMNS: &str = "user.id, user.email, user.username, user.role, user.is_active, \
    user.is_email_verified, user.last_login, user.metadata, user.created_at, user.updated_at";

/// Reads an account from a row whose columns from `first` on are [`COLUMNS`].
pub(super) fn read_user(row: &Row<'_>, first: usize) -> rusqlite::Result<User> {
    let at = |offset: usize| first.saturating_add(offset);
    Ok(User {
        id: UserId::from_uuid(row.get::<_, Id>(at(0))?.0),
        email: row.get::<_, Text<_>>(at(1))?.0,
        username: row.get::<_, Text<_>>(at(2))?.0,
        role: row.get::<_, Text<_>>(at(3))?.0,
        is_active: row.get(at(4))?,
        is_email_verified: row.get(at(5))?,
        last_login: row.get::<_, Option<Moment>>(at(6))?.map(|moment| moment.0),
        metadata: row.get::<_, Option<Json<_>>>(at(7))?.map(|json| json.0),
        created_at: row.get::<_, Moment>(at(8))?.0,
        updated_at: row.get::<_, Moment>(at(9))?.0,
    })
}

/// How many columns [`COLUMNS`] names.
pub(super) const COLUMN_COUNT: usize = 10;

#[async_trait]
impl UserStore for SqliteStore {
    async fn create_user(&self, account: &NewAccount) -> Result<()> {
        let row = NewRow::of(account)?;
        self.writer.step(move |connection| row.insert(connection)).await
    }

    async fn create_first_admin(&self, account: &NewAccount) -> Result<()> {
        let row = NewRow::of(account)?;
        self.writer
            .step(move |connection| {
                if has_admin(connection)? {
                    return Err(Error::new(ErrorCode::Conflict, "an admin exists already").into());
                }
                row.insert(connection)
            })
            .await
    }

    async fn has_admin(&self) -> Result<bool> {
        self.readers.read(|connection| Ok(has_admin(connection)?)).await
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        self.readers
            .read(move |connection| Ok(find_user(connection, id)?))
            .await
    }

    async fn find_account(&self, id: UserId) -> Result<Option<Account>> {
        self.readers
            .read(move |connection| {
                let sql = format!("SELECT {COLUMNS}, password_hash FROM user WHERE id = ?1");
                let mut statement = connection.prepare_cached(&sql)?;
                Ok(statement.query_row([Id(id.as_uuid())], read_account).optional()?)
            })
            .await
    }

    async fn find_account_by_email(&self, email: &FoldedText) -> Result<Option<Account>> {
        let email = email.clone();
        self.readers
            .read(move |connection| {
                let sql = format!("SELECT {COLUMNS}, password_hash FROM user WHERE email_folded = ?1");
                let mut statement = connection.prepare_cached(&sql)?;
                Ok(statement.query_row([email.as_str()], read_account).optional()?)
            })
            .await
    }

    async fn list_users(&self, filter: &UserFilter, page: &PageRequest<UserSort>) -> Result<Page<User>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.readers
            .read(move |connection| listing::list(connection, &filter, &page))
            .await
    }

    async fn update_user(&self, id: UserId, change: &UserChange, now: Timestamp) -> Result<Option<User>> {
        let change = change.clone();
        self.writer
            .step(move |connection| update(connection, id, change, now))
            .await
    }

    async fn delete_user(&self, id: UserId) -> Result<Option<User>> {
        self.writer.step(move |connection| delete(connection, id)).await
    }

    async fn set_password(
        &self,
        id: UserId,
        password: &PasswordReplacement,
        event: &SecurityEvent,
    ) -> Result<bool> {
        let (password, event) = (password.clone(), event.clone());
        self.writer
            .step(move |connection| replace_password(connection, id, &password, &event))
            .await
    }

    async fn user_overview(&self, now: Timestamp, days: u16) -> Result<UserOverview> {
        self.readers
            .read(move |connection| Ok(overview::count(connection, now, days)?))
            .await
    }
}

/// Looks an account up by id.
pub(super) fn find_user(connection: &Connection, id: UserId) -> rusqlite::Result<Option<User>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM user WHERE id = ?1"))?
        .query_row([Id(id.as_uuid())], |row| read_user(row, 0))
        .optional()
}

fn read_account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        user: read_user(row, 0)?,
        password_hash: PasswordHash::new(row.get::<_, String>(COLUMN_COUNT)?),
    })
}

fn has_admin(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM user WHERE role = 'admin'")?
        .exists(())
}

/// An account about to be added, with what is derived from it.
struct NewRow {
    account: Account,
    email_folded: FoldedText,
    username_folded: FoldedText,
    metadata: Option<String>,
}

impl NewRow {
    fn of(account: &Account) -> Result<Self> {
        Ok(Self {
            email_folded: account.user.email.folded(),
            username_folded: account.user.username.folded(),
            metadata: metadata_text(account.user.metadata.clone())?,
            account: account.clone(),
        })
    }

    fn insert(&self, connection: &Connection) -> Outcome<()> {
        let user = &self.account.user;
        require_free_names(connection, user.id, &self.email_folded, &self.username_folded)?;
        connection
            .prepare_cached(
                "INSERT INTO user (id, email, email_folded, username, username_folded, role, is_active, \
                 is_email_verified, last_login, metadata, created_at, updated_at, password_hash) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                Id(user.id.as_uuid()),
                user.email.as_str(),
                self.email_folded.as_str(),
                user.username.as_str(),
                self.username_folded.as_str(),
                user.role.as_str(),
                user.is_active,
                user.is_email_verified,
                user.last_login.map(Moment),
                self.metadata,
                Moment(user.created_at),
                Moment(user.updated_at),
                self.account.password_hash.as_str(),
            ])?;
        Ok(())
    }
}

/// Refuses an address or name that another account than `id` has.
fn require_free_names(
    connection: &Connection,
    id: UserId,
    email: &FoldedText,
    username: &FoldedText,
) -> Outcome<()> {
    let is_taken = |sql: &str, name: &FoldedText| -> rusqlite::Result<bool> {
        connection
            .prepare_cached(sql)?
            .exists(params![name.as_str(), Id(id.as_uuid())])
    };
    let mut error = Error::new(
        ErrorCode::AlreadyExists,
        "an account with these names exists already",
    );
    if is_taken("SELECT 1 FROM user WHERE email_folded = ?1 AND id <> ?2", email)? {
        error = error.detail("email", "belongs to another account");
    }
    if is_taken(
        "SELECT 1 FROM user WHERE username_folded = ?1 AND id <> ?2",
        username,
    )? {
        error = error.detail("username", "belongs to another account");
    }
    if error.details().is_empty() {
        Ok(())
    } else {
        Err(error.into())
    }
}

fn metadata_text(metadata: Option<Map<String, Value>>) -> Result<Option<String>> {
    metadata
        .map(|fields| to_json_text(&Value::Object(fields)).map_err(|error| error.under("metadata")))
        .transpose()
}

fn update(connection: &Connection, id: UserId, change: UserChange, now: Timestamp) -> Outcome<Option<User>> {
    let Some(before) = find_user(connection, id)? else {
        return Ok(None);
    };
    let mut after = changed(before.clone(), change);
    if after == before {
        return Ok(Some(after));
    }
    after.updated_at = now;
    require_free_names(connection, id, &after.email.folded(), &after.username.folded())?;
    if is_active_admin(&before) && !is_active_admin(&after) {
        require_another_admin(connection, id)?;
    }
    connection
        .prepare_cached(
            "UPDATE user SET email = ?2, email_folded = ?3, username = ?4, username_folded = ?5, role = ?6, \
             is_active = ?7, is_email_verified = ?8, metadata = ?9, updated_at = ?10 WHERE id = ?1",
        )?
        .execute(params![
            Id(id.as_uuid()),
            after.email.as_str(),
            after.email.folded().as_str(),
            after.username.as_str(),
            after.username.folded().as_str(),
            after.role.as_str(),
            after.is_active,
            after.is_email_verified,
            metadata_text(after.metadata.clone())?,
            Moment(after.updated_at),
        ])?;
    if !after.is_active {
        remove_sessions(connection, id, None)?;
    }
    Ok(Some(after))
}

fn require_another_admin(connection: &Connection, id: UserId) -> Outcome<()> {
    let has_another = connection
        .prepare_cached("SELECT 1 FROM user WHERE role = 'admin' AND is_active AND id <> ?1")?
        .exists([Id(id.as_uuid())])?;
    if has_another {
        return Ok(());
    }
    Err(last_admin().into())
}

fn replace_password(
    connection: &Connection,
    id: UserId,
    password: &PasswordReplacement,
    event: &SecurityEvent,
) -> Outcome<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE user SET password_hash = ?2, updated_at = ?3 WHERE id = ?1 \
             AND (?4 IS NULL OR password_hash = ?4) \
             AND (?5 IS NULL OR EXISTS (SELECT 1 FROM session WHERE id = ?5 AND user_id = ?1))",
        )?
        .execute(params![
            Id(id.as_uuid()),
            password.hash.as_str(),
            Moment(event.created_at),
            password.replaced.as_ref().map(PasswordHash::as_str),
            password.kept.map(|id| Id(id.as_uuid())),
        ])?;
    if changed == 0 {
        return Ok(false);
    }
    remove_sessions(connection, id, password.kept)?;
    connection
        .prepare_cached("UPDATE api_key SET is_active = 0 WHERE user_id = ?1 AND is_active")?
        .execute([Id(id.as_uuid())])?;
    forget_failures(connection, password.counted_as.as_str())?;
    keep_event(connection, event)?;
    Ok(true)
}

fn delete(connection: &Connection, id: UserId) -> Outcome<Option<User>> {
    let Some(user) = find_user(connection, id)? else {
        return Ok(None);
    };
    if is_active_admin(&user) {
        require_another_admin(connection, id)?;
    }
    forget_failures(connection, user.email.folded().as_str())?;
    // Sessions, keys, security events and days of activity go by foreign key.
    connection
        .prepare_cached("DELETE FROM user WHERE id = ?1")?
        .execute([Id(id.as_uuid())])?;
    Ok(Some(user))
}
