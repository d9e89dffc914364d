//! What processes share beside the store, and may lose: each has it for itself, or all have it on Redis.

use std::sync::Arc;
#[cfg(feature = "redis")]
use std::time::Duration;

use backplane::{LocalBus, LocalRateLimiter};
#[cfg(feature = "redis")]
use backplane::{RedisBackplane, RedisOptions, RedisStatus};
use model::{Bus, Clock, RateLimiter, SharedMemory, Timestamp};

use crate::config::Config;

/// How long a connection is waited for at the start.
#[cfg(feature = "redis")]
const SETTLING_LIMIT: Duration = Duration::from_secs(1);

/// What processes share beside the store. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Kind);

#[derive(Clone)]
enum Kind {
    Local(Arc<LocalRateLimiter>),
    #[cfg(feature = "redis")]
    Redis(Arc<RedisBackplane>),
}

/// How it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheState {
    /// `local` or `redis`.
    pub kind: &'static str,
    /// Whether what should be shared is shared; a local one always is all that it should be.
    pub is_connected: bool,
    /// Since when that is so; nothing for a local one.
    pub since: Option<Timestamp>,
    /// Why it isn't connected, without addresses and secrets.
    pub reason: Option<String>,
    /// How many requests this process decided on alone although it should have been together with others.
    pub local_decisions: u64,
}

impl Cache {
    /// A cache of this process alone.
    pub(super) fn local() -> Self {
        Self(Kind::Local(Arc::new(LocalRateLimiter::default())))
    }

    /// The cache that the configuration names; it connects by itself, and nobody waits for that.
    ///
    /// What it keeps for processes with other `installation`s is kept apart.
    #[cfg(feature = "redis")]
    pub(super) fn open(config: &Config, installation: &str, clock: &Arc<dyn Clock>) -> model::Result<Self> {
        let Some(url) = &config.shared.redis_url else {
            return Ok(Self::local());
        };
        let password = config.shared.redis_password.as_ref();
        let options = RedisOptions {
            password: password.map(|password| password.expose().to_owned()),
            key_prefix: format!("mcp:{installation}:"),
            ..RedisOptions::new(url.expose())
        };
        let redis = RedisBackplane::open(&options, Arc::clone(clock))?;
        Ok(Self(Kind::Redis(Arc::new(redis))))
    }

    /// The cache that the configuration names.
    #[cfg(not(feature = "redis"))]
    pub(super) fn open(config: &Config, _: &str, _: &Arc<dyn Clock>) -> model::Result<Self> {
        match config.shared.redis_url {
            None => Ok(Self::local()),
            Some(_) => Err(model::Error::invalid(
                "REDIS_URL",
                "is set, and this build has no Redis",
            )),
        }
    }

    /// What counts requests.
    pub(super) fn limiter(&self) -> Arc<dyn RateLimiter> {
        match &self.0 {
            Kind::Local(local) => Arc::<LocalRateLimiter>::clone(local),
            #[cfg(feature = "redis")]
            Kind::Redis(redis) => Arc::<RedisBackplane>::clone(redis),
        }
    }

    /// What carries notices to the other processes.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn Bus> {
        match &self.0 {
            Kind::Local(_) => Arc::new(LocalBus),
            #[cfg(feature = "redis")]
            Kind::Redis(redis) => Arc::<RedisBackplane>::clone(redis),
        }
    }

    /// What processes remember together; nothing for a local one, where each remembers for itself.
    #[must_use]
    pub fn memory(&self) -> Option<Arc<dyn SharedMemory>> {
        match &self.0 {
            Kind::Local(_) => None,
            #[cfg(feature = "redis")]
            Kind::Redis(redis) => Some(Arc::<RedisBackplane>::clone(redis)),
        }
    }

    /// Waits until it is connected, at most a second: who asks this process first should find it together with others.
    pub(super) async fn settle(&self) {
        match &self.0 {
            Kind::Local(_) => {}
            #[cfg(feature = "redis")]
            Kind::Redis(redis) => {
                if !redis.until_connected(SETTLING_LIMIT).await {
                    let reason = self.state().reason;
                    tracing::warn!(
                        reason,
                        "Redis isn't there yet, and is tried again; this process goes on by itself"
                    );
                }
            }
        }
    }

    /// Tells how it is now, without asking anybody.
    #[must_use]
    pub fn state(&self) -> CacheState {
        match &self.0 {
            Kind::Local(_) => CacheState {
                kind: "local",
                is_connected: true,
                since: None,
                reason: None,
                local_decisions: 0,
            },
            #[cfg(feature = "redis")]
            Kind::Redis(redis) => {
                let (is_connected, since, reason) = match redis.status().borrow().clone() {
                    RedisStatus::Shared { since } => (true, since, None),
                    RedisStatus::Away { since, reason } => (false, since, Some(reason)),
                };
                CacheState {
                    kind: "redis",
                    is_connected,
                    since: Some(since),
                    reason,
                    local_decisions: redis.local_decisions(),
                }
            }
        }
    }

    /// Ends the connection, at most 5 s later; to be called when the engine is closed.
    pub async fn close(&self) {
        match &self.0 {
            Kind::Local(_) => {}
            #[cfg(feature = "redis")]
            Kind::Redis(redis) => redis.close().await,
        }
    }
}
