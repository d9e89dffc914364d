//! What is known of one key in this process: how full its bucket is, and how that changes with time.

use std::time::Duration;

use model::{Decision, Timestamp};

use crate::rate::Rate;

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
        let raised = self.level.saturating_add(rate.window_millis().into());
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
        self.leak = rate.requests();
        let elapsed = u64::try_from(now.since(self.drained_at).as_millis()).unwrap_or(u64::MAX);
        self.level = self
            .level
            .saturating_sub(elapsed.saturating_mul(rate.requests().into()));
        if now > self.drained_at || self.drained_at.since(now) > Self::CLOCK_SLACK {
            self.drained_at = now;
        }
    }
}
