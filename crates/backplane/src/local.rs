//! Limits counted in this process, and a bus for a process that is alone.

mod bucket;
mod shard;
mod bus;

use std::{fmt, hash::BuildHasher as _, hash::RandomState};

use async_trait::async_trait;
use model::{Decision, LimitKey, Quota, RateLimiter, Result, Timestamp};
use parking_lot::Mutex;

pub use self::bus::LocalBus;

use self::shard::Shard;
use crate::rate::Rate;

/// Counts requests in this process, by the generic cell rate algorithm in exact integers.
///
/// A key's quota is there at once when it was idle for a window, and then comes back evenly: a caller who
/// has used it up gets the next request after a window's length divided by its requests, not at the turn of
/// a window.
///
/// At most as many keys are held as it was made for. When there is no room for a new key, those whose whole
/// quota is there again go first, then those nearest to that, so that a flood of new addresses does not set
/// an exhausted one free. Times finer than a millisecond are not told apart, windows beyond 49 days count as
/// 49 days.
pub struct LocalRateLimiter {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

impl LocalRateLimiter {
    /// How many keys are held by default: some 13 MB when that many are in use, next to nothing before.
    pub const DEFAULT_MAX_KEYS: usize = 200_000;

    /// So many that two requests at one instant seldom wait for each other.
    const SHARDS: usize = 64;

    /// Makes a limiter that holds at most `max_keys` keys, rounded up to a multiple of 64.
    #[must_use]
    pub fn new(max_keys: usize) -> Self {
        let shard_keys = max_keys.div_ceil(Self::SHARDS).max(1);
        Self {
            hasher: RandomState::new(),
            shards: (0..Self::SHARDS)
                .map(|_| Mutex::new(Shard::new(shard_keys)))
                .collect(),
        }
    }

    /// Counts one request and decides on it, without waiting for anything but the other requests at this
    /// instant whose keys lie in the same shard; see [`RateLimiter::check`].
    #[must_use]
    pub fn decide(&self, key: LimitKey, quota: Quota, now: Timestamp) -> Decision {
        let rate = Rate::of(quota);
        let hash = self.hasher.hash_one(key);
        let (place, home) = ((hash >> 32) & u64::from(u32::MAX), hash & u64::from(u32::MAX));
        let place = u32::try_from(place).unwrap_or_default();
        let home = usize::try_from(home).unwrap_or_default() % Self::SHARDS;
        match self.shards.get(home) {
            Some(shard) => shard.lock().decide(place, key, rate, now),
            None => rate.untouched(),
        }
    }

    /// How many keys are held now; never more than the limiter was made for.
    #[must_use]
    pub fn held_keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl Default for LocalRateLimiter {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX_KEYS)
    }
}

impl fmt::Debug for LocalRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRateLimiter")
            .field("held_keys", &self.held_keys())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl RateLimiter for LocalRateLimiter {
    async fn check(&self, key: LimitKey, quota: Quota, now: Timestamp) -> Result<Decision> {
        Ok(self.decide(key, quota, now))
    }
}
