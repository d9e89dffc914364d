//! Keys, quotas and moments to try things with.

use std::{net::Ipv4Addr, time::Duration};

use model::{LimitKey, Quota, Timestamp};

/// Some moment from which tests count.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

pub(crate) fn after(millis: u64) -> Timestamp {
    start().plus(Duration::from_millis(millis))
}

pub(crate) fn quota(requests: u32, window_millis: u64) -> Quota {
    Quota {
        requests,
        window: Duration::from_millis(window_millis),
    }
}

pub(crate) fn address(number: u32) -> LimitKey {
    LimitKey::address(Ipv4Addr::from_bits(number).into())
}
