//! Redis away, slow, forgetful or full: limits go on in this process, and move back by themselves.

use std::{sync::Arc, time::Duration};

use backplane::RedisBackplane;
use model::{LimitKey, RateLimiter as _};
use tokio::{sync::watch, task::JoinSet};

use super::{open, options, server::Server, until_away, until_shared};
use crate::fixture::{address, quota, start};

/// Asks once with a hundred requests a minute, and tells what is left.
async fn left(process: &RedisBackplane, key: LimitKey) -> u32 {
    let decision = process.check(key, quota(100, 60_000), start()).await;
    decision.unwrap().remaining
}

#[tokio::test]
async fn g05_down_at_the_start_limits_are_counted_here_and_move_over_when_redis_comes() {
    let Some(mut server) = Server::prepared(&[]) else {
        return;
    };
    let options = options(&server.url());
    let process = open(&options);
    assert_eq!(left(&process, address(1)).await, 99);
    assert_eq!(left(&process, address(1)).await, 98);
    assert_eq!(process.local_decisions(), 2);
    server.start();
    until_shared(&process).await;
    let other = open(&options);
    until_shared(&other).await;
    assert_eq!(left(&process, address(2)).await, 99);
    assert_eq!(left(&other, address(2)).await, 98);
    assert_eq!((process.local_decisions(), other.local_decisions()), (2, 0));
}

#[tokio::test]
async fn g05_killed_mid_run_the_count_goes_on_from_what_this_process_allowed() {
    let Some(mut server) = Server::started(&[]) else {
        return;
    };
    let process = open(&options(&server.url()));
    until_shared(&process).await;
    assert_eq!(left(&process, address(1)).await, 99);
    assert_eq!(left(&process, address(1)).await, 98);
    server.kill();
    assert_eq!(left(&process, address(1)).await, 97);
    until_away(&process).await;
    assert_eq!(process.local_decisions(), 1);
    server.start();
    until_shared(&process).await;
    assert_eq!(left(&process, address(2)).await, 99);
    assert_eq!(process.local_decisions(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g05_killed_and_back_three_times_under_load_every_request_is_decided() {
    let Some(mut server) = Server::started(&[]) else {
        return;
    };
    let process = Arc::new(open(&options(&server.url())));
    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for number in 0..8 {
        let (process, stopped) = (Arc::clone(&process), stopped.clone());
        callers.spawn(async move {
            let mut decided = 0_u64;
            while !*stopped.borrow() {
                let decision = process.check(address(number), quota(5, 1_000), start()).await;
                assert!(decision.is_ok());
                decided += 1;
                tokio::task::yield_now().await;
            }
            decided
        });
    }
    for _ in 0..3 {
        until_shared(&process).await;
        server.kill();
        until_away(&process).await;
        server.start();
    }
    until_shared(&process).await;
    stop.send(true).unwrap();
    let decided: u64 = callers.join_all().await.into_iter().sum();
    assert!(process.local_decisions() > 0 && decided >= process.local_decisions());
}

#[tokio::test]
async fn g05_flushed_it_counts_on_from_nothing_without_going_away() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let process = open(&options(&server.url()));
    until_shared(&process).await;
    assert_eq!(left(&process, address(1)).await, 99);
    assert_eq!(server.tell_all(&["FLUSHALL", "SCRIPT FLUSH"]), ["+OK", "+OK"]);
    assert_eq!(left(&process, address(1)).await, 99);
    assert_eq!(left(&process, address(1)).await, 98);
    assert!(process.status().borrow().is_shared());
    assert_eq!(process.local_decisions(), 0);
}

#[tokio::test]
async fn g05_a_server_that_hangs_is_waited_for_once_and_used_again_when_it_answers() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let patient = options(&server.url());
    let mut options = patient.clone();
    options.response_limit = Duration::from_millis(200);
    let process = open(&options);
    until_shared(&process).await;
    server.hang();
    assert_eq!(left(&process, address(1)).await, 99);
    assert_eq!(until_away(&process).await, "no answer in time");
    assert_eq!(left(&process, address(1)).await, 98);
    server.go_on();
    until_shared(&process).await;
}

#[tokio::test]
async fn g05_nobody_needs_to_ask_for_an_outage_to_be_noticed() {
    let Some(mut server) = Server::started(&[]) else {
        return;
    };
    let process = open(&options(&server.url()));
    until_shared(&process).await;
    server.kill();
    until_away(&process).await;
    assert_eq!(process.local_decisions(), 0);
}

#[tokio::test]
async fn g05_a_full_server_counts_as_away_until_it_has_room() {
    let Some(server) = Server::started(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let process = open(&options(&server.url()));
    until_shared(&process).await;
    server.tell("CONFIG SET maxmemory 1");
    assert_eq!(left(&process, address(1)).await, 99);
    let reason = until_away(&process).await;
    assert!(reason.contains("OOM"), "{reason}");
    server.tell("CONFIG SET maxmemory 0");
    until_shared(&process).await;
}

#[tokio::test]
async fn g05_a_replica_that_takes_no_writes_counts_as_away() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let process = open(&options(&server.url()));
    until_shared(&process).await;
    server.tell("REPLICAOF 127.0.0.1 1");
    assert_eq!(left(&process, address(1)).await, 99);
    let reason = until_away(&process).await;
    assert!(reason.contains("READONLY"), "{reason}");
    server.tell("REPLICAOF NO ONE");
    until_shared(&process).await;
}

#[tokio::test]
async fn closed_it_counts_here_and_leaves_no_connection() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let process = open(&options(&server.url()));
    until_shared(&process).await;
    process.close().await;
    assert_eq!(until_away(&process).await, "closed");
    assert_eq!(left(&process, address(1)).await, 99);
    assert_eq!(process.local_decisions(), 1);
}
