//! What is known of one key: how full its bucket is, and how that changes with time.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A) as a leaky bucket. The level is counted in
//! requests times milliseconds, so that nothing is ever rounded: a request adds the window's milliseconds,
//! each millisecond takes away the quota's requests, and the whole quota is their product.

use std::time::Duration;

use model::{Decision, Quota, Timestamp};

/// A quota in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    requests: u32,
    window_millis: u32,
}

impl Rate {
    /// Takes a quota, brought into the range of at least one request in 1 to 2³²-1 ms; with it, no product
    /// of the two overflows 64 bits.
    pub(super) fn of(quota: Quota) -> Self {
        Self {
            requests: quota.requests.max(1),
            window_millis: u32::try_from(quota.window.as_millis()).unwrap_or(u32::MAX).max(1),
        }
    }

    /// The decision on a request that isn't counted.
    pub(super) fn untouched(self) -> Decision {
        self.describe(true, 0)
    }

    fn capacity(self) -> u64 {
        u64::from(self.requests) * u64::from(self.window_millis)
    }

    fn describe(self, is_allowed: bool, level: u64) -> Decision {
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

/// One key's bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    level: u64,
    drained_at: Timestamp,
    /// The quota's requests when the bucket was last looked at: how much goes in a millisecond.
    leak: u32,
}

impl Bucket {
    /// How far back the clock may seem to go without being taken for set back.
    ///
    /// Requests are handled side by side, so that the time of one is a little before that of the one
    /// decided on last. Were each such step followed, time would be counted twice.
    const CLOCK_SLACK: Duration = Duration::from_secs(1);

    /// An empty one.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            level: 0,
            drained_at: now,
            leak: 1,
        }
    }

    /// Lets go what has gone until now, and counts one request if it fits.
    pub(super) fn decide(&mut self, rate: Rate, now: Timestamp) -> Decision {
        self.drain(rate, now);
        let raised = self.level.saturating_add(rate.window_millis.into());
        let is_allowed = raised <= rate.capacity();
        if is_allowed {
            self.level = raised;
        }
        rate.describe(is_allowed, self.level)
    }

    /// The moment when the whole quota is there again.
    pub(super) fn full_again_at(&self) -> Timestamp {
        let millis = self.level.div_ceil(self.leak.max(1).into());
        self.drained_at.plus(Duration::from_millis(millis))
    }

    fn drain(&mut self, rate: Rate, now: Timestamp) {
        self.leak = rate.requests;
        let elapsed = u64::try_from(now.since(self.drained_at).as_millis()).unwrap_or(u64::MAX);
        self.level = self
            .level
            .saturating_sub(elapsed.saturating_mul(rate.requests.into()));
        if now > self.drained_at || self.drained_at.since(now) > Self::CLOCK_SLACK {
            self.drained_at = now;
        }
    }
}
