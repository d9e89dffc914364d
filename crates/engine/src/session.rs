//! Signing in, staying signed in, and signing out.

use std::sync::Arc;

use model::{
    CheckedPassword, Credential, Email, Error, Observation, Permission, Principal, Renewal, Result, Rotation,
    Secret, SecurityEvent, SecurityEventKind, Session, SessionId, Subject, Timestamp, TokenDigest, User,
    UserId,
};

use crate::{
    cursor::{ListScope, Listing, PageQuery},
    parts::{Client, Engine},
    seal::sha256,
    throttle::wrong_password,
    token,
};

/// An attempt to sign in. The texts are as the caller sent them.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The account's e-mail.
    pub email: String,
    /// Its password.
    pub password: Secret,
}

/// An access token and the refresh token that leads to the next pair.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// Sent with each request.
    pub access: Secret,
    /// Sent once, for the next pair.
    pub refresh: Secret,
}

/// An account that has just signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The account.
    pub user: User,
    /// Its tokens.
    pub tokens: TokenPair,
}

impl Engine {
    /// Signs in with e-mail and password.
    ///
    /// # Errors
    /// `InvalidCredentials`, the same and after the same work whether the account is unknown, inactive or the
    /// password wrong. `RateLimited` after many failures on one account. `Overloaded` when too many wait.
    pub async fn sign_in(&self, attempt: SignIn, client: &Client) -> Result<SignedIn> {
        let signed_in = self.open_account(&attempt, client).await;
        self.parts.observer.observe(Observation::SignIn {
            succeeded: signed_in.is_ok(),
        });
        signed_in
    }

    /// Renews a session: the presented refresh token dies, a new pair takes its place.
    ///
    /// # Errors
    /// `InvalidToken` when it isn't the live one of a session; a dead one ends its whole session.
    pub async fn renew_session(&self, refresh_token: &str, client: &Client) -> Result<SignedIn> {
        let now = self.parts.clock.now();
        let facts = self.parts.refresh_tokens.read(refresh_token, now)?;
        let user = self.parts.store.find_user(facts.user_id).await?;
        let user = user.filter(|user| user.is_active);
        let user = user.ok_or_else(|| token::refused().source("the account is gone or inactive"))?;
        let tokens = self.issue_tokens(user.id, facts.session_id, now)?;
        let renewal = Renewal {
            id: facts.session_id,
            presented: digest_of(refresh_token),
            next: digest_of(tokens.refresh.expose()),
            expires_at: self.parts.refresh_tokens.expiry(now),
        };
        let event = self.security_event(user.id, SecurityEventKind::RefreshTokenReused, client, now);
        match self.rotate_session(user.id, renewal, event).await? {
            Rotation::Rotated(_) => {
                self.parts.observer.observe(Observation::SessionRenewed);
                Ok(SignedIn { user, tokens })
            }
            Rotation::Reused => {
                self.parts.observer.observe(Observation::RefreshTokenReused);
                Err(token::refused().source("the refresh token was used before; its session is ended"))
            }
            Rotation::Gone => Err(token::refused().source("the session has ended")),
        }
    }

    /// Ends the caller's session.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token.
    pub async fn sign_out(&self, principal: &Principal) -> Result<()> {
        let user_id = principal.require_account(&Permission::EndOwnSessions)?;
        let (store, session) = (Arc::clone(&self.parts.store), session_of(principal)?);
        // That it is ended already is what was asked for.
        let _was_open = self
            .change_standing(user_id, async move { store.close_session(session).await })
            .await?;
        Ok(())
    }

    /// Ends all sessions of the caller's account; gives how many.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token.
    pub async fn sign_out_everywhere(&self, principal: &Principal) -> Result<u64> {
        let user_id = principal.require_account(&Permission::EndOwnSessions)?;
        let store = Arc::clone(&self.parts.store);
        self.change_standing(user_id, async move { store.close_sessions(user_id).await })
            .await
    }

