//! API keys.

use model::{ApiKey, KeyChange, KeyId, KeyName, KeySort, Principal, Result, Scopes, Secret, Timestamp};

use crate::{
    cursor::{Listing, PageQuery},
    parts::Engine,
};

/// A key that someone wants to have.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// Its name; one is made up from the date otherwise.
    pub name: Option<KeyName>,
    /// What it is narrowed to.
    pub scopes: Scopes,
    /// When it stops being accepted; must be ahead.
    pub expires_at: Option<Timestamp>,
    /// Requests per window, in place of the general limit; at least 1.
    pub rate_limit: Option<u32>,
}

/// A key that was just made: the only moment at which it is known.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// What is kept of it.
    pub key: ApiKey,
    /// The key itself.
    pub secret: Secret,
}

impl Engine {
    /// Makes a key that acts as the caller.
    ///
    /// # Errors
    /// `LimitReached` at 100 live keys; `Invalid`; `Forbidden` for anything but an access token.
    pub async fn create_key(&self, _principal: &Principal, _new: NewKey) -> Result<CreatedKey> {
        todo!()
    }

    /// Lists the caller's keys.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token; `Invalid` for a foreign cursor.
    pub async fn list_keys(
        &self,
        _principal: &Principal,
        _page: PageQuery<KeySort>,
    ) -> Result<Listing<ApiKey>> {
        todo!()
    }

    /// Renames or narrows one of the caller's keys; it never gets wider or lives longer.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for what would widen it, `Conflict` when it is revoked.
    pub async fn update_key(&self, _principal: &Principal, _id: KeyId, _change: KeyChange) -> Result<ApiKey> {
        todo!()
    }

    /// Revokes one of the caller's keys; it is refused from the next request on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_key(&self, _principal: &Principal, _id: KeyId) -> Result<ApiKey> {
        todo!()
    }

    /// Tells which key the caller presented.
    ///
    /// # Errors
    /// `Forbidden` for anything but an API key.
    pub async fn presented_key(&self, _principal: &Principal) -> Result<ApiKey> {
        todo!()
    }

    /// Writes down how keys were used since the last time; called every few seconds and at the end.
    ///
    /// # Errors
    /// `Unavailable`; the counts are kept for the next time then.
    pub async fn flush_key_usage(&self) -> Result<()> {
        todo!()
    }
}
