//! Keys as they stand in the documents of accounts.

use ::mongodb::bson::{Binary, DateTime, Uuid};
use model::{ApiKey, Error, KeyHash, KeyId, KeyPrefix, Result, Scopes, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::mongodb::column::{bytes, from_count, id, moment, parsed, timestamp, to_count, uuid};

/// A key as it stands in the document of its account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::mongodb) struct KeyRow {
    #[serde(rename = "i")]
    pub(in crate::mongodb) id: Uuid,
    #[serde(rename = "n")]
    pub(in crate::mongodb) name: String,
    #[serde(rename = "p")]
    pub(in crate::mongodb) prefix: String,
    #[serde(rename = "h")]
    pub(in crate::mongodb) hash: Binary,
    #[serde(rename = "s")]
    pub(in crate::mongodb) scopes: Vec<String>,
    #[serde(rename = "on")]
    pub(in crate::mongodb) is_active: bool,
    #[serde(rename = "x")]
    pub(in crate::mongodb) expires_at: Option<DateTime>,
    #[serde(rename = "l")]
    pub(in crate::mongodb) last_used_at: Option<DateTime>,
    #[serde(rename = "u")]
    pub(in crate::mongodb) usage_count: i64,
    #[serde(rename = "r")]
    pub(in crate::mongodb) rate_limit: Option<i64>,
    #[serde(rename = "c")]
    pub(in crate::mongodb) created_at: DateTime,
}

impl KeyRow {
    /// Takes a key apart.
    pub(in crate::mongodb) fn of(key: &ApiKey, hash: KeyHash) -> Self {
        Self {
            id: id(key.id.as_uuid()),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix.as_str().to_owned(),
            hash: bytes(&hash.0),
            scopes: scope_texts(&key.scopes),
            is_active: key.is_active,
            expires_at: key.expires_at.map(moment),
            last_used_at: key.last_used_at.map(moment),
            usage_count: from_count(key.usage_count),
            rate_limit: key.rate_limit.map(i64::from),
            created_at: moment(key.created_at),
        }
    }

    /// Tells whether it is accepted at `now`.
    pub(in crate::mongodb) fn is_live(&self, now: Timestamp) -> bool {
        self.is_active && self.expires_at.is_none_or(|end| timestamp(end) > now)
    }

    /// Puts the key together.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(in crate::mongodb) fn into_key(self, user_id: UserId) -> Result<ApiKey> {
        let scopes = self.scopes.iter().map(|scope| parsed(scope));
        Ok(ApiKey {
            id: KeyId::from_uuid(uuid(self.id)),
            name: parsed(&self.name)?,
            prefix: KeyPrefix::parse(&self.prefix)
                .ok_or_else(|| Error::bug("what is stored is no prefix"))?,
            user_id,
            scopes: Scopes::new(scopes.collect::<Result<_>>()?)?,
            is_active: self.is_active,
            expires_at: self.expires_at.map(timestamp),
            last_used_at: self.last_used_at.map(timestamp),
            usage_count: to_count(self.usage_count),
            rate_limit: self
                .rate_limit
                .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            created_at: timestamp(self.created_at),
        })
    }
}

/// The names of scopes.
pub(in crate::mongodb) fn scope_texts(scopes: &Scopes) -> Vec<String> {
    scopes.as_slice().iter().map(ToString::to_string).collect()
}
