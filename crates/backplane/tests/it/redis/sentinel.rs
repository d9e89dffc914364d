//! Servers behind sentinels: the connection follows the primary.

use std::{thread, time::Duration, time::Instant};

use backplane::{RedisBackplane, RedisOptions};
use model::{ErrorKind, RateLimiter as _};

use super::{PATIENCE, Still, open, options, server::Server, until_away, until_shared};
use crate::fixture::{address, quota, start};

const PASSWORD: &str = "open sesame";

/// A primary, its replica, and a sentinel that knows both.
struct Watched {
    primary: Server,
    _replica: Server,
    sentinel: Server,
}

impl Watched {
    fn started() -> Option<Self> {
        let access = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
        let primary = Server::started(&access)?;
        let port = primary.address().port().to_string();
        let follow = ["--replicaof", "127.0.0.1", &port];
        let replica = Server::started(&[&access[..], &follow].concat())?;
        let auth = format!("AUTH \"{PASSWORD}\"");
        wait(|| {
            primary
                .tell_all(&[&auth, "WAIT 1 100"])
                .ends_with(&[":1".to_owned()])
        });
        let mut sentinel = Server::sentinel_of(&primary, "limits", PASSWORD)?;
        sentinel.start();
        wait(|| sentinel.tell("SENTINEL REPLICAS limits") == "*1");
        Some(Self {
            primary,
            _replica: replica,
            sentinel,
        })
    }

    fn options(&self) -> RedisOptions {
        // The first sentinel is away; the second one tells.
        let url = format!(
            "redis-sentinel://127.0.0.1:1,{}/0#limits",
            self.sentinel.address()
        );
        let mut options = options(&url);
        options.password = Some(PASSWORD.to_owned());
        options
    }
}

/// Asks again and again until it is so.
fn wait(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it doesn't come to that");
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn g05_when_the_primary_is_killed_its_successor_is_used() {
    let Some(mut watched) = Watched::started() else {
        return;
    };
    let options = watched.options();
    let process = open(&options);
    until_shared(&process).await;
    watched.primary.kill();
    until_away(&process).await;
    until_shared(&process).await;
    let other = open(&options);
    until_shared(&other).await;
    for (process, remaining) in [(&process, 8), (&other, 7)] {
        let decision = process.check(address(1), quota(9, 60_000), start()).await;
        assert_eq!(decision.unwrap().remaining, remaining);
        assert_eq!(process.local_decisions(), 0);
    }
}

#[tokio::test]
async fn sentinels_without_the_name_of_a_primary_are_refused() {
    for url in [
        "redis-sentinel://127.0.0.1",
        "redis-sentinel://#limits",
        "http-sentinel://a#limits",
    ] {
        let refused = RedisBackplane::open(&options(url), std::sync::Arc::new(Still)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{url}");
    }
}
