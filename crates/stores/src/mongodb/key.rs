//! API keys: they stand in the document of their account.

use ::mongodb::bson::{Bson, Document, Uuid, doc};
use async_trait::async_trait;
use model::{
    ApiKey, Error, ErrorCode, KeyChange, KeyHash, KeyId, KeyOwner, KeyPrefix, KeySort, KeyStore, KeyUsage,
    Page, PageRequest, Result, Timestamp, UserId,
};
use serde::Deserialize;

use super::{
    MongoStore,
    collection::ACCOUNTS as COLLECTION,
    column::{day, digest, from_count, id, moment, value},
    contention::Contention,
    failure::Fault,
    security::page_in_memory,
    user::{AccountRow, KeyRow, fields, scope_texts},
};

/// How many revoked or expired keys of one owner are kept.
const MAX_DEAD_KEYS: usize = 100;

/// An account's keys, or some of them.
#[derive(Deserialize)]
struct KeysRow {
    #[serde(default)]
    version: i64,
    #[serde(default)]
    keys: Vec<KeyRow>,
}

impl KeysRow {
    fn into_key(self, user_id: UserId) -> Result<Option<ApiKey>> {
        let first = self.keys.into_iter().next();
        first.map(|row| row.into_key(user_id)).transpose()
    }
}

#[async_trait]
impl KeyStore for MongoStore {
    async fn create_key(&self, key: &ApiKey, hash: &KeyHash, max_live: u32) -> Result<()> {
        let user = id(key.user_id.as_uuid());
        let mut contention = Contention::default();
        loop {
            let collection = self.connection.collection::<KeysRow>(COLLECTION);
            let reading = collection
                .find_one(doc! { "_id": user })
                .projection(doc! { "version": 1, "keys": 1 });
            let seen = self.connection.run(reading).await?;
            let seen = seen.ok_or_else(|| Error::not_found("account"))?;
            let keys = with_key(seen.keys, KeyRow::of(key, *hash), (key.created_at, max_live))?;
            let collection = self.connection.collection::<Document>(COLLECTION);
            let writing = collection.update_one(
                doc! { "_id": user, "version": seen.version },
                doc! { "$set": { "keys": value(&keys)? }, "$inc": { "version": 1_i64 } },
            );
            match self.connection.run(writing).await {
                Ok(written) if written.matched_count > 0 => return Ok(()),
                Ok(_) => {}
                Err(fault) if fault.is_duplicate() => return Err(taken_prefix()),
                Err(fault) => return Err(fault.into()),
            }
            contention.again().await?;
        }
    }

    async fn find_key(&self, prefix: &KeyPrefix) -> Result<Option<KeyOwner>> {
        let mut fields = fields();
        fields.insert("keys", doc! { "$elemMatch": { "p": prefix.as_str() } });
        let collection = self.connection.collection::<AccountRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "keys.p": prefix.as_str() })
            .projection(fields);
        let Some(row) = self.connection.run(reading).await? else {
            return Ok(None);
        };
        let owner = row.user()?;
        let Some(key) = row.keys.into_iter().next() else {
            return Ok(None);
        };
        Ok(Some(KeyOwner {
            hash: KeyHash(digest(&key.hash)?),
            key: key.into_key(owner.id)?,
            owner,
        }))
    }

    async fn find_own_key(&self, user_id: UserId, key: KeyId) -> Result<Option<ApiKey>> {
        let key = id(key.as_uuid());
        let collection = self.connection.collection::<KeysRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "_id": id(user_id.as_uuid()), "keys.i": key })
            .projection(only(key));
        let found = self.connection.run(reading).await?;
        found.map_or(Ok(None), |row| row.into_key(user_id))
    }

    async fn list_keys(&self, user_id: UserId, page: &PageRequest<KeySort>) -> Result<Page<ApiKey>> {
        let collection = self.connection.collection::<KeysRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "_id": id(user_id.as_uuid()) })
            .projection(doc! { "keys": 1 });
        let found = self.connection.run(reading).await?;
        let rows = found.map(|row| row.keys).unwrap_or_default();
        let keys = rows.into_iter().map(|row| row.into_key(user_id));
        let field = page.sort.field;
        let text_of = |key: &ApiKey| match field {
            KeySort::CreatedAt => None,
            KeySort::Name => Some(key.name.as_str().to_owned()),
        };
        page_in_memory(
            keys.collect::<Result<_>>()?,
            page,
            (text_of, |key| key.id.as_uuid()),
        )
    }

    async fn update_key(&self, seen: &ApiKey, change: &KeyChange) -> Result<Option<ApiKey>> {
        let key = id(seen.id.as_uuid());
        let as_seen = doc! {
            "i": key,
            "s": { "$eq": scope_texts(&seen.scopes) },
            "x": seen.expires_at.map(moment),
            "on": seen.is_active,
        };
        let mut update = doc! { "$inc": { "version": 1_i64 } };
        let set = set_of(change);
        if !set.is_empty() {
            update.insert("$set", set);
        }
        let filter = doc! { "_id": id(seen.user_id.as_uuid()), "keys": { "$elemMatch": as_seen } };
        let changed: Option<KeysRow> = self.change_account(filter, update, only(key)).await?;
        if let Some(row) = changed {
            return row.into_key(seen.user_id);
        }
        match self.find_own_key(seen.user_id, seen.id).await? {
            None => Ok(None),
            Some(_) => {
                let message = "the key was changed meanwhile; read it again";
                Err(Error::new(ErrorCode::Conflict, message))
            }
        }
    }

    async fn revoke_key(&self, user_id: UserId, key: KeyId) -> Result<Option<ApiKey>> {
        let key = id(key.as_uuid());
        let revoked: Option<KeysRow> = self
            .change_account(
                doc! { "_id": id(user_id.as_uuid()), "keys.i": key },
                doc! { "$set": { "keys.$.on": false }, "$inc": { "version": 1_i64 } },
                only(key),
            )
            .await?;
        revoked.map_or(Ok(None), |row| row.into_key(user_id))
    }

    async fn record_key_usage(&self, usage: &[KeyUsage]) -> Result<()> {
        for used in usage {
            self.add_uses(used).await?;
        }
        Ok(())
    }
}

