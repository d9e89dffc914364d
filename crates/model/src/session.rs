//! Sessions and failed sign-ins.

use async_trait::async_trait;

use crate::{
    error::Result,
    id::{SessionId, UserId},
    page::{Page, PageRequest},
    secret::PasswordHash,
    security::SecurityEvent,
    time::Timestamp,
    user::FoldedText,
};

/// The SHA-256 of the refresh token that is the live one of its session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDigest(***)")
    }
}

/// One signed-in client: the family of refresh tokens that began with one sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name, carried by its tokens.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The only refresh token that can renew it; all earlier ones are dead.
    pub refresh_token: TokenDigest,
    /// When it began.
    pub created_at: Timestamp,
    /// When its live refresh token stops being accepted.
    pub expires_at: Timestamp,
}

/// The proof with which a session begins.
#[derive(Clone, Debug)]
pub struct CheckedPassword {
    /// The stored hash that the password was checked against.
    pub hash: PasswordHash,
    /// The hash that takes its place, when it was made at too low a cost.
    pub renewed: Option<PasswordHash>,
}

/// An attempt to renew a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Which session.
    pub id: SessionId,
    /// The refresh token that its client presented.
    pub presented: TokenDigest,
    /// The refresh token that takes its place.
    pub next: TokenDigest,
    /// When the next one stops being accepted.
    pub expires_at: Timestamp,
}

/// What became of an attempt to renew a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The token was the live one; the session now has the next one.
    Rotated(Session),
    /// The token was dead already: the session was ended and its owner told, in the same step.
    Reused,
    /// There is no such session (any more), or it expired.
    Gone,
}

/// How often the password of one account was wrong lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SignInFailures {
    /// Failures in a row.
    pub count: u32,
    /// The last one.
    pub last_at: Timestamp,
}

/// Keeps sessions, failed sign-ins and security events. Each method is one atomic, durable step.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Begins a session: adds it, sets the account's last sign-in, notes the account as active on that
    /// day, forgets the failed sign-ins under its folded e-mail, and replaces the password hash when a
    /// renewed one is given. Of one account's sessions, the 100 newest are kept.
    ///
    /// Gives false, and does nothing, when the account is gone or inactive, or its password hash is no
    /// longer the one that was checked.
    async fn open_session(&self, session: &Session, checked: &CheckedPassword) -> Result<bool>;

    /// Looks a session up, expired or not.
    async fn find_session(&self, id: SessionId) -> Result<Option<Session>>;

    /// Replaces the live refresh token of a session by the next one; notes the account as active on the
    /// day of `reuse_event.created_at`, which is the present moment.
    ///
    /// When another token than the live one is presented, the session ends and `reuse_event` is kept for
    /// its owner (whose `user_id` is set to the session's), in the same step. Of two callers with one token at the same instant, one is
    /// given [`Rotation::Rotated`], the other [`Rotation::Reused`].
    async fn rotate_session(&self, renewal: &Renewal, reuse_event: &SecurityEvent) -> Result<Rotation>;

    /// Ends one session; gives whether it existed.
    async fn close_session(&self, id: SessionId) -> Result<bool>;

    /// Ends all sessions of an account; gives how many.
    async fn close_sessions(&self, user_id: UserId) -> Result<u64>;

    /// Counts the failed sign-ins under a folded e-mail, whether or not an account has it.
    async fn sign_in_failures(&self, email: &FoldedText) -> Result<SignInFailures>;

    /// Adds one failed sign-in under a folded e-mail and gives the count afterwards; failures older than
    /// `forgotten_before` do not count any more. Keeps `event`, if given, in the same step.
    async fn record_sign_in_failure(
        &self,
        email: &FoldedText,
        now: Timestamp,
        forgotten_before: Timestamp,
        event: Option<&SecurityEvent>,
    ) -> Result<SignInFailures>;

    /// Lists the security events of an account, sorted by time. Of one account's events, the 1,000 newest
    /// are kept.
    async fn list_security_events(
        &self,
        user_id: UserId,
        page: &PageRequest<()>,
    ) -> Result<Page<SecurityEvent>>;

    /// Removes up to `limit` sessions that expired before `now` and as many sign-in failures older than
    /// `forgotten_before`; gives how many rows went.
    async fn remove_expired_sessions(
        &self,
        now: Timestamp,
        forgotten_before: Timestamp,
        limit: u32,
    ) -> Result<u64>;
}
