//! Processes that count together.

use std::sync::Arc;

use backplane::RedisBackplane;
use model::RateLimiter as _;
use tokio::task::JoinSet;

use super::{open, options, server::Server, until_shared};
use crate::fixture::{address, after, quota, start};

/// Two processes on one server.
async fn pair(server: &Server) -> [Arc<RedisBackplane>; 2] {
    let options = options(&server.url());
    let pair = [(); 2].map(|()| Arc::new(open(&options)));
    for process in &pair {
        until_shared(process).await;
    }
    pair
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d03_two_processes_sharing_redis_count_together() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let pair = pair(&server).await;
    let mut tasks = JoinSet::new();
    for process in pair.iter().cycle().take(8).map(Arc::clone) {
        tasks.spawn(async move {
            let mut allowed = 0;
            for _ in 0..100 {
                let decision = process.check(address(1), quota(300, 60_000), start()).await;
                allowed += u32::from(decision.unwrap().is_allowed);
            }
            allowed
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), 300);
    assert_eq!(pair.map(|process| process.local_decisions()), [0, 0]);
}

#[tokio::test]
async fn d03_clocks_that_differ_by_seconds_give_no_more_than_the_quota() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let [behind, ahead] = pair(&server).await;
    let mut allowed = 0;
    for _ in 0..50 {
        for (process, clock) in [(&behind, start()), (&ahead, after(9_000))] {
            let decision = process.check(address(1), quota(10, 60_000), clock).await;
            allowed += u32::from(decision.unwrap().is_allowed);
        }
    }
    // Nine seconds pass once, however often the two take turns; they are worth one request and a half.
    assert!((10..=11).contains(&allowed), "{allowed}");
}

#[tokio::test]
async fn installations_with_other_prefixes_count_apart() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    for _ in 0..2 {
        let process = open(&options(&server.url()));
        until_shared(&process).await;
        let decision = process.check(address(1), quota(1, 60_000), start()).await;
        assert!(decision.unwrap().is_allowed);
    }
}

#[tokio::test]
async fn d01_a_bucket_is_forgotten_when_its_quota_is_whole_again() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let options = options(&server.url());
    let process = open(&options);
    until_shared(&process).await;
    let decision = process
        .check(address(1), quota(2, 60_000), start())
        .await
        .unwrap();
    assert_eq!(decision.reset_after.as_secs(), 30);
    let name = format!("{}limit:address:0.0.0.1", options.key_prefix);
    let left = server.tell(&format!("PTTL {name}"));
    let left: u64 = left.trim_start_matches(':').parse().unwrap();
    assert!((1..=40_000).contains(&left), "{left}");
    assert_eq!(server.tell("DBSIZE"), ":2", "the bucket and the probe");
}

#[tokio::test]
async fn a_value_of_another_kind_under_a_name_of_ours_is_replaced() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let options = options(&server.url());
    let process = open(&options);
    until_shared(&process).await;
    let name = format!("{}limit:admin-key", options.key_prefix);
    for foreign in [format!("SADD {name} 1"), format!("SET {name} word")] {
        server.tell(&foreign);
        let decision = process
            .check(model::LimitKey::AdminKey, quota(2, 60_000), start())
            .await;
        assert_eq!(decision.unwrap().remaining, 1);
        server.tell(&format!("DEL {name}"));
    }
    assert_eq!(process.local_decisions(), 0);
}
