//! What every rate limiter does, whoever counts. Another one joins by one more line at the end; where it can't
//! be had, it says so and is left out.

use std::{sync::Arc, time::Duration};

use model::{Decision, KeyId, LimitKey, RateLimiter, Timestamp, UserId};
use uuid::Uuid;

use crate::fixture::{address, after, quota, start};

type Limiter = Arc<dyn RateLimiter>;

/// Asks with five requests a second.
async fn ask(limiter: &Limiter, key: LimitKey, now: Timestamp) -> Decision {
    limiter.check(key, quota(5, 1000), now).await.unwrap()
}

async fn use_up(limiter: &Limiter, key: LimitKey, now: Timestamp) {
    for _ in 0..5 {
        assert!(ask(limiter, key, now).await.is_allowed);
    }
}

async fn d01_one_request_more_than_the_quota_is_refused(limiter: Limiter) {
    let key = address(1);
    use_up(&limiter, key, start()).await;
    let refused = ask(&limiter, key, start()).await;
    let expected = Decision {
        is_allowed: false,
        limit: 5,
        remaining: 0,
        reset_after: Duration::from_secs(1),
        retry_after: Duration::from_millis(200),
    };
    assert_eq!(refused, expected);
}

async fn d01_the_next_window_works_again(limiter: Limiter) {
    let key = address(1);
    use_up(&limiter, key, start()).await;
    use_up(&limiter, key, after(1000)).await;
    assert!(!ask(&limiter, key, after(1000)).await.is_allowed);
}

async fn each_decision_says_what_is_left_and_when_it_is_whole_again(limiter: Limiter) {
    let key = address(1);
    for used in 1..=5_u32 {
        let decision = ask(&limiter, key, start()).await;
        assert_eq!((decision.limit, decision.remaining), (5, 5 - used));
        assert_eq!(decision.reset_after, Duration::from_millis(200) * used);
        let wait = if used == 5 { 200 } else { 0 };
        assert_eq!(decision.retry_after, Duration::from_millis(wait));
    }
}

async fn after_the_wait_that_was_named_exactly_one_more_is_allowed(limiter: Limiter) {
    let key = address(1);
    use_up(&limiter, key, start()).await;
    let wait = ask(&limiter, key, start()).await.retry_after;
    let early = start().plus(wait).minus(Duration::from_millis(1));
    assert!(!ask(&limiter, key, early).await.is_allowed);
    assert!(ask(&limiter, key, start().plus(wait)).await.is_allowed);
    assert!(!ask(&limiter, key, start().plus(wait)).await.is_allowed);
}

async fn refused_requests_do_not_count(limiter: Limiter) {
    let key = address(1);
    use_up(&limiter, key, start()).await;
    for _ in 0..100 {
        assert!(!ask(&limiter, key, start()).await.is_allowed);
    }
    assert!(ask(&limiter, key, after(200)).await.is_allowed);
}

async fn keys_of_every_kind_are_counted_apart(limiter: Limiter) {
    let uuid = Uuid::from_u128(7);
    let keys = [
        address(7),
        LimitKey::address("2001:db8::1".parse().unwrap()),
        LimitKey::User(UserId::from_uuid(uuid)),
        LimitKey::Key(KeyId::from_uuid(uuid)),
        LimitKey::AdminKey,
    ];
    for key in keys {
        use_up(&limiter, key, start()).await;
    }
    for key in keys {
        assert!(!ask(&limiter, key, start()).await.is_allowed);
    }
}

async fn a_raised_quota_holds_at_the_next_request(limiter: Limiter) {
    let key = address(1);
    use_up(&limiter, key, start()).await;
    let decision = limiter.check(key, quota(50, 1000), start()).await.unwrap();
    assert_eq!((decision.is_allowed, decision.remaining), (true, 44));
}

async fn a_lowered_quota_holds_at_the_next_request(limiter: Limiter) {
    let key = address(1);
    use_up(&limiter, key, start()).await;
    let decision = limiter.check(key, quota(2, 1000), start()).await.unwrap();
    assert_eq!((decision.is_allowed, decision.remaining), (false, 0));
    assert_eq!(decision.retry_after, Duration::from_secs(2));
}

async fn a_clock_that_goes_back_neither_locks_a_caller_out_nor_gives_it_more(limiter: Limiter) {
    let key = address(1);
    let hour = Duration::from_secs(3600);
    use_up(&limiter, key, start().plus(hour)).await;
    assert!(!ask(&limiter, key, start()).await.is_allowed);
    assert!(ask(&limiter, key, after(200)).await.is_allowed);
}

async fn requests_at_one_instant_from_many_tasks_never_exceed_the_quota(limiter: Limiter) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let limiter = Arc::clone(&limiter);
        tasks.spawn(async move {
            let mut allowed = 0;
            for _ in 0..200 {
                let decision = limiter.check(address(1), quota(300, 60_000), start()).await;
                allowed += u32::from(decision.unwrap().is_allowed);
            }
            allowed
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), 300);
}

macro_rules! contract {
    ($(#[$condition:meta])? $limiter:ident, $make:expr; $($promise:ident)*) => {
        $(#[$condition])?
        mod $limiter {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                if let Some(limiter) = $make {
                    super::$promise(limiter).await;
                }
            })*
        }
    };
    ($($(#[$condition:meta])? $limiter:ident: $make:expr;)*) => {$(
        contract! { $(#[$condition])? $limiter, $make;
            d01_one_request_more_than_the_quota_is_refused
            d01_the_next_window_works_again
            each_decision_says_what_is_left_and_when_it_is_whole_again
            after_the_wait_that_was_named_exactly_one_more_is_allowed
            refused_requests_do_not_count
            keys_of_every_kind_are_counted_apart
            a_raised_quota_holds_at_the_next_request
            a_lowered_quota_holds_at_the_next_request
            a_clock_that_goes_back_neither_locks_a_caller_out_nor_gives_it_more
            requests_at_one_instant_from_many_tasks_never_exceed_the_quota
        }
    )*};
}

contract! {
    local: Some(std::sync::Arc::new(backplane::LocalRateLimiter::default()));
    #[cfg(feature = "redis")]
    redis: crate::redis::limiter().await;
}
