//! Accounts.

use model::{
    Email, Principal, Result, Role, Secret, User, UserChange, UserFilter, UserId, UserOverview, UserSort,
    Username,
};
use serde_json::{Map, Value};

use crate::{
    cursor::{Listing, PageQuery},
    parts::{Client, Engine},
    session::SignedIn,
};

/// An account that someone wants to have.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its e-mail.
    pub email: Email,
    /// Its name.
    pub username: Username,
    /// Its password: 8 characters to 1,024 bytes.
    pub password: Secret,
    /// Its role; other than `user` only for an admin.
    pub role: Option<Role>,
}

/// What an account's owner changes of it; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// A new address.
    pub email: Option<Email>,
    /// A new name.
    pub username: Option<Username>,
    /// New metadata in place of the old; `Some(None)` removes it. At most 16 KiB as JSON, 8 levels deep.
    pub metadata: Option<Option<Map<String, Value>>>,
}

impl Engine {
    /// Makes an account and signs it in.
    ///
    /// # Errors
    /// `AlreadyExists` for a taken address or name; `Forbidden` for a role that the caller can't give;
    /// `Invalid` for a password outside the limits; `Overloaded` when too many wait.
    pub async fn register(
        &self,
        _principal: Option<&Principal>,
        _registration: Registration,
        _client: &Client,
    ) -> Result<SignedIn> {
        todo!()
    }

    /// Reads the caller's account.
    ///
    /// # Errors
    /// `Forbidden` without an account or scope.
    pub async fn profile(&self, _principal: &Principal) -> Result<User> {
        todo!()
    }

    /// Changes the caller's account.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid`, `Forbidden`.
    pub async fn update_profile(&self, _principal: &Principal, _change: ProfileChange) -> Result<User> {
        todo!()
    }

    /// Changes the caller's password and ends the caller's other sessions.
    ///
    /// # Errors
    /// `InvalidCredentials` when `current` is wrong; `Invalid` when `new` is outside the limits.
    pub async fn change_password(
        &self,
        _principal: &Principal,
        _current: Secret,
        _new: Secret,
        _client: &Client,
    ) -> Result<()> {
        todo!()
    }

    /// Lists all accounts.
    ///
    /// # Errors
    /// `Forbidden` for all but admins; `Invalid` for a foreign cursor.
    pub async fn list_users(
        &self,
        _principal: &Principal,
        _filter: UserFilter,
        _page: PageQuery<UserSort>,
    ) -> Result<Listing<User>> {
        todo!()
    }

    /// Reads an account: one's own, or any for an admin.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub async fn user(&self, _principal: &Principal, _id: UserId) -> Result<User> {
        todo!()
    }

    /// Changes an account: one's own, or any for an admin; role and activity for an admin only.
    ///
    /// # Errors
    /// `NotFound` as for [`Self::user`]; `Forbidden`, `LastAdmin`, `AlreadyExists`, `Invalid`.
    pub async fn update_user(
        &self,
        _principal: &Principal,
        _id: UserId,
        _change: UserChange,
    ) -> Result<User> {
        todo!()
    }

    /// Deletes an account; gives what was deleted.
    ///
    /// # Errors
    /// `NotFound`, `LastAdmin`, `Forbidden` for all but admins.
    pub async fn delete_user(&self, _principal: &Principal, _id: UserId) -> Result<User> {
        todo!()
    }

    /// Counts accounts by role and activity, and new and active ones for each of the last 30 days.
    ///
    /// # Errors
    /// `Forbidden` for all but admins.
    pub async fn user_overview(&self, _principal: &Principal) -> Result<UserOverview> {
        todo!()
    }

    /// Sets an account's password from the command line and ends all its sessions.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`; `Forbidden` for all but the command line.
    pub async fn reset_password(&self, _principal: &Principal, _email: &Email, _new: Secret) -> Result<User> {
        todo!()
    }
}
