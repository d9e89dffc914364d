//! Who asks: from a presented credential to a principal.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    Credential, Error, ErrorCode, KeyPrefix, Notice, Observation, Principal, Result, Scopes, Session,
    Subject, Timestamp, User, UserId,
};

use crate::{
    accepted::Accepted,
    pace::pause,
    parts::Engine,
    seal::{is_equal, sha256},
    token::{self, MAX_TOKEN_BYTES},
};

/// What a caller presented.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`: an access token, an API key, or the operator's key.
    Bearer(&'a str),
    /// `X-API-Key: …`: an API key or the operator's key.
    ApiKey(&'a str),
}

/// How many characters a key has after its prefix and an underscore: 32 random bytes in base64url.
const KEY_SECRET_CHARS: usize = 43;

/// How long other processes are tried to be told of a change that took place. No longer than a fail-over of the store
/// mostly takes, since somebody waits for it.
const NOTING_PATIENCE: Duration = Duration::from_secs(5);

/// The wait before telling them again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);

impl Engine {
    /// Finds out who presented a credential, and counts the use of a key.
    ///
    /// # Errors
    /// `InvalidToken` when it isn't accepted, whatever the reason. `Unavailable` when the store can't be reached.
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Arc<Principal>> {
        let (text, takes_tokens) = match presented {
            Presented::Bearer(text) => (text, true),
            Presented::ApiKey(text) => (text, false),
        };
        if text.len() > MAX_TOKEN_BYTES {
            return Err(token::refused());
        }
        let digest = sha256(&[text.as_bytes()]);
        if self.parts.admin_key.is_some_and(|key| is_equal(&key, &digest)) {
            return Ok(Arc::clone(&self.parts.admin));
        }
        let now = self.parts.clock.now();
        let known = self.parts.accepted.get(&digest, now);
        self.parts.observer.observe(Observation::CredentialChecked {
            cached: known.is_some(),
        });
        let accepted = match known {
            Some(accepted) => accepted,
            None => self.look_up(text, digest, now).await?,
        };
        if !takes_tokens && accepted.counter.is_none() {
            return Err(token::refused().source("an access token came as an API key"));
        }
        if let Some(counter) = &accepted.counter {
            counter.count(now);
        }
        Ok(Arc::clone(&accepted.principal))
    }

    /// Does a change to what an account's credentials are worth, to its end even when the caller goes away, and
    /// makes it count from the next request on; on other processes from a second later on at the latest.
    ///
    /// # Errors
    /// Those of the change. When it isn't known whether it took place, it is taken to have. `Unavailable` also when it
    /// took place, and the other processes could not be told: then it counts there after 30 s at the latest, or once it
    /// is repeated.
    pub(crate) async fn change_standing<T: Send + 'static>(
        &self,
        user_id: UserId,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.change_standing_if(user_id, change, |_| true).await
    }

    /// As [`Self::change_standing`], but other processes are told only when `lessens` says of the outcome that
    /// something is worth less than before.
    pub(crate) async fn change_standing_if<T: Send + 'static>(
        &self,
        user_id: UserId,
        change: impl Future<Output = Result<T>> + Send + 'static,
        lessens: fn(&T) -> bool,
    ) -> Result<T> {
        let engine = self.clone();
        let work = self.parts.tasks.spawn(async move {
            let changed = change.await;
            engine.parts.accepted.forget(user_id);
            let is_to_be_told = match &changed {
                Ok(outcome) => lessens(outcome),
                // It may have taken place.
                Err(error) => error.is_retryable(),
            };
            let told = if is_to_be_told {
                engine.tell_of_access(user_id).await
            } else {
                Ok(())
            };
            changed.and_then(|outcome| told.map(|()| outcome))
        });
        work.await.map_err(Error::bug)?
    }

    /// Tells the other processes that an account's credentials are worth something else: notes it where they look, and
    /// nudges them.
    async fn tell_of_access(&self, user: UserId) -> Result<()> {
        let parts = &self.parts;
        let Some(bus) = &parts.bus else {
            return Ok(());
        };
        bus.announce(Notice::AccessChanged { user });
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        while let Err(error) = parts.store.note_access_change(user).await {
            if !error.is_retryable() || begun.elapsed() > NOTING_PATIENCE {
                let cause = std::error::Error::source(&error);
                tracing::warn!(%user, %error, cause, "other processes could not be told of a change of access; it counts there within 30 s");
                let message = "this was done, but other processes may not know of it for 30 seconds; repeat it to be sure";
                return Err(Error::unavailable(message).source(error));
            }
            pause(wait).await;
            wait *= 2;
        }
        Ok(())
    }

    /// On whose behalf a task is done: its owner with all that the account may, as of now.
    ///
    /// # Errors
    /// `Forbidden` when the account is gone or inactive. `Unavailable` when the store can't be reached.
    pub(crate) async fn owner_of_task(&self, owner: Option<UserId>) -> Result<Arc<Principal>> {
        let Some(user_id) = owner else {
            return Ok(Arc::clone(&self.parts.admin));
        };
        let now = self.parts.clock.now();
        let digest = digest_of_owner(user_id);
        if let Some(accepted) = self.parts.accepted.get(&digest, now) {
            return Ok(Arc::clone(&accepted.principal));
        }
        let lookup = self.parts.accepted.begin();
        let user = self.parts.store.find_user(user_id).await?;
        let user = user.filter(|user| user.is_active).ok_or_else(|| {
            let message = "the account of the task's owner is gone or inactive";
            Error::new(ErrorCode::Forbidden, message)
        })?;
        let principal = Arc::new(Principal {
            subject: Subject::User(user_id),
            role: user.role,
            scopes: Scopes::default(),
            credential: Credential::Worker,
            rate_limit: None,
        });
        let accepted = Accepted {
            principal: Arc::clone(&principal),
            user_id,
            until: Timestamp::MAX,
            counter: None,
        };
        self.parts.accepted.keep(&lookup, digest, Arc::new(accepted), now);
        Ok(principal)
    }

    async fn look_up(&self, text: &str, digest: [u8; 32], now: Timestamp) -> Result<Arc<Accepted>> {
        let lookup = self.parts.accepted.begin();
        let accepted = match prefix_of(text) {
            Some(prefix) => self.look_up_key(&prefix, digest, now).await?,
            None => self.look_up_token(text, now).await?,
        };
        let accepted = Arc::new(accepted);
        self.parts
            .accepted
            .keep(&lookup, digest, Arc::clone(&accepted), now);
        Ok(accepted)
    }

    async fn look_up_key(&self, prefix: &KeyPrefix, digest: [u8; 32], now: Timestamp) -> Result<Accepted> {
        let found = self.parts.store.find_key(prefix).await?;
        let found = found.ok_or_else(|| token::refused().source("the key is unknown"))?;
        let (key, owner) = (found.key, found.owner);
        if !is_equal(&found.hash.0, &digest) {
            return Err(token::refused().source("the key has a known prefix and a wrong rest"));
        }
        let until = key.expires_at.unwrap_or(Timestamp::MAX);
        if !key.is_active || until <= now || !owner.is_active {
            return Err(token::refused().source("the key is revoked or expired, or its owner inactive"));
        }
        Ok(Accepted {
            counter: Some(self.parts.key_uses.counter(key.id, owner.id)),
            user_id: owner.id,
            until,
            principal: Arc::new(Principal {
                subject: Subject::User(owner.id),
                role: owner.role,
                scopes: key.scopes,
                credential: Credential::Key(key.id),
                rate_limit: key.rate_limit,
            }),
        })
    }

    async fn look_up_token(&self, text: &str, now: Timestamp) -> Result<Accepted> {
        let facts = self.parts.access_tokens.read(text, now)?;
        let session = self.parts.store.find_session(facts.session_id).await?;
        let session = session.filter(|session| session.user_id == facts.user_id && session.expires_at > now);
        let session = session.ok_or_else(|| token::refused().source("the session has ended"))?;
        let user = self.parts.store.find_user(facts.user_id).await?;
        let user = user.filter(|user| user.is_active);
        let user = user.ok_or_else(|| token::refused().source("the account is gone or inactive"))?;
        Ok(signed_in(
            &user,
            &session,
            facts.accepted_until.min(session.expires_at),
        ))
    }
}

