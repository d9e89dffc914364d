//! Quotas as whole numbers, and what a level says of the requests to come.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A) as a leaky bucket. The level is counted in
//! requests times milliseconds, so that nothing is ever rounded: a request adds the window's milliseconds,
//! each millisecond takes away the quota's requests, and the whole quota is their product.

use std::time::Duration;

use model::{Decision, Quota};

/// A quota in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    requests: u32,
    window_millis: u32,
}

impl Rate {
    /// Takes a quota, brought into the range of at least one request in 1 to 2³²-1 ms; with it, no product
    /// of the two overflows 64 bits.
    pub(crate) fn of(quota: Quota) -> Self {
        Self {
            requests: quota.requests.max(1),
            window_millis: u32::try_from(quota.window.as_millis()).unwrap_or(u32::MAX).max(1),
        }
    }

    /// The decision on a request that isn't counted.
    pub(crate) fn untouched(self) -> Decision {
        self.describe(true, 0)
    }

    /// How many requests make the whole quota; at least 1.
    pub(crate) fn requests(self) -> u32 {
        self.requests
    }

    /// How much a request adds to a level; at least 1.
    pub(crate) fn window_millis(self) -> u32 {
        self.window_millis
    }

    /// The level at which the quota is used up.
    pub(crate) fn capacity(self) -> u64 {
        u64::from(self.requests) * u64::from(self.window_millis)
    }

    /// The decision that left a bucket at `level`.
    pub(crate) fn describe(self, is_allowed: bool, level: u64) -> Decision {
        let free = self.capacity().saturating_sub(level);
        let remaining = free / u64::from(self.window_millis);
        let missing = if remaining == 0 {
            level
                .saturating_add(self.window_millis.into())
                .saturating_sub(self.capacity())
        } else {
            0
        };
        Decision {
            is_allowed,
            limit: self.requests,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: self.time_to_drain(level),
            retry_after: self.time_to_drain(missing),
        }
    }

    /// The first whole millisecond at which so much has gone.
    fn time_to_drain(self, level: u64) -> Duration {
        Duration::from_millis(level.div_ceil(self.requests.into()))
    }
}
