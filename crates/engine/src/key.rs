//! API keys.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{
    ApiKey, Credential, Error, ErrorCode, KeyChange, KeyHash, KeyId, KeyName, KeyPrefix, KeySort, Permission,
    Principal, Result, Scopes, Secret, Subject, Timestamp,
};

use crate::{
    cursor::{ListScope, Listing, PageQuery},
    parts::Engine,
    seal::sha256,
};

/// How many keys that are neither revoked nor expired an account can have.
const MAX_LIVE_KEYS: u32 = 100;
/// How many uses are written down in one step at most.
const USES_PER_STEP: usize = 1000;
/// How often another prefix is tried when one is taken, of which there are 36^12.
const PREFIX_ATTEMPTS: usize = 3;

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
    pub async fn create_key(&self, principal: &Principal, new: NewKey) -> Result<CreatedKey> {
        let user_id = principal.require_account(&Permission::ManageOwnKeys)?;
        let now = self.parts.clock.now();
        require_ahead(new.expires_at, now)?;
        require_positive(new.rate_limit)?;
        let name = match new.name {
            Some(name) => name,
            None => KeyName::parse(&format!("Key of {}", now.to_date()))?,
        };
        let (prefix, mut secret) = self.draw_key()?;
        let mut key = ApiKey {
            id: KeyId::generate(self.parts.ids.as_ref()),
            name,
            prefix,
            user_id,
            scopes: new.scopes,
            is_active: true,
            expires_at: new.expires_at,
            last_used_at: None,
            usage_count: 0,
            rate_limit: new.rate_limit,
            created_at: now,
        };
        for _ in 1..PREFIX_ATTEMPTS {
            match self.keep_key(&key, &secret).await {
                Err(error) if error.code() == ErrorCode::AlreadyExists => {
                    (key.prefix, secret) = self.draw_key()?;
                }
                kept => return kept.map(|()| CreatedKey { key, secret }),
            }
        }
        self.keep_key(&key, &secret).await?;
        Ok(CreatedKey { key, secret })
    }

    /// Lists the caller's keys.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token; `Invalid` for a foreign cursor.
    pub async fn list_keys(
        &self,
        principal: &Principal,
        page: PageQuery<KeySort>,
    ) -> Result<Listing<ApiKey>> {
        let user_id = principal.require_account(&Permission::ManageOwnKeys)?;
        let list = ListScope {
            name: "keys",
            subject: Subject::User(user_id),
            filter: &(),
        };
        let request = self.parts.cursors.request(&list, &page)?;
        let found = self.parts.store.list_keys(user_id, &request).await?;
        let found = found.map(|key| self.with_latest_uses(key));
        self.parts.cursors.listing(&list, &page, found)
    }

    /// Renames or narrows one of the caller's keys; it never gets wider or lives longer.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for what would widen it, `Conflict` when it is revoked.
    pub async fn update_key(&self, principal: &Principal, id: KeyId, change: KeyChange) -> Result<ApiKey> {
        let user_id = principal.require_account(&Permission::ManageOwnKeys)?;
        let seen = self.parts.store.find_own_key(user_id, id).await?;
        let seen = seen.ok_or_else(no_such_key)?;
        if !seen.is_active {
            return Err(Error::new(ErrorCode::Conflict, "a revoked key can't be changed"));
        }
        require_narrower(&seen, &change)?;
        require_ahead(change.expires_at, self.parts.clock.now())?;
        require_positive(change.rate_limit)?;
        let store = Arc::clone(&self.parts.store);
        let changed = self.change_standing(user_id, async move { store.update_key(&seen, &change).await });
        changed
            .await?
            .map(|key| self.with_latest_uses(key))
            .ok_or_else(no_such_key)
    }

    /// Revokes one of the caller's keys; it is refused from the next request on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_key(&self, principal: &Principal, id: KeyId) -> Result<ApiKey> {
        let user_id = principal.require_account(&Permission::ManageOwnKeys)?;
        let store = Arc::clone(&self.parts.store);
        let revoked = self.change_standing(user_id, async move { store.revoke_key(user_id, id).await });
        revoked
            .await?
            .map(|key| self.with_latest_uses(key))
            .ok_or_else(no_such_key)
    }

    /// Tells which key the caller presented.
    ///
    /// # Errors
    /// `Forbidden` for anything but an API key.
    pub async fn presented_key(&self, principal: &Principal) -> Result<ApiKey> {
        let user_id = principal.require_account(&Permission::ReadPresentedKey)?;
        let Credential::Key(id) = principal.credential else {
            return Err(Error::bug("a key was asked of a credential that is none"));
        };
        let key = self.parts.store.find_own_key(user_id, id).await?;
        key.map(|key| self.with_latest_uses(key)).ok_or_else(no_such_key)
    }

    /// Writes down how keys were used since the last time; called every few seconds and at the end.
    ///
    /// # Errors
    /// `Unavailable`; the counts are kept for the next time then.
    pub async fn flush_key_usage(&self) -> Result<()> {
        let _turn = self.parts.key_uses_turn.lock().await;
        for uses in self.parts.key_uses.all_unwritten().chunks(USES_PER_STEP) {
            self.parts.store.record_key_usage(uses).await?;
            self.parts.key_uses.settle(uses);
        }
        Ok(())
    }

    async fn keep_key(&self, key: &ApiKey, secret: &Secret) -> Result<()> {
        let hash = KeyHash(sha256(&[secret.expose().as_bytes()]));
        self.parts.store.create_key(key, &hash, MAX_LIVE_KEYS).await
    }

    /// Draws a prefix and the whole key: the prefix, an underscore, and 256 random bits in base64url.
    fn draw_key(&self) -> Result<(KeyPrefix, Secret)> {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut bytes = [0; 16];
        self.parts.entropy.fill(&mut bytes);
        // 128 random bits for a number below 36^12 < 2^63: no digit is favoured that anyone could notice.
        let mut rest = u128::from_be_bytes(bytes);
        let mut prefix = KeyPrefix::TAG.to_owned();
        for _ in 0..KeyPrefix::RANDOM_CHARS {
            let digit = usize::try_from(rest % 36).map_err(Error::bug)?;
            prefix.push(ALPHABET.get(digit).copied().map_or('a', char::from));
            rest /= 36;
        }
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        self.parts.entropy.fill(secret.as_mut_slice());
        let key = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(secret.as_slice()));
        let prefix = KeyPrefix::parse(&prefix).ok_or_else(|| Error::bug("a drawn prefix isn't one"))?;
        Ok((prefix, Secret::new(key)))
    }

    /// Adds what isn't written down yet.
    fn with_latest_uses(&self, key: ApiKey) -> ApiKey {
        let Some(uses) = self.parts.key_uses.unwritten(key.id) else {
            return key;
        };
        ApiKey {
            usage_count: key.usage_count.saturating_add(uses.count),
            last_used_at: key.last_used_at.max(Some(uses.last_used_at)),
            ..key
        }
    }
}