    /// Lists what happened to the caller's account that it should know about.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token; `Invalid` for a foreign cursor.
    pub async fn list_security_events(
        &self,
        principal: &Principal,
        page: PageQuery<()>,
    ) -> Result<Listing<SecurityEvent>> {
        let user_id = principal.require_account(&Permission::ReadOwnSecurityEvents)?;
        let list = ListScope {
            name: "security-events",
            subject: Subject::User(user_id),
            filter: &(),
        };
        let request = self.parts.cursors.request(&list, &page)?;
        let found = self.parts.store.list_security_events(user_id, &request).await?;
        self.parts.cursors.listing(&list, &page, found)
    }

    async fn rotate_session(
        &self,
        user_id: UserId,
        renewal: Renewal,
        event: SecurityEvent,
    ) -> Result<Rotation> {
        let store = Arc::clone(&self.parts.store);
        // A renewal takes nothing away; that it fails for want of a word to others would cost the session.
        let ends_session = |rotation: &Rotation| matches!(rotation, Rotation::Reused);
        let rotating = async move { store.rotate_session(&renewal, &event).await };
        self.change_standing_if(user_id, rotating, ends_session).await
    }

    async fn open_account(&self, attempt: &SignIn, client: &Client) -> Result<SignedIn> {
        // What can't be an address has no account and isn't worth counting, and may be long.
        let email = Email::parse(&attempt.email).ok().map(|email| email.folded());
        let account = match &email {
            Some(email) => self.parts.store.find_account_by_email(email).await?,
            None => None,
        };
        let checked = self.check_password(email.as_ref(), account.as_ref(), &attempt.password, client);
        let checked = checked.await?;
        // A password that is right has an account; it may have gone or changed meanwhile.
        let user = account.ok_or_else(wrong_password)?.user;
        self.open_session(user, &checked)
            .await?
            .ok_or_else(wrong_password)
    }

    /// Begins a session; `None` when the account went, or its password changed, since it was checked.
    pub(crate) async fn open_session(
        &self,
        user: User,
        checked: &CheckedPassword,
    ) -> Result<Option<SignedIn>> {
        let now = self.parts.clock.now();
        let id = SessionId::generate(self.parts.ids.as_ref());
        let tokens = self.issue_tokens(user.id, id, now)?;
        let session = Session {
            id,
            user_id: user.id,
            refresh_token: digest_of(tokens.refresh.expose()),
            created_at: now,
            expires_at: self.parts.refresh_tokens.expiry(now),
        };
        let (store, checked) = (Arc::clone(&self.parts.store), checked.clone());
        // The oldest of a hundred sessions may end for it: here at once, on other processes half a minute later.
        let opening = async move { store.open_session(&session, &checked).await };
        let is_open = self.change_standing_if(user.id, opening, |_| false).await?;
        let user = User {
            last_login: Some(now),
            ..user
        };
        Ok(is_open.then_some(SignedIn { user, tokens }))
    }

    fn issue_tokens(&self, user_id: UserId, session_id: SessionId, now: Timestamp) -> Result<TokenPair> {
        let ids = self.parts.ids.as_ref();
        Ok(TokenPair {
            access: self.parts.access_tokens.issue(user_id, session_id, ids, now)?,
            refresh: self.parts.refresh_tokens.issue(user_id, session_id, ids, now)?,
        })
    }
}

/// The session whose access token the caller showed.
///
/// # Errors
/// `Bug` for any other credential: the permissions of those who ask take access tokens only.
pub(crate) fn session_of(principal: &Principal) -> Result<SessionId> {
    match principal.credential {
        Credential::Session(id) => Ok(id),
        Credential::Key(_) | Credential::AdminKey | Credential::CommandLine | Credential::Worker => {
            Err(Error::bug("a session was asked of a credential that has none"))
        }
    }
}

fn digest_of(refresh_token: &str) -> TokenDigest {
    TokenDigest(sha256(&[refresh_token.as_bytes()]))
}
