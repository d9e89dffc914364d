//! Idempotency keys: the same request sent twice is done once.

use async_trait::async_trait;

use crate::{error::Result, time::Timestamp};

/// The SHA-256 of a caller, a route and the key that the caller chose; so one caller's keys say nothing of another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub [u8; 32]);

/// The SHA-256 of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestDigest(pub [u8; 32]);

/// What became of an attempt to claim an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is new: do the work, then record the answer or give the key back.
    Fresh,
    /// The same request was answered before; this is the sealed answer.
    Answered(Vec<u8>),
    /// The same request was begun before, and no answer is recorded (yet).
    Begun {
        /// When its claim expires; the same for everyone who is told of it.
        expires_at: Timestamp,
    },
    /// Another request came with this key before.
    Different,
}

/// Keeps idempotency keys. Each method is one atomic, durable step.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims a key for a request until `expires_at`; an expired claim counts as none. Of several callers at
    /// the same instant, one is given [`Claim::Fresh`].
    async fn claim_idempotency_key(
        &self,
        key: IdempotencyKey,
        request: RequestDigest,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Claim>;

    /// Records the sealed answer to the request that claimed the key.
    async fn record_answer(&self, key: IdempotencyKey, sealed: Vec<u8>) -> Result<()>;

    /// Gives a key back whose request had no effect.
    async fn release_idempotency_key(&self, key: IdempotencyKey) -> Result<()>;

    /// Removes up to `limit` claims that expired before `now`; gives how many.
    async fn remove_expired_claims(&self, now: Timestamp, limit: u32) -> Result<u64>;
}
