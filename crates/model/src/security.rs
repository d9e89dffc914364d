//! What an account's owner should know about.

use serde::Serialize;

use crate::{
    id::{SecurityEventId, UserId},
    time::Timestamp,
};

/// What happened to an account that its owner should know about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityEventKind {
    /// A dead refresh token was used: it may have been stolen. The session was ended.
    RefreshTokenReused,
    /// The password was changed.
    PasswordChanged,
    /// So many sign-ins failed that further ones are refused for a while.
    SignInsRefused,
}

impl SecurityEventKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [
        Self::RefreshTokenReused,
        Self::PasswordChanged,
        Self::SignInsRefused,
    ];

    /// The kind's name in stores and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::PasswordChanged => "password_changed",
            Self::SignInsRefused => "sign_ins_refused",
        }
    }
}

/// Something that an account's owner should know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    /// Its name.
    pub id: SecurityEventId,
    /// Whose account.
    pub user_id: UserId,
    /// What happened.
    pub kind: SecurityEventKind,
    /// The network address that it came from, when known.
    pub ip_address: Option<String>,
    /// When.
    pub created_at: Timestamp,
}
