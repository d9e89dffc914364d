//! When a task is tried again after a failure.

use std::time::Duration;

use model::{Entropy, Error, ErrorKind};

/// The most that the first retry waits; each further one may wait twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// The most that any retry waits by itself.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The most that a failure can ask for by saying when to try again.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// Tells whether another try can't help: the plugin says so, or what was asked for can't be done.
pub(super) fn is_permanent(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PluginFailed | ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Forbidden
    )
}

/// How long to wait before trying again after `error`, when `retries` retries were made before.
///
/// Any time up to a limit that doubles, each as likely as the other (full jitter), so that tasks that failed together
/// don't come back together; at least as long as the failure itself asks for, up to a day.
pub(super) fn delay(entropy: &dyn Entropy, retries: u16, error: &Error) -> Duration {
    let limit = FIRST
        .saturating_mul(1_u32.checked_shl(u32::from(retries)).unwrap_or(u32::MAX))
        .min(LONGEST);
    let asked = error.wait().unwrap_or_default().min(LONGEST_ASKED);
    jittered(entropy, limit).max(asked)
}

/// Any whole number of milliseconds from none to `limit`.
fn jittered(entropy: &dyn Entropy, limit: Duration) -> Duration {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    // The upper half of the product is spread evenly over 0 to the limit.
    let spread = u128::from(u64::from_le_bytes(bytes)) * (limit.as_millis() + 1);
    Duration::from_millis(u64::try_from(spread >> 64).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use model::ErrorCode;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Gives the same byte again and again.
    struct Same(u8);

    impl Entropy for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn failure() -> Error {
        Error::new(ErrorCode::PluginUnavailable, "busy")
    }

    #[rstest]
    #[case(0, 1)]
    #[case(1, 2)]
    #[case(5, 32)]
    #[case(8, 256)]
    #[case(9, 300)]
    #[case(31, 300)]
    #[case(32, 300)]
    #[case(u16::MAX, 300)]
    fn the_longest_wait_doubles_up_to_five_minutes(#[case] retries: u16, #[case] seconds: u64) {
        assert_eq!(
            delay(&Same(0xff), retries, &failure()),
            Duration::from_secs(seconds)
        );
        assert_eq!(delay(&Same(0), retries, &failure()), Duration::ZERO);
    }

    #[test]
    fn a_failure_that_says_when_to_try_again_is_heard_up_to_a_day() {
        let minute = Duration::from_secs(60);
        assert_eq!(delay(&Same(0), 0, &failure().retry_after(minute)), minute);
        let year = Duration::from_secs(365 * 86_400);
        assert_eq!(delay(&Same(0), 0, &failure().retry_after(year)), LONGEST_ASKED);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_its_limit(byte: u8, retries: u16) {
            let limit = 2_f64.powi(i32::from(retries)).min(300.0);
            prop_assert!(delay(&Same(byte), retries, &failure()).as_secs_f64() <= limit);
        }
    }
}
