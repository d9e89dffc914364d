//! Notices between processes, while Redis works and while it doesn't.

use std::{sync::Arc, time::Duration};

use backplane::RedisBackplane;
use model::{Bus as _, BusListener, Heard, Notice};
use tokio::time::timeout;

use super::{PATIENCE, open, options, server::Server, setting};
use crate::bus::{all_kinds, message};

/// Two processes on the server that the environment names; `None` where there is none.
pub(crate) async fn two_processes() -> Option<[Arc<RedisBackplane>; 2]> {
    let options = options(&setting("REDIS_URL")?);
    let processes = [Arc::new(open(&options)), Arc::new(open(&options))];
    for process in &processes {
        assert!(process.until_connected(PATIENCE).await);
    }
    Some(processes)
}

/// Two processes on a server of their own, which hears of hanging soon.
async fn two_on(server: &Server) -> [RedisBackplane; 2] {
    let mut options = options(&server.url());
    options.response_limit = Duration::from_millis(250);
    let processes = [open(&options), open(&options)];
    for process in &processes {
        assert!(process.until_connected(PATIENCE).await);
    }
    processes
}

type Listener = Box<dyn BusListener>;

async fn heard(listener: &mut Listener) -> Heard {
    let next = timeout(PATIENCE, listener.next());
    next.await.expect("nothing is heard")
}

/// Hears until something was missed.
async fn until_missed(listener: &mut Listener) {
    while heard(listener).await != Heard::Missed {}
}

/// Lets one process say a word until the other one hears it.
async fn until_heard(speaker: &RedisBackplane, listener: &mut Listener, word: &str) {
    let wanted = Heard::Notice(message(word));
    let speaking = async {
        loop {
            speaker.announce(message(word));
            if let Ok(heard) = timeout(Duration::from_millis(100), listener.next()).await
                && heard == wanted
            {
                return;
            }
        }
    };
    timeout(PATIENCE, speaking).await.expect("it is never heard");
}

#[tokio::test]
async fn every_listener_of_another_process_hears_every_notice_in_its_order() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let mut listeners = [second.listen(), second.listen()];
    for notice in all_kinds() {
        first.announce(notice);
    }
    for listener in &mut listeners {
        for notice in all_kinds() {
            assert_eq!(heard(listener).await, Heard::Notice(notice));
        }
    }
}

#[tokio::test]
async fn what_a_process_said_itself_it_does_not_hear_between_the_words_of_others() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let (mut own, mut other) = (first.listen(), second.listen());
    first.announce(message("own"));
    assert_eq!(heard(&mut other).await, Heard::Notice(message("own")));
    second.announce(message("of another"));
    assert_eq!(heard(&mut own).await, Heard::Notice(message("of another")));
}

#[tokio::test]
async fn the_longest_message_arrives_and_a_longer_one_is_dropped() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let mut listener = second.listen();
    let longest = message("\n".repeat(Notice::MAX_BODY_BYTES));
    let too_long = message("x".repeat(Notice::MAX_BODY_BYTES + 1));
    for notice in [too_long, longest.clone(), message("last")] {
        first.announce(notice);
    }
    assert_eq!(heard(&mut listener).await, Heard::Notice(longest));
    assert_eq!(heard(&mut listener).await, Heard::Notice(message("last")));
}

#[tokio::test]
async fn installations_with_other_prefixes_hear_nothing_of_each_other() {
    let (Some([first, second]), Some([foreign, _])) = (two_processes().await, two_processes().await) else {
        return;
    };
    let mut listener = second.listen();
    foreign.announce(message("foreign"));
    first.announce(message("own"));
    assert_eq!(heard(&mut listener).await, Heard::Notice(message("own")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_can_be_sent_is_heard_as_missed() {
    let Some([first, second]) = two_processes().await else {
        return;
    };
    let mut listener = second.listen();
    first.announce(message("first"));
    assert_eq!(heard(&mut listener).await, Heard::Notice(message("first")));
    let long = message("x".repeat(Notice::MAX_BODY_BYTES));
    (0..200).for_each(|_| first.announce(long.clone()));
    first.announce(message("last"));
    until_missed(&mut listener).await;
}

#[tokio::test]
async fn g05_killed_and_back_processes_hear_that_they_missed_something_and_then_each_other() {
    let Some(mut server) = Server::started(&[]) else {
        return;
    };
    let [first, second] = two_on(&server).await;
    let mut listener = second.listen();
    until_heard(&first, &mut listener, "before").await;
    server.kill();
    first.announce(message("while it is away"));
    server.start();
    until_missed(&mut listener).await;
    until_heard(&first, &mut listener, "after").await;
}

#[tokio::test]
async fn g05_a_server_that_hangs_keeps_nobody_and_is_heard_again_when_it_answers() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let [first, second] = two_on(&server).await;
    let mut listener = second.listen();
    until_heard(&first, &mut listener, "before").await;
    server.hang();
    assert!(!stays_connected(&second).await);
    first.announce(message("while it hangs"));
    server.go_on();
    until_heard(&first, &mut listener, "after").await;
}

/// Tells whether the connections outlast a time in which each is tried several times.
async fn stays_connected(process: &RedisBackplane) -> bool {
    for _ in 0..600 {
        if !process.until_connected(Duration::ZERO).await {
            return false;
        }
        timeout(Duration::from_millis(100), std::future::pending::<()>())
            .await
            .ok();
    }
    true
}

#[tokio::test]
async fn g05_flushed_the_bus_goes_on() {
    let Some(server) = Server::started(&[]) else {
        return;
    };
    let [first, second] = two_on(&server).await;
    let mut listener = second.listen();
    server.tell("FLUSHALL");
    until_heard(&first, &mut listener, "after").await;
}
