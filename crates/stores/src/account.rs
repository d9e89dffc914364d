//! What holds of accounts, whatever database they are in.

use model::{Error, ErrorCode, Role, User, UserChange};

/// An account after a change, but for the time of it. A new address is unverified.
pub(crate) fn changed(mut user: User, change: UserChange) -> User {
    if let Some(email) = change.email
        && email != user.email
    {
        user.email = email;
        user.is_email_verified = false;
    }
    if let Some(username) = change.username {
        user.username = username;
    }
    if let Some(metadata) = change.metadata {
        user.metadata = metadata;
    }
    if let Some(role) = change.role {
        user.role = role;
    }
    if let Some(is_active) = change.is_active {
        user.is_active = is_active;
    }
    user
}

/// Tells whether an account is one of those of which one must stay.
pub(crate) fn is_active_admin(user: &User) -> bool {
    user.is_active && user.role == Role::Admin
}

/// Refuses to leave no active admin.
pub(crate) fn last_admin() -> Error {
    let message = "this is the last active admin; make another account an admin first";
    Error::new(ErrorCode::LastAdmin, message)
}
