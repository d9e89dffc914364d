//! The first admin, made through a link that is shown once at the first start.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Error, ErrorCode, Observation, Result, Role, Secret, Timestamp};

use crate::{
    parts::{Client, Engine},
    session::SignedIn,
    user::Registration,
};

/// How long the link can be used.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The most characters of a token that are looked at; ours have fewer than 60.
const MAX_CHARS: usize = 128;

impl Engine {
    /// Makes a token that lets its bearer make the first admin, within an hour; `None` when there is an admin.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    pub async fn setup_token(&self) -> Result<Option<Secret>> {
        if self.parts.store.has_admin().await? {
            return Ok(None);
        }
        let expires_at = self.parts.clock.now().plus(LIFETIME);
        let plain = expires_at.as_millis().to_be_bytes();
        let sealed = self.parts.setup.seal(self.parts.entropy.as_ref(), b"", &plain)?;
        Ok(Some(Secret::new(URL_SAFE_NO_PAD.encode(sealed))))
    }

    /// Passes when a set-up token can still be used.
    ///
    /// # Errors
    /// `NotFound` when it is unknown, expired, or there is an admin.
    pub async fn check_setup_token(&self, token: &str) -> Result<()> {
        let now = self.parts.clock.now();
        let expires_at = self.setup_expiry(token).ok_or_else(no_such_link)?;
        // Not valid before it was made either: a clock that was set back mustn't prolong its hour.
        if now >= expires_at || now < expires_at.minus(LIFETIME) {
            return Err(no_such_link());
        }
        if self.parts.store.has_admin().await? {
            return Err(no_such_link());
        }
        Ok(())
    }

    /// Makes the first admin. The registration's role is not looked at.
    ///
    /// Of several with valid tokens at the same instant, one makes it.
    ///
    /// # Errors
    /// As [`Self::check_setup_token`] and [`Self::register`].
    pub async fn create_first_admin(
        &self,
        token: &str,
        registration: Registration,
        _client: &Client,
    ) -> Result<SignedIn> {
        self.check_setup_token(token).await?;
        let account = self.prepare_account(registration, Role::Admin).await?;
        let created = self.parts.store.create_first_admin(&account).await;
        created.map_err(|error| {
            if error.code() == ErrorCode::Conflict {
                no_such_link()
            } else {
                error
            }
        })?;
        self.parts.observer.observe(Observation::Registered);
        self.welcome(account).await
    }

    fn setup_expiry(&self, token: &str) -> Option<Timestamp> {
        let sealed = URL_SAFE_NO_PAD
            .decode(Some(token).filter(|token| token.len() <= MAX_CHARS)?)
            .ok()?;
        let plain = self.parts.setup.open(b"", sealed)?;
        let millis = i64::from_be_bytes(plain.try_into().ok()?);
        Some(Timestamp::from_millis(millis))
    }
}

fn no_such_link() -> Error {
    Error::not_found("set-up link (any more)")
}
