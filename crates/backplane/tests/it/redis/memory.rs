//! Small things that processes share, while Redis works and while it doesn't.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backplane::RedisBackplane;
use model::{ErrorKind, LogBounds, SharedMemory as _};
use tokio::{task::JoinSet, time::timeout};

use super::{PATIENCE, bus::two_processes, open, options, server::Server};

const MINUTE: Duration = Duration::from_secs(60);

fn keeping(entries: u32) -> LogBounds {
    LogBounds {
        entries,
        lifetime: MINUTE,
    }
}

/// Asks again and again until it is so.
async fn until<F: Future<Output = bool> + Send>(is_so: impl Fn() -> F + Send + Sync) {
    let asking = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asking).await.expect("it doesn't come to that");
}

#[tokio::test]
async fn what_one_process_puts_under_a_key_another_one_gets_until_it_is_removed() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    assert_eq!(second.get("key").await.unwrap(), None);
    first.set("key", b"\0\xff\r\n", MINUTE).await.unwrap();
    assert_eq!(second.get("key").await.unwrap().unwrap(), b"\0\xff\r\n");
    first.set("key", b"", MINUTE).await.unwrap();
    assert_eq!(second.get("key").await.unwrap().unwrap(), b"");
    second.remove("key").await.unwrap();
    second.remove("key").await.unwrap();
    assert_eq!(first.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn a_value_is_gone_when_its_time_is_over() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    first.set("short", b"1", Duration::from_millis(1)).await.unwrap();
    first.set("long", b"2", Duration::MAX).await.unwrap();
    until(|| async { second.get("short").await.unwrap().is_none() }).await;
    assert!(second.get("long").await.unwrap().is_some());
}

