//! Signing in, staying signed in, and signing out.

use model::{Principal, Result, Secret, SecurityEvent, User};

use crate::{
    cursor::{Listing, PageQuery},
    parts::{Client, Engine},
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
    pub async fn sign_in(&self, _attempt: SignIn, _client: &Client) -> Result<SignedIn> {
        todo!()
    }

    /// Renews a session: the presented refresh token dies, a new pair takes its place.
    ///
    /// # Errors
    /// `InvalidToken` when it isn't the live one of a session; a dead one ends its whole session.
    pub async fn renew_session(&self, _refresh_token: &str, _client: &Client) -> Result<SignedIn> {
        todo!()
    }

    /// Ends the caller's session.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token.
    pub async fn sign_out(&self, _principal: &Principal) -> Result<()> {
        todo!()
    }

    /// Ends all sessions of the caller's account; gives how many.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token.
    pub async fn sign_out_everywhere(&self, _principal: &Principal) -> Result<u64> {
        todo!()
    }

    /// Lists what happened to the caller's account that it should know about.
    ///
    /// # Errors
    /// `Forbidden` for anything but an access token; `Invalid` for a foreign cursor.
    pub async fn list_security_events(
        &self,
        _principal: &Principal,
        _page: PageQuery<()>,
    ) -> Result<Listing<SecurityEvent>> {
        todo!()
    }
}
