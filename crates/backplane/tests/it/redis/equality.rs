//! Redis decides as this process does by itself, number for number.

use std::time::Duration;

use backplane::LocalRateLimiter;
use model::{Quota, Timestamp};
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;

use super::limiter;
use crate::fixture::{address, after, quota};

/// Whose request, when it comes (milliseconds from the start), and what its quota is then.
fn any_request() -> impl Strategy<Value = (u32, u64, Quota)> {
    let any_quota = (1..20_u32, 1..5_000_u64).prop_map(|(requests, window)| quota(requests, window));
    (0..3_u32, 0..8_000_u64, any_quota)
}

/// Requests whose moments never go back by more than a second, which both take for the same moment.
fn any_requests() -> impl Strategy<Value = Vec<(u32, Timestamp, Quota)>> {
    prop::collection::vec(any_request(), 1..60).prop_map(|requests| {
        let mut latest = 0_u64;
        let placed = requests.into_iter().map(|(who, moment, quota)| {
            let moment = moment.max(latest.saturating_sub(1_000));
            latest = latest.max(moment);
            (who, after(moment), quota)
        });
        placed.collect()
    })
}

#[test]
fn whatever_is_asked_both_decide_the_same() {
    let runtime = Runtime::new().unwrap();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let outcome = runner.run(&any_requests(), |requests| {
        let local = LocalRateLimiter::default();
        runtime.block_on(async {
            let Some(shared) = limiter().await else {
                return Ok(());
            };
            for (who, moment, quota) in requests {
                let decision = shared.check(address(who), quota, moment).await.unwrap();
                prop_assert_eq!(decision, local.decide(address(who), quota, moment));
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

#[tokio::test]
async fn quotas_out_of_range_are_brought_into_it() {
    let Some(shared) = limiter().await else { return };
    let none = Quota {
        requests: 0,
        window: Duration::ZERO,
    };
    let decision = shared.check(address(1), none, after(0)).await.unwrap();
    assert_eq!((decision.is_allowed, decision.limit), (true, 1));
    let huge = Quota {
        requests: u32::MAX,
        window: Duration::MAX,
    };
    let decision = shared.check(address(2), huge, Timestamp::MAX).await.unwrap();
    assert_eq!((decision.is_allowed, decision.remaining), (true, u32::MAX - 1));
    let lowered = shared
        .check(address(2), quota(1, 1), Timestamp::MAX)
        .await
        .unwrap();
    assert!(!lowered.is_allowed);
}
