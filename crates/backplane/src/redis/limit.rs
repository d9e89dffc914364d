//! Limits counted on the server, or here while it is away.

use std::{fmt::Write as _, net::IpAddr};

use async_trait::async_trait;
use model::{Decision, LimitKey, Quota, RateLimiter, Result, Timestamp};

use super::RedisBackplane;
use crate::rate::Rate;

/// The script that counts one request.
pub(super) const COUNT: &str = include_str!("count.lua");

/// How far the clocks of processes may differ, in milliseconds, without one giving time to the other's callers.
///
/// Machines that set their clocks by the network differ by much less; only a clock that goes back farther counts
/// as set back.
const CLOCK_SLACK_MILLIS: u32 = 10_000;

#[async_trait]
impl RateLimiter for RedisBackplane {
    /// Counts one request in one round trip, at most as long as the response limit allows; see
    /// [`RateLimiter::check`].
    ///
    /// Never an error: without an answer from Redis the request is counted in this process, which knows of
    /// those that it has allowed itself.
    async fn check(&self, key: LimitKey, quota: Quota, now: Timestamp) -> Result<Decision> {
        let rate = Rate::of(quota);
        match self.count(key, rate, now).await {
            Some(decision) => {
                if decision.is_allowed {
                    // Not for its decision: so that the count goes on from there when Redis goes away.
                    let _ = self.local.decide(key, quota, now);
                }
                Ok(decision)
            }
            None => Ok(self.decide_alone(key, quota, now)),
        }
    }
}

impl RedisBackplane {
    async fn count(&self, key: LimitKey, rate: Rate, now: Timestamp) -> Option<Decision> {
        let mut script = self.count.prepare_invoke();
        script
            .key(name_of(&self.key_prefix, key))
            .arg(rate.requests())
            .arg(rate.window_millis())
            .arg(now.as_millis())
            .arg(CLOCK_SLACK_MILLIS);
        let (is_allowed, level): (bool, String) = self.link.run(&script).await?;
        // The script's largest numbers are rounded, at most up to 2⁶⁴.
        let level = level.parse().unwrap_or(u64::MAX);
        Some(rate.describe(is_allowed, level))
    }
}

/// The name of a key's bucket.
fn name_of(prefix: &str, key: LimitKey) -> String {
    let mut name = format!("{prefix}limit:");
    // Writing to a string doesn't fail.
    match key {
        LimitKey::Address(IpAddr::V4(address)) => write!(name, "address:{address}"),
        LimitKey::Address(IpAddr::V6(network)) => write!(name, "network:{network}"),
        LimitKey::User(id) => write!(name, "user:{id}"),
        LimitKey::Key(id) => write!(name, "key:{id}"),
        LimitKey::AdminKey => write!(name, "admin-key"),
    }
    .ok();
    name
}
