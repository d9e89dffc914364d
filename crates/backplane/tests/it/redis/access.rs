//! Who may use the server: passwords, and what is told of them.

use std::sync::Arc;

use backplane::{RedisBackplane, RedisOptions};
use model::{ErrorKind, RateLimiter as _};

use super::{Still, open, options, server::Server, until, until_shared};
use crate::fixture::{address, quota, start};

#[tokio::test]
async fn a_password_goes_before_the_one_in_the_url() {
    let Some(server) = Server::started(&["--requirepass", "open sesame"]) else {
        return;
    };
    let mut options = options(&server.url().replace("//", "//:wrong@"));
    options.password = Some("open sesame".to_owned());
    let process = open(&options);
    until_shared(&process).await;
    let decision = process.check(address(1), quota(2, 1_000), start()).await;
    assert_eq!(decision.unwrap().remaining, 1);
    assert_eq!(process.local_decisions(), 0);
}

#[tokio::test]
async fn a_wrong_password_is_named_as_the_reason_and_never_shown() {
    let Some(server) = Server::started(&["--requirepass", "open sesame"]) else {
        return;
    };
    let mut options = options(&server.url());
    options.password = Some("hunter2".to_owned());
    let process = open(&options);
    let status = until(&process, |status| {
        format!("{status:?}").contains("authentication")
    })
    .await;
    assert!(!status.is_shared());
    let shown = format!("{status:?} {process:?} {options:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("127.0.0.1"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_url_of_no_redis_server_is_refused_without_being_shown() {
    for url in [
        "",
        "redis",
        "http://user:hunter2@127.0.0.1",
        "redis://127.0.0.1/x",
    ] {
        let refused = RedisBackplane::open(&RedisOptions::new(url), Arc::new(Still)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}
