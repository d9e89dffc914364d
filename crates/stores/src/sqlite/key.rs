//! API keys.

use async_trait::async_trait;
use model::{
    ApiKey, Error, ErrorCode, KeyChange, KeyHash, KeyId, KeyOwner, KeyPrefix, KeySort, KeyStore, KeyUsage,
    Page, PageRequest, Position, Result, Scope, Scopes, SortValue, UserId,
};
use rusqlite::{
    Connection, OptionalExtension as _, Row, params, params_from_iter,
    types::{FromSql, FromSqlError, FromSqlResult, ValueRef},
};

use super::{
    SqliteStore,
    activity::note_activity,
    column::{Id, Json, Moment, Text, from_count, to_count},
    failure::Outcome,
    paging::Selection,
    user::{COLUMNS as USER_COLUMNS, read_user},
};
use crate::paging::to_page;

/// How many revoked or expired keys of one owner are kept.
const MAX_DEAD_KEYS: u32 = 100;

/// The columns of a key, in the order in which they are read.
pub(super) const COLUMNS: &str = "api_key.id, api_key.name, api_key.prefix, api_key.user_id, api_key.scopes, \
    api_key.is_active, api_key.expires_at, api_key.last_used_at, api_key.usage_count, api_key.rate_limit, \
    api_key.created_at";

/// How many columns [`COLUMNS`] names.
pub(super) const COLUMN_COUNT: usize = 11;

#[async_trait]
impl KeyStore for SqliteStore {
    async fn create_key(&self, key: &ApiKey, hash: &KeyHash, max_live: u32) -> Result<()> {
        let (key, hash) = (key.clone(), *hash);
        self.writer
            .step(move |connection| create(connection, &key, hash, max_live))
            .await
    }

    async fn find_key(&self, prefix: &KeyPrefix) -> Result<Option<KeyOwner>> {
        let prefix = prefix.clone();
        self.readers
            .read(move |connection| Ok(find_with_owner(connection, &prefix)?))
            .await
    }

    async fn find_own_key(&self, user_id: UserId, id: KeyId) -> Result<Option<ApiKey>> {
        self.readers
            .read(move |connection| Ok(find(connection, user_id, id)?))
            .await
    }

    async fn list_keys(&self, user_id: UserId, page: &PageRequest<KeySort>) -> Result<Page<ApiKey>> {
        let page = page.clone();
        self.readers
            .read(move |connection| list(connection, user_id, &page))
            .await
    }

    async fn update_key(&self, seen: &ApiKey, change: &KeyChange) -> Result<Option<ApiKey>> {
        let (seen, change) = (seen.clone(), change.clone());
        self.writer
            .step(move |connection| update(connection, &seen, change))
            .await
    }

    async fn revoke_key(&self, user_id: UserId, id: KeyId) -> Result<Option<ApiKey>> {
        self.writer
            .step(move |connection| {
                connection
                    .prepare_cached("UPDATE api_key SET is_active = 0 WHERE id = ?1 AND user_id = ?2")?
                    .execute([Id(id.as_uuid()), Id(user_id.as_uuid())])?;
                Ok(find(connection, user_id, id)?)
            })
            .await
    }

    async fn record_key_usage(&self, usage: &[KeyUsage]) -> Result<()> {
        let usage = usage.to_vec();
        self.writer
            .step(move |connection| {
                for used in &usage {
                    record_usage(connection, used)?;
                }
                Ok(())
            })
            .await
    }
}

fn create(connection: &Connection, key: &ApiKey, hash: KeyHash, max_live: u32) -> Outcome<()> {
    let user_id = Id(key.user_id.as_uuid());
    let has_owner = connection
        .prepare_cached("SELECT 1 FROM user WHERE id = ?1")?
        .exists([user_id])?;
    if !has_owner {
        return Err(Error::not_found("account").into());
    }
    let is_taken = connection
        .prepare_cached("SELECT 1 FROM api_key WHERE prefix = ?1")?
        .exists([key.prefix.as_str()])?;
    if is_taken {
        return Err(Error::new(ErrorCode::AlreadyExists, "a key with this prefix exists already").into());
    }
    let live: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM api_key WHERE user_id = ?1 AND is_active AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .query_row(params![user_id, Moment(key.created_at)], |row| row.get(0))?;
    if to_count(live) >= u64::from(max_live) {
        let message = format!("an account can have {max_live} keys; revoke one first");
        return Err(Error::new(ErrorCode::LimitReached, message).into());
    }
    insert(connection, key, hash)?;
    connection
        .prepare_cached(
            "DELETE FROM api_key WHERE id IN (SELECT id FROM api_key WHERE user_id = ?1 \
             AND (NOT is_active OR expires_at <= ?2) ORDER BY id DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute(params![user_id, Moment(key.created_at), MAX_DEAD_KEYS])?;
    Ok(())
}

/// Adds a key whatever others there are.
pub(super) fn insert(connection: &Connection, key: &ApiKey, hash: KeyHash) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO api_key (id, user_id, name, prefix, hash, scopes, is_active, expires_at, last_used_at, \
             usage_count, rate_limit, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            Id(key.id.as_uuid()),
            Id(key.user_id.as_uuid()),
            key.name.as_str(),
            key.prefix.as_str(),
            hash.0,
            scopes_text(&key.scopes)?,
            key.is_active,
            key.expires_at.map(Moment),
            key.last_used_at.map(Moment),
            from_count(key.usage_count),
            key.rate_limit,
            Moment(key.created_at),
        ])?;
    Ok(())
}

