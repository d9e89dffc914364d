//! API keys and the port that keeps them.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::{Error, Result},
    id::{KeyId, UserId},
    page::{Page, PageRequest},
    scope::Scopes,
    time::Timestamp,
    user::User,
};

/// What its owner calls a key: 1 to 100 characters, no control characters; spaces around it removed, though
/// they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// The most characters that a name has.
    pub const MAX_CHARS: usize = 100;

    /// The accepted texts of at most [`Self::MAX_CHARS`], as a regular expression in the dialect of JSON
    /// Schema (ECMA-262).
    pub const PATTERN: &'static str = r"^ *[^\u0000-\u0020\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

    /// Reads a name.
    ///
    /// # Errors
    /// `Invalid`, without a path.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.trim_matches(' ');
        let length_fits = text.chars().count() <= Self::MAX_CHARS;
        if length_fits && !name.is_empty() && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::invalid(
                "",
                "must have 1 to 100 characters and no control characters",
            ))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl Serialize for KeyName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The public beginning of a key, by which a person recognises it and the store finds it: `mcp_` and twelve
/// lower-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// What every prefix begins with, so that scanners of source code find leaked keys.
    pub const TAG: &'static str = "mcp_";
    /// How many characters follow the tag.
    pub const RANDOM_CHARS: usize = 12;

    /// Reads a prefix; `None` when the text isn't one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(Self::TAG)?;
        let fits = random.len() == Self::RANDOM_CHARS
            && random
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    /// The prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a whole key. Keys are random (256 bits), so a fast hash is enough at rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(***)")
    }
}

/// An API key, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name for programs.
    pub id: KeyId,
    /// Its owner's name for it.
    pub name: KeyName,
    /// Its public beginning.
    pub prefix: KeyPrefix,
    /// Whose it is, and as whom it acts.
    pub user_id: UserId,
    /// What it is narrowed to.
    pub scopes: Scopes,
    /// False once revoked.
    pub is_active: bool,
    /// When it stops being accepted.
    pub expires_at: Option<Timestamp>,
    /// When it was last used; up to a few seconds late.
    pub last_used_at: Option<Timestamp>,
    /// How often it was used; up to a few seconds late.
    pub usage_count: u64,
    /// Requests per window, in place of the general limit.
    pub rate_limit: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A key as it is needed to accept it: with its hash and its owner, read at one moment.
#[derive(Clone, Debug)]
pub struct KeyOwner {
    /// The key.
    pub key: ApiKey,
    /// What the presented key is compared with, in constant time.
    pub hash: KeyHash,
    /// Its owner.
    pub owner: User,
}

/// What changes of a key; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// A new name.
    pub name: Option<KeyName>,
    /// New scopes; the verb sees to it that they are no wider.
    pub scopes: Option<Scopes>,
    /// A new end; the verb sees to it that it is no later.
    pub expires_at: Option<Timestamp>,
    /// A new limit.
    pub rate_limit: Option<u32>,
}

/// How a key was used since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// Which key.
    pub id: KeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// How many times.
    pub count: u64,
    /// When last.
    pub last_used_at: Timestamp,
}

/// By what a list of keys can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySort {
    /// Time of creation (the id).
    CreatedAt,
    /// Name, by code point.
    Name,
}

/// Keeps API keys. Each method is one atomic, durable step.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Adds a key. Of the owner's keys that are revoked or expired by `key.created_at`, the 100 newest are kept.
    ///
    /// # Errors
    /// `LimitReached` when the owner has `max_live` keys that are neither revoked nor expired. `NotFound`
    /// when the owner is gone. `AlreadyExists` when the prefix is taken.
    async fn create_key(&self, key: &ApiKey, hash: &KeyHash, max_live: u32) -> Result<()>;

    /// Looks a key up by its prefix, with its hash and owner, whether or not it is still accepted.
    async fn find_key(&self, prefix: &KeyPrefix) -> Result<Option<KeyOwner>>;

    /// Looks one of an owner's keys up by its id, whether or not it is still accepted.
    async fn find_own_key(&self, user_id: UserId, id: KeyId) -> Result<Option<ApiKey>>;

    /// Lists an owner's keys, revoked ones too.
    async fn list_keys(&self, user_id: UserId, page: &PageRequest<KeySort>) -> Result<Page<ApiKey>>;

    /// Changes one of an owner's keys on the condition that it still equals `seen` in scopes, end and
    /// activity; gives it as it is afterwards. `None` when there is none.
    ///
    /// # Errors
    /// `Conflict` when it was changed meanwhile.
    async fn update_key(&self, seen: &ApiKey, change: &KeyChange) -> Result<Option<ApiKey>>;

    /// Revokes one of an owner's keys, for good; gives it as it is afterwards, `None` when there is none.
    async fn revoke_key(&self, user_id: UserId, id: KeyId) -> Result<Option<ApiKey>>;

    /// Adds up uses, keeps the latest moment, and notes the owners as active on that day; unknown keys
    /// are passed over.
    async fn record_key_usage(&self, usage: &[KeyUsage]) -> Result<()>;
}
