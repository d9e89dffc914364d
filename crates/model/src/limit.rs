//! Limits on how often someone may ask, and the port that counts.

use std::{net::IpAddr, net::Ipv6Addr, time::Duration};

use async_trait::async_trait;

use crate::{
    error::Result,
    id::{KeyId, UserId},
    time::Timestamp,
};

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// All requests without an accepted credential from one network address.
    Address(IpAddr),
    /// All requests of one account by token.
    User(UserId),
    /// All requests by one API key.
    Key(KeyId),
    /// All requests by the operator's key.
    AdminKey,
}

impl LimitKey {
    /// Counts an IPv4 address by itself, an IPv6 address by its /64, which one customer commonly holds, and
    /// an IPv4 address inside an IPv6 one as the IPv4 address.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::Address(IpAddr::V4(v4)),
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << 64);
                Self::Address(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

/// How often something may be done: `requests` per `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At least 1.
    pub requests: u32,
    /// At least a millisecond.
    pub window: Duration,
}

/// Whether a request is within its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is.
    pub is_allowed: bool,
    /// The quota's requests.
    pub limit: u32,
    /// How many more would be allowed right now.
    pub remaining: u32,
    /// Until the whole quota is there again.
    pub reset_after: Duration,
    /// Until one more request is allowed; zero when one is.
    pub retry_after: Duration,
}

/// Counts requests against quotas. Bounded in memory however many keys there are.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Counts one request and decides on it; a refused request doesn't count.
    ///
    /// # Errors
    /// `Unavailable` when a shared counter can't be reached and there is nothing to fall back on.
    async fn check(&self, key: LimitKey, quota: Quota, now: Timestamp) -> Result<Decision>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d02_ipv6_addresses_of_one_64_network_are_counted_together() {
        let key = |text: &str| LimitKey::address(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