fn scopes_text(scopes: &Scopes) -> Result<String> {
    serde_json::to_string(scopes).map_err(Error::bug)
}

fn find(connection: &Connection, user_id: UserId, id: KeyId) -> rusqlite::Result<Option<ApiKey>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM api_key WHERE id = ?1 AND user_id = ?2"
        ))?
        .query_row([Id(id.as_uuid()), Id(user_id.as_uuid())], read_key)
        .optional()
}

fn find_with_owner(connection: &Connection, prefix: &KeyPrefix) -> rusqlite::Result<Option<KeyOwner>> {
    let sql = format!(
        "SELECT {COLUMNS}, api_key.hash, {USER_COLUMNS} FROM api_key JOIN user ON user.id = api_key.user_id \
         WHERE api_key.prefix = ?1"
    );
    connection
        .prepare_cached(&sql)?
        .query_row([prefix.as_str()], |row| {
            Ok(KeyOwner {
                key: read_key(row)?,
                hash: KeyHash(row.get(COLUMN_COUNT)?),
                owner: read_user(row, COLUMN_COUNT.saturating_add(1))?,
            })
        })
        .optional()
}

fn list(connection: &Connection, user_id: UserId, request: &PageRequest<KeySort>) -> Outcome<Page<ApiKey>> {
    let owned = || Selection::all().with("user_id = ?", user_id.as_uuid().as_bytes().to_vec());
    let total = connection
        .prepare_cached(&format!("SELECT count(*) FROM api_key{}", owned().clause()))?
        .query_row(params_from_iter(owned().values()), |row| row.get(0))?;
    let column = match request.sort.field {
        KeySort::CreatedAt => None,
        KeySort::Name => Some("name"),
    };
    let (clauses, selection) = owned().page(column, request)?;
    let keys = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM api_key{clauses}"))?
        .query_map(params_from_iter(selection.values()), read_key)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(to_page(keys, request.limit, to_count(total), |last| Position {
        value: match request.sort.field {
            KeySort::CreatedAt => SortValue::Id,
            KeySort::Name => SortValue::Text(last.name.as_str().to_owned()),
        },
        id: last.id.as_uuid(),
    }))
}

fn update(connection: &Connection, seen: &ApiKey, change: KeyChange) -> Outcome<Option<ApiKey>> {
    let Some(mut key) = find(connection, seen.user_id, seen.id)? else {
        return Ok(None);
    };
    let is_as_seen =
        key.scopes == seen.scopes && key.expires_at == seen.expires_at && key.is_active == seen.is_active;
    if !is_as_seen {
        let message = "the key was changed meanwhile; read it again";
        return Err(Error::new(ErrorCode::Conflict, message).into());
    }
    key.name = change.name.unwrap_or(key.name);
    key.scopes = change.scopes.unwrap_or(key.scopes);
    key.expires_at = change.expires_at.or(key.expires_at);
    key.rate_limit = change.rate_limit.or(key.rate_limit);
    connection
        .prepare_cached(
            "UPDATE api_key SET name = ?2, scopes = ?3, expires_at = ?4, rate_limit = ?5 WHERE id = ?1",
        )?
        .execute(params![
            Id(key.id.as_uuid()),
            key.name.as_str(),
            scopes_text(&key.scopes)?,
            key.expires_at.map(Moment),
            key.rate_limit,
        ])?;
    Ok(Some(key))
}

fn record_usage(connection: &Connection, usage: &KeyUsage) -> Outcome<()> {
    // The sum stops at the greatest number that a column holds.
    let known = connection
        .prepare_cached(
            "UPDATE api_key SET usage_count = min(usage_count, 9223372036854775807 - ?3) + ?3, \
             last_used_at = max(coalesce(last_used_at, ?4), ?4) WHERE id = ?1 AND user_id = ?2",
        )?
        .execute(params![
            Id(usage.id.as_uuid()),
            Id(usage.user_id.as_uuid()),
            from_count(usage.count),
            Moment(usage.last_used_at),
        ])?;
    if known > 0 {
        note_activity(connection, usage.user_id, usage.last_used_at)?;
    }
    Ok(())
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let moment = |column: usize| -> rusqlite::Result<_> {
        Ok(row.get::<_, Option<Moment>>(column)?.map(|moment| moment.0))
    };
    Ok(ApiKey {
        id: KeyId::from_uuid(row.get::<_, Id>(0)?.0),
        name: row.get::<_, Text<_>>(1)?.0,
        prefix: row.get::<_, Prefix>(2)?.0,
        user_id: UserId::from_uuid(row.get::<_, Id>(3)?.0),
        scopes: row.get::<_, KeyScopes>(4)?.0,
        is_active: row.get(5)?,
        expires_at: moment(6)?,
        last_used_at: moment(7)?,
        usage_count: to_count(row.get(8)?),
        rate_limit: row.get(9)?,
        created_at: row.get::<_, Moment>(10)?.0,
    })
}

struct Prefix(KeyPrefix);

impl FromSql for Prefix {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        KeyPrefix::parse(value.as_str()?)
            .map(Self)
            .ok_or(FromSqlError::InvalidType)
    }
}

struct KeyScopes(Scopes);

impl FromSql for KeyScopes {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let scopes = Json::<Vec<Scope>>::column_result(value)?.0;
        Scopes::new(scopes)
            .map(Self)
            .map_err(|error| FromSqlError::Other(error.into()))
    }
}