impl MongoStore {
    async fn add_uses(&self, used: &KeyUsage) -> Result<(), Fault> {
        let count = from_count(used.count);
        let most = i64::MAX.saturating_sub(count);
        let of_key = |sum: Document| {
            let key = doc! { "i": id(used.id.as_uuid()), "u": sum };
            doc! { "_id": id(used.user_id.as_uuid()), "keys": { "$elemMatch": key } }
        };
        let noting = |mut update: Document| {
            update.insert("$max", doc! { "keys.$.l": moment(used.last_used_at) });
            update.insert("$addToSet", doc! { "days": day(used.last_used_at) });
            update
        };
        let collection = self.connection.collection::<Document>(COLLECTION);
        let adding = collection.update_one(
            of_key(doc! { "$lte": most }),
            noting(doc! { "$inc": { "keys.$.u": count, "version": 1_i64 } }),
        );
        if self.connection.run(adding).await?.matched_count > 0 {
            return Ok(());
        }
        // The key is unknown, or the sum stops at the greatest number that there is.
        let stopping = collection.update_one(
            of_key(doc! { "$gt": most }),
            noting(doc! { "$set": { "keys.$.u": i64::MAX }, "$inc": { "version": 1_i64 } }),
        );
        self.connection.run(stopping).await?;
        Ok(())
    }
}

/// Of an account's document, one key.
fn only(key: Uuid) -> Document {
    doc! { "keys": { "$elemMatch": { "i": key } } }
}

fn set_of(change: &KeyChange) -> Document {
    let mut set = Document::new();
    if let Some(name) = &change.name {
        set.insert("keys.$.n", name.as_str());
    }
    if let Some(scopes) = &change.scopes {
        set.insert("keys.$.s", scope_texts(scopes));
    }
    if let Some(end) = change.expires_at {
        set.insert("keys.$.x", moment(end));
    }
    if let Some(limit) = change.rate_limit {
        set.insert("keys.$.r", Bson::Int64(i64::from(limit)));
    }
    set
}

/// An account's keys with one more, and without the oldest of those that are revoked or expired.
fn with_key(mut keys: Vec<KeyRow>, key: KeyRow, (now, max_live): (Timestamp, u32)) -> Result<Vec<KeyRow>> {
    if keys.iter().any(|other| other.prefix == key.prefix) {
        return Err(taken_prefix());
    }
    let live = keys.iter().filter(|other| other.is_live(now)).count();
    if live >= usize::try_from(max_live).unwrap_or(usize::MAX) {
        let message = format!("an account can have {max_live} keys; revoke one first");
        return Err(Error::new(ErrorCode::LimitReached, message));
    }
    keys.push(key);
    let mut dead: Vec<Uuid> = keys
        .iter()
        .filter(|key| !key.is_live(now))
        .map(|key| key.id)
        .collect();
    dead.sort_by_key(|id| std::cmp::Reverse(id.bytes()));
    let gone = dead.get(MAX_DEAD_KEYS..).unwrap_or_default();
    keys.retain(|key| !gone.contains(&key.id));
    Ok(keys)
}

fn taken_prefix() -> Error {
    Error::new(ErrorCode::AlreadyExists, "a key with this prefix exists already")
}
