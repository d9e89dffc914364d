//! The machine's clock, identifiers and randomness, behind the ports.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{Clock, Entropy, Ids, Timestamp};
use parking_lot::Mutex;
use uuid::{Builder, Uuid};

/// Tells the time of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Draws from the operating system's cryptographic generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Tokens and keys that could be guessed would be worse than no server.
            std::process::abort();
        }
    }
}

/// Makes identifiers of the present moment and random bits, each greater than the one before.
pub struct SystemIds {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    last: Mutex<Uuid>,
}

impl SystemIds {
    /// Takes the moment from `clock` and the random bits from `entropy`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            clock,
            entropy,
            last: Mutex::new(Uuid::nil()),
        }
    }

    fn fresh(&self, millis: u64) -> Uuid {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

impl Ids for SystemIds {
    fn next(&self) -> Uuid {
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or_default();
        let mut fresh = self.fresh(now);
        let mut last = self.last.lock();
        if fresh <= *last {
            // Same millisecond, or a clock that was set back: go on a little above the last one, unguessably far.
            let step = fresh.as_u128() & u128::from(u32::MAX);
            let stepped = Uuid::from_u128(last.as_u128().saturating_add(step).saturating_add(1));
            let kept_its_form =
                stepped.get_version_num() == 7 && stepped.as_u128() >> 62 == last.as_u128() >> 62;
            fresh = if kept_its_form {
                stepped
            } else {
                self.fresh(millis_of(*last).saturating_add(1))
            };
        }
        *last = fresh;
        fresh
    }
}

fn millis_of(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> 80).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    struct BackwardsClock(Mutex<i64>);

    impl Clock for BackwardsClock {
        fn now(&self) -> Timestamp {
            let mut millis = self.0.lock();
            *millis -= 1;
            Timestamp::from_millis(*millis)
        }
    }

    #[test]
    fn identifiers_grow_even_when_the_clock_goes_backwards() {
        let clock = Arc::new(BackwardsClock(Mutex::new(1_700_000_000_000)));
        let ids = SystemIds::new(clock, Arc::new(SystemEntropy));
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.is_sorted_by(|one, next| one < next));
        assert!(
            made.iter()
                .all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122)
        );
    }

    #[test]
    fn identifiers_of_many_threads_are_all_different() {
        let ids = SystemIds::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
        let made: BTreeSet<Uuid> = std::thread::scope(|scope| {
            let make = || (0..1_000).map(|_| ids.next()).collect::<Vec<_>>();
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            makers
                .into_iter()
                .flat_map(|maker| maker.join().unwrap())
                .collect()
        });
        assert_eq!(made.len(), 4_000);
    }
}
