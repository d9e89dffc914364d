//! What processes share on a Redis server: limits, notices, and small things that they may lose.

mod options;
mod place;
mod link;
mod limit;
mod outbox;
mod bus;
mod memory;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::{Clock, Decision, Error, LimitKey, Quota, Result, Timestamp};
use redis::Script;
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{link::RedisStatus, options::RedisOptions};

use self::{bus::Radio, link::Link, memory::Scripts};
use crate::local::LocalRateLimiter;

/// Shares limits, notices and memory with every process that uses the same Redis database and key prefix.
///
/// Limits have a connection of their own, so that nothing large goes before them; notices are heard on a third one.
/// Each comes back by itself.
///
/// As a limiter it decides as [`LocalRateLimiter`] does, number for number. While Redis is away, slow, full or refuses
/// writes, this process counts by itself and goes on trying to reach it, at most 2 s between two attempts; so a
/// request is never refused for Redis's sake, and waits at most once for an answer that doesn't come.
///
/// A key holds some 100 bytes on the server until its quota is whole again, and 10 s more; what bounds them
/// all is the server's `maxmemory`.
pub struct RedisBackplane {
    link: Arc<Link>,
    /// For notices and memory.
    shared: Arc<Link>,
    radio: Arc<Radio>,
    scripts: Scripts,
    local: LocalRateLimiter,
    count: Script,
    key_prefix: String,
    local_decisions: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl RedisBackplane {
    /// How long the end of a connection is waited for.
    const CLOSE_LIMIT: Duration = Duration::from_secs(5);

    /// Begins to connect, on the runtime of the caller, and doesn't wait for it.
    ///
    /// # Errors
    /// `Invalid` when the URL is none of a Redis server, `Bug` outside of an asynchronous runtime.
    pub fn open(options: &RedisOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let runtime = Handle::try_current().map_err(Error::bug)?;
        let link = Link::new(options, Arc::clone(&clock), "limits", options.response_limit)?;
        let shared = Link::new(options, clock, "notices and memory", shared_limit(options))?;
        let (link, shared, radio) = (Arc::new(link), Arc::new(shared), Arc::new(Radio::new(options)?));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn_on(Arc::clone(&link).keep(stop.clone()), &runtime);
        tasks.spawn_on(Arc::clone(&shared).keep(stop.clone()), &runtime);
        let speaking = Arc::clone(&radio).speak(Arc::clone(&shared), stop.clone());
        tasks.spawn_on(speaking, &runtime);
        tasks.spawn_on(Arc::clone(&radio).listen(stop.clone()), &runtime);
        tasks.close();
        Ok(Self {
            link,
            shared,
            radio,
            scripts: Scripts::default(),
            local: LocalRateLimiter::default(),
            count: Script::new(limit::COUNT),
            key_prefix: options.key_prefix.clone(),
            local_decisions: AtomicU64::new(0),
            stop,
            tasks,
        })
    }

    /// Whether Redis is there, now and at every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<RedisStatus> {
        self.link.status()
    }

    /// Waits until limits, notices and memory are all shared, for `longest` at most; tells whether they are.
    pub async fn until_connected(&self, longest: Duration) -> bool {
        let (mut limits, mut shared) = (self.link.status(), self.shared.status());
        let mut listening = self.radio.is_listening();
        let all = async {
            limits.wait_for(RedisStatus::is_shared).await.is_ok()
                && shared.wait_for(RedisStatus::is_shared).await.is_ok()
                && listening.wait_for(|is_listening| *is_listening).await.is_ok()
        };
        timeout(longest, all).await.unwrap_or(false)
    }

    /// How many requests were decided on by this process alone since it was opened.
    #[must_use]
    pub fn local_decisions(&self) -> u64 {
        self.local_decisions.load(Ordering::Relaxed)
    }

    /// Ends the connections, and waits for that, at most 5 s; requests are then counted by this process.
    pub async fn close(&self) {
        self.stop.cancel();
        // What is late ends with the runtime.
        timeout(Self::CLOSE_LIMIT, self.tasks.wait()).await.ok();
    }

    fn decide_alone(&self, key: LimitKey, quota: Quota, now: Timestamp) -> Decision {
        self.local_decisions.fetch_add(1, Ordering::Relaxed);
        self.local.decide(key, quota, now)
    }
}

/// How long notices and memory may take: a second by default, since they may be large.
fn shared_limit(options: &RedisOptions) -> Duration {
    options.response_limit.saturating_mul(4)
}

impl Drop for RedisBackplane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane")
            .field("status", &*self.link.status().borrow())
            .field("local_decisions", &self.local_decisions())
            .finish_non_exhaustive()
    }
}