fn require_ahead(expires_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("expiresAt", "must be ahead"));
    }
    Ok(())
}

fn require_positive(rate_limit: Option<u32>) -> Result<()> {
    if rate_limit == Some(0) {
        return Err(Error::invalid("rateLimit", "must be at least 1"));
    }
    Ok(())
}

/// Passes for a change after which the key may do nothing that it couldn't before, and no longer.
fn require_narrower(seen: &ApiKey, change: &KeyChange) -> Result<()> {
    if let Some(scopes) = &change.scopes {
        let is_narrowed = !seen.scopes.as_slice().is_empty();
        let is_freed = is_narrowed && scopes.as_slice().is_empty();
        let is_within = scopes.as_slice().iter().all(|scope| seen.scopes.allow(scope));
        if is_freed || !is_within {
            return Err(Error::invalid(
                "scopes",
                "must be within the scopes that the key has; make another key for more",
            ));
        }
    }
    let is_later = match (seen.expires_at, change.expires_at) {
        (Some(old), Some(new)) => new > old,
        (None | Some(_), None) | (None, Some(_)) => false,
    };
    if is_later {
        return Err(Error::invalid(
            "expiresAt",
            "must be no later than it is; make another key to last longer",
        ));
    }
    Ok(())
}

fn no_such_key() -> Error {
    Error::not_found("key")
}
