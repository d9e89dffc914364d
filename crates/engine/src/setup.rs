//! The first admin, made through a link that is shown once at the first start.

use model::{Result, Secret};

use crate::{
    parts::{Client, Engine},
    session::SignedIn,
    user::Registration,
};

impl Engine {
    /// Makes a token that lets its bearer make the first admin, within an hour; `None` when there is an admin.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    pub async fn setup_token(&self) -> Result<Option<Secret>> {
        todo!()
    }

    /// Passes when a set-up token can still be used.
    ///
    /// # Errors
    /// `NotFound` when it is unknown, expired, or there is an admin.
    pub async fn check_setup_token(&self, _token: &str) -> Result<()> {
        todo!()
    }

    /// Makes the first admin. The registration's role is not looked at.
    ///
    /// # Errors
    /// As [`Self::check_setup_token`] and [`Self::register`].
    pub async fn create_first_admin(
        &self,
        _token: &str,
        _registration: Registration,
        _client: &Client,
    ) -> Result<SignedIn> {
        todo!()
    }
}
