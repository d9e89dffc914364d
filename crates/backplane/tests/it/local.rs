//! What the local limiter promises beyond the contract: bounded memory, and exactness for every quota.

use std::time::Duration;

use backplane::LocalRateLimiter;
use model::{LimitKey, Quota, Timestamp};
use proptest::prelude::*;

use crate::fixture::{address, after, quota, start};

#[test]
fn d01_a_million_addresses_take_no_more_room_than_was_given() {
    let limiter = LocalRateLimiter::new(10_000);
    for number in 0..1_000_000 {
        assert!(
            limiter
                .decide(address(number), quota(100, 900_000), start())
                .is_allowed
        );
    }
    // Rounded up to whole shards.
    assert!((8_000..=10_048).contains(&limiter.held_keys()));
}

#[test]
fn d01_a_flood_of_new_addresses_does_not_set_an_exhausted_one_free() {
    let limiter = LocalRateLimiter::new(1_000);
    let (greedy, quota) = (address(u32::MAX), quota(100, 900_000));
    for _ in 0..100 {
        assert!(limiter.decide(greedy, quota, start()).is_allowed);
    }
    for number in 0..100_000 {
        let _ = limiter.decide(address(number), quota, start());
    }
    assert!(!limiter.decide(greedy, quota, start()).is_allowed);
}

#[test]
fn keys_whose_quota_is_whole_again_make_room_first() {
    let limiter = LocalRateLimiter::new(64);
    let quota = quota(2, 1_000);
    for number in 0..10_000 {
        let _ = limiter.decide(address(number), quota, start());
    }
    let late = after(1_000);
    let newcomer = address(1_000_000);
    let _ = limiter.decide(newcomer, quota, late);
    let _ = limiter.decide(newcomer, quota, late);
    assert!(!limiter.decide(newcomer, quota, late).is_allowed);
    assert!(limiter.held_keys() <= 64);
}

#[test]
fn small_steps_back_of_the_clock_do_not_count_time_twice() {
    let limiter = LocalRateLimiter::default();
    let quota = quota(10, 1_000);
    let allowed = (0..1_000)
        .filter(|turn| {
            limiter
                .decide(address(1), quota, after(500 + turn % 2))
                .is_allowed
        })
        .count();
    assert_eq!(allowed, 10);
}

#[test]
fn quotas_out_of_range_are_brought_into_it() {
    let limiter = LocalRateLimiter::default();
    let none = Quota {
        requests: 0,
        window: Duration::ZERO,
    };
    let decision = limiter.decide(address(1), none, start());
    assert_eq!((decision.is_allowed, decision.limit), (true, 1));
    let huge = Quota {
        requests: u32::MAX,
        window: Duration::MAX,
    };
    let decision = limiter.decide(address(2), huge, Timestamp::MAX);
    assert_eq!((decision.is_allowed, decision.remaining), (true, u32::MAX - 1));
}

/// Quotas of at most one request a millisecond, the finest time that is told apart.
fn any_quota() -> impl Strategy<Value = Quota> {
    (1..1_000_u32, 1_000..1_000_000_u64).prop_map(|(requests, window)| quota(requests, window))
}

proptest! {
    #[test]
    fn a_burst_is_never_allowed_more_than_the_quota(quota in any_quota(), extra in 1..50_usize) {
        let limiter = LocalRateLimiter::default();
        let asked = usize::try_from(quota.requests).unwrap() + extra;
        let allowed = (0..asked).filter(|_| limiter.decide(address(1), quota, start()).is_allowed).count();
        prop_assert_eq!(allowed, asked - extra);
    }

    #[test]
    fn after_any_refusal_the_wait_it_names_is_exact(
        quota in any_quota(),
        steps in prop::collection::vec(0..200_u64, 1..300),
    ) {
        let limiter = LocalRateLimiter::default();
        let mut now = start();
        for step in steps {
            now = now.plus(Duration::from_millis(step));
            let decision = limiter.decide(address(1), quota, now);
            if decision.is_allowed {
                continue;
            }
            prop_assert!(!decision.retry_after.is_zero() && decision.remaining == 0);
            let just_before = now.plus(decision.retry_after).minus(Duration::from_millis(1));
            prop_assert!(!limiter.decide(address(1), quota, just_before).is_allowed);
            now = now.plus(decision.retry_after);
            prop_assert!(limiter.decide(address(1), quota, now).is_allowed);
            prop_assert!(!limiter.decide(address(1), quota, now).is_allowed);
        }
    }

    #[test]
    fn no_span_of_time_is_allowed_more_than_a_quota_and_what_came_back_meanwhile(
        quota in any_quota(),
        steps in prop::collection::vec(0..50_u64, 1..400),
    ) {
        let limiter = LocalRateLimiter::default();
        let (mut now, mut allowed) = (start(), 0_u128);
        for step in steps {
            now = now.plus(Duration::from_millis(step));
            allowed += u128::from(limiter.decide(address(1), quota, now).is_allowed);
            let requests = u128::from(quota.requests);
            let came_back = requests * now.since(start()).as_millis() / quota.window.as_millis();
            prop_assert!(allowed <= requests + came_back);
        }
    }

    #[test]
    fn what_is_told_of_the_rest_is_true(quota in any_quota(), used in 1..1_500_u32) {
        let limiter = LocalRateLimiter::default();
        let key = LimitKey::AdminKey;
        let mut last = limiter.decide(key, quota, start());
        for _ in 1..used {
            last = limiter.decide(key, quota, start());
        }
        prop_assert_eq!(last.remaining, quota.requests.saturating_sub(used));
        let whole = start().plus(last.reset_after);
        let after_reset = limiter.decide(key, quota, whole);
        prop_assert_eq!(after_reset.remaining, quota.requests - 1);
    }
}