#[tokio::test]
async fn a_set_takes_as_many_members_as_it_may_and_those_that_it_has_again() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    for (member, is_in) in [("a", true), ("b", true), ("c", false), ("a", true)] {
        assert_eq!(first.add_member("set", member, 2, MINUTE).await.unwrap(), is_in);
    }
    let mut members = second.members("set").await.unwrap();
    members.sort();
    assert_eq!(members, ["a", "b"]);
    second.remove_member("set", "a").await.unwrap();
    second.remove_member("set", "a").await.unwrap();
    assert!(first.add_member("set", "c", 2, MINUTE).await.unwrap());
    assert_eq!(first.members("none").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_set_lives_on_from_each_time_that_something_is_added() {
    let Some([first, _]) = two_processes().await else {
        return;
    };
    first
        .add_member("set", "a", 9, Duration::from_millis(1))
        .await
        .unwrap();
    until(|| async { first.members("set").await.unwrap().is_empty() }).await;
    first
        .add_member("set", "a", 9, Duration::from_secs(1))
        .await
        .unwrap();
    first.add_member("set", "a", 9, MINUTE).await.unwrap();
    assert_eq!(first.members("set").await.unwrap(), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_many_add_to_at_once_never_has_too_many() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let mut adding = JoinSet::new();
    for number in 0..100 {
        let process = Arc::clone(if number % 2 == 0 { &first } else { &second });
        adding.spawn(async move {
            let member = number.to_string();
            process.add_member("set", &member, 10, MINUTE).await.unwrap()
        });
    }
    let added = adding.join_all().await.into_iter().filter(|is_in| *is_in);
    assert_eq!(added.count(), 10);
    assert_eq!(first.members("set").await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_log_counts_its_entries_from_one_and_gives_those_after_a_number() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    assert_eq!(second.read_log("log", 0, 10).await.unwrap(), (vec![], 0));
    for (number, entry) in [(1, "a"), (2, "b"), (3, "c")] {
        let given = first.append("log", entry.as_bytes(), keeping(10)).await.unwrap();
        assert_eq!(given, number);
    }
    let all = vec![(1, b"a".to_vec()), (2, b"b".to_vec()), (3, b"c".to_vec())];
    assert_eq!(second.read_log("log", 0, 10).await.unwrap(), (all.clone(), 3));
    assert_eq!(
        second.read_log("log", 2, 10).await.unwrap(),
        (all[2..].to_vec(), 3)
    );
    assert_eq!(
        second.read_log("log", 0, 2).await.unwrap(),
        (all[..2].to_vec(), 3)
    );
    assert_eq!(second.read_log("log", 3, 10).await.unwrap(), (vec![], 3));
    assert_eq!(second.read_log("log", 9, 10).await.unwrap(), (vec![], 3));
}

#[tokio::test]
async fn of_a_log_the_latest_entries_are_kept_and_counting_goes_on() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    for _ in 0..20 {
        first.append("log", b"x", keeping(3)).await.unwrap();
    }
    let (entries, last) = second.read_log("log", 0, 100).await.unwrap();
    let numbers: Vec<u64> = entries.iter().map(|(number, _)| *number).collect();
    assert_eq!((numbers, last), (vec![18, 19, 20], 20));
}

#[tokio::test]
async fn a_log_is_gone_a_while_after_its_last_entry_and_counts_from_one_again() {
    let Some([first, _]) = two_processes().await else {
        return;
    };
    let bounds = LogBounds {
        entries: 3,
        lifetime: Duration::from_millis(1),
    };
    first.append("log", b"x", bounds).await.unwrap();
    until(|| async { first.read_log("log", 0, 9).await.unwrap() == (vec![], 0) }).await;
    assert_eq!(first.append("log", b"x", keeping(3)).await.unwrap(), 1);
}

#[tokio::test]
async fn one_reading_of_a_log_gives_a_bounded_number_of_bytes() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let entry = vec![7; 3 * 1024 * 1024];
    for _ in 0..3 {
        first.append("log", &entry, keeping(9)).await.unwrap();
    }
    let (entries, last) = second.read_log("log", 0, 100).await.unwrap();
    assert_eq!((entries.len(), last), (2, 3));
    let (rest, _) = second.read_log("log", 2, 100).await.unwrap();
    assert_eq!(rest, [(3, entry)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_are_added_at_once_have_numbers_without_gaps() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let mut adding = JoinSet::new();
    for number in 0..100_u8 {
        let process = Arc::clone(if number % 2 == 0 { &first } else { &second });
        adding.spawn(async move { process.append("log", &[number], keeping(200)).await.unwrap() });
    }
    let mut numbers = adding.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_is_sent() {
    let Some([first, _]) = two_processes().await else {
        return;
    };
    let (key, value) = ("k".repeat(201), vec![0; 4 * 1024 * 1024 + 1]);
    let member = "m".repeat(2_049);
    let outcomes = [
        first.get(&key).await.map(|_| ()),
        first.set("k", &value, MINUTE).await,
        first.set("k", b"", Duration::ZERO).await,
        first.add_member("k", &member, 1, MINUTE).await.map(|_| ()),
        first.append("k", &value, keeping(1)).await.map(|_| ()),
    ];
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Invalid);
    }
    first.set("k", &value[1..], MINUTE).await.unwrap();
    assert_eq!(first.get("k").await.unwrap().unwrap().len(), value.len() - 1);
}

#[tokio::test]
async fn one_name_stands_for_a_value_a_set_and_a_log_apart() {
    let Some([first, _]) = two_processes().await else {
        return;
    };
    first.set("name", b"value", MINUTE).await.unwrap();
    assert!(first.add_member("name", "member", 1, MINUTE).await.unwrap());
    assert_eq!(first.append("name", b"entry", keeping(1)).await.unwrap(), 1);
    assert_eq!(first.get("name").await.unwrap().unwrap(), b"value");
}

async fn on(server: &Server) -> RedisBackplane {
    let mut options = options(&server.url());
    options.response_limit = Duration::from_millis(250);
    let process = open(&options);
    assert!(process.until_connected(PATIENCE).await);
    process
}

#[tokio::test]
async fn g05_killed_it_fails_at_once_and_works_again_when_the_server_is_back() {
    let Some(mut server) = Server::started(&[]) else {
        return;
    };
    let process = on(&server).await;
    process.set("key", b"1", MINUTE).await.unwrap();
    server.kill();
    for _ in 0..1_000 {
        let refused = process.get("key").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
    }
    server.start();
    until(|| async { process.get("key").await.is_ok_and(|value| value.is_none()) }).await;
}

#[tokio::test]
async fn g05_a_server_that_hangs_is_waited_for_once() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let process = on(&server).await;
    server.hang();
    let begun = Instant::now();
    for _ in 0..1_000 {
        let refused = process.get("key").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
    }
    // Waiting for each would take a quarter of an hour.
    assert!(begun.elapsed() < PATIENCE);
    server.go_on();
    until(|| async { process.get("key").await.is_ok() }).await;
}

#[tokio::test]
async fn g05_flushed_everything_is_forgotten_and_kept_anew() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let process = on(&server).await;
    process.set("key", b"1", MINUTE).await.unwrap();
    process.append("log", b"1", keeping(3)).await.unwrap();
    process.append("log", b"2", keeping(3)).await.unwrap();
    assert_eq!(server.tell_all(&["FLUSHALL", "SCRIPT FLUSH"]), ["+OK", "+OK"]);
    assert_eq!(process.get("key").await.unwrap(), None);
    assert_eq!(process.append("log", b"3", keeping(3)).await.unwrap(), 1);
    assert_eq!(process.read_log("log", 2, 9).await.unwrap(), (vec![], 1));
}