/// Whose calls a caller sees: `None` for everyone's.
///
/// # Errors
/// `Bug` for a caller without an account that isn't an admin.
pub(crate) fn visible_owner(principal: &Principal) -> Result<Option<UserId>> {
    if principal.is_admin() {
        return Ok(None);
    }
    let own = principal.user_id();
    own.map(Some)
        .ok_or_else(|| Error::bug("a caller has neither an account nor the role of admin"))
}

/// The principal of an access token. Its role is the account's present one: tokens carry none.
fn signed_in(user: &User, session: &Session, until: Timestamp) -> Accepted {
    Accepted {
        counter: None,
        user_id: user.id,
        until,
        principal: Arc::new(Principal {
            subject: Subject::User(user.id),
            role: user.role,
            scopes: Scopes::default(),
            credential: Credential::Session(session.id),
            rate_limit: None,
        }),
    }
}

/// Under which name an owner is remembered among the credentials. No text that anyone can present has this digest,
/// since nobody finds one whose SHA-256 ends in sixteen zeros and begins as wanted.
fn digest_of_owner(user_id: UserId) -> [u8; 32] {
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().zip(user_id.as_uuid().as_bytes()) {
        *place = *byte;
    }
    digest
}

/// The prefix of a text that has the form of a key.
fn prefix_of(text: &str) -> Option<KeyPrefix> {
    let (prefix, secret) = text.split_at_checked(KeyPrefix::TAG.len() + KeyPrefix::RANDOM_CHARS)?;
    let secret = secret.strip_prefix('_')?;
    let has_form = secret.len() == KEY_SECRET_CHARS
        && secret
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    has_form.then(|| KeyPrefix::parse(prefix))?
}
