//! A real Redis server: what the contracts are tried on, and what it promises besides.

pub(crate) mod server;
mod sharing;
pub(crate) mod bus;
mod memory;
mod equality;
mod outage;
mod access;
mod encryption;
mod sentinel;

use std::{env, sync::Arc, time::Duration};

use async_trait::async_trait;
use backplane::{RedisBackplane, RedisOptions, RedisStatus};
use model::{Clock, Decision, LimitKey, Quota, RateLimiter, Result, Timestamp};
use tokio::time::timeout;

use crate::fixture::start;

/// How long a change may be waited for; reached only when it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands still: nothing here reads it but for the moment of a change.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        start()
    }
}

/// Opens a backplane without waiting for its connection.
fn open(options: &RedisOptions) -> RedisBackplane {
    RedisBackplane::open(options, Arc::new(Still)).unwrap()
}

/// Options with names of their own, and with time enough for a machine under load.
fn options(url: &str) -> RedisOptions {
    let name = tempfile::Builder::new().prefix("backplane-").tempdir().unwrap();
    let mut options = RedisOptions::new(url);
    options.key_prefix = format!("{}:", name.path().file_name().unwrap().display());
    options.response_limit = Duration::from_secs(20);
    options.connect_limit = Duration::from_secs(20);
    options
}

/// Waits until processes count together.
async fn until_shared(backplane: &RedisBackplane) {
    until(backplane, RedisStatus::is_shared).await;
}

/// Waits until this process counts alone, and returns why.
async fn until_away(backplane: &RedisBackplane) -> String {
    match until(backplane, |status| !status.is_shared()).await {
        RedisStatus::Away { reason, .. } => reason,
        RedisStatus::Shared { .. } => String::new(),
    }
}

async fn until(backplane: &RedisBackplane, wanted: fn(&RedisStatus) -> bool) -> RedisStatus {
    let mut status = backplane.status();
    let reached = timeout(PATIENCE, status.wait_for(wanted)).await;
    reached.expect("the status didn't change").unwrap().clone()
}

/// A limiter for which only Redis decides: anything else fails the test.
struct Shared(RedisBackplane);

#[async_trait]
impl RateLimiter for Shared {
    async fn check(&self, key: LimitKey, quota: Quota, now: Timestamp) -> Result<Decision> {
        let decision = self.0.check(key, quota, now).await;
        assert_eq!(self.0.local_decisions(), 0, "Redis went away");
        decision
    }
}

/// The limiter of the contract, on the server that the environment names; `None` where there is none.
pub(crate) async fn limiter() -> Option<Arc<dyn RateLimiter>> {
    let url = setting("REDIS_URL")?;
    let backplane = open(&options(&url));
    until_shared(&backplane).await;
    Some(Arc::new(Shared(backplane)))
}

/// A setting of the environment. Without it a test says that it is skipped; in CI that is a failure.
pub(crate) fn setting(name: &str) -> Option<String> {
    let value = variable(name);
    if value.is_none() {
        let is_ci = variable("CI").is_some_and(|ci| !["", "0", "false"].contains(&ci.as_str()));
        assert!(!is_ci, "{name} is not set: run the tests by `cargo xtask test`");
        eprintln!("SKIPPED: {name} is not set; `cargo xtask services -- cargo nextest run` sets it");
    }
    value
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment where the server is"
)]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
