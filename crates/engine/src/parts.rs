//! What the engine is made of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use model::{Clock, Entropy, Ids, Observer, Quota, RateLimiter, Result, Runtime, Secret, Store, Timestamp};
use tokio_util::task::TaskTracker;

use crate::{cursor::Cursors, pulse::Pulse, registry::Registry, seal::SealingRoot};

/// The adapters that the engine works on.
#[derive(Clone)]
pub struct Ports {
    /// Everything that must survive.
    pub store: Arc<dyn Store>,
    /// Counts requests.
    pub limiter: Arc<dyn RateLimiter>,
    /// Every kind of plugin.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hands out identifiers.
    pub ids: Arc<dyn Ids>,
    /// Hands out random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Counts what happens.
    pub observer: Arc<dyn Observer>,
}

/// How the engine is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Signs access tokens; at least 32 bytes.
    pub access_token_secret: Secret,
    /// How long an access token is accepted.
    pub access_token_lifetime: Duration,
    /// Signs refresh tokens; at least 32 bytes.
    pub refresh_token_secret: Secret,
    /// How long a refresh token is accepted.
    pub refresh_token_lifetime: Duration,
    /// Seals cursors and recorded answers; at least 32 bytes.
    pub sealing_secret: Secret,
    /// The operator's key, if there is one.
    pub admin_api_key: Option<Secret>,
    /// The cost of bcrypt: 4 to 16.
    pub password_cost: u8,
    /// How many passwords are hashed at once.
    pub password_workers: usize,
    /// What one address may ask without a credential.
    pub anonymous_quota: Quota,
    /// What one account may ask, unless its key brings its own limit.
    pub principal_quota: Quota,
}

/// From where a request came.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The network address, when there is one.
    pub ip_address: Option<IpAddr>,
    /// What the caller's program calls itself; cut to 256 characters.
    pub user_agent: Option<String>,
}

/// Everything that the product does. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) parts: Arc<Parts>,
}

/// What the verbs work with: the ports, and what is held in memory between requests.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) anonymous_quota: Quota,
    pub(crate) principal_quota: Quota,
    /// The keys of further purposes are derived from it.
    pub(crate) sealing: SealingRoot,
    pub(crate) cursors: Cursors,
    /// The plugins that can be called.
    pub(crate) plugins: Registry,
    /// Whether each part works, as last seen.
    pub(crate) pulse: Pulse,
    /// When this engine was put together: what the history holds as running from before is interrupted.
    pub(crate) started_at: Timestamp,
    /// Work that must outlive a dropped future; closing the engine waits for it.
    pub(crate) tasks: TaskTracker,
}

impl Engine {
    /// Puts the engine together.
    ///
    /// # Errors
    /// `Invalid` when a setting or a plugin can't be used (two plugins of one name, a schema that doesn't compile).
    pub fn new(ports: Ports, settings: Settings) -> Result<Self> {
        let sealing = SealingRoot::new(&settings.sealing_secret);
        let parts = Parts {
            cursors: Cursors::new(&sealing, Arc::clone(&ports.entropy))?,
            plugins: Registry::new(&ports.runtimes)?,
            pulse: Pulse::default(),
            started_at: ports.clock.now(),
            tasks: TaskTracker::new(),
            anonymous_quota: settings.anonymous_quota,
            principal_quota: settings.principal_quota,
            sealing,
            store: ports.store,
            limiter: ports.limiter,
            clock: ports.clock,
            ids: ports.ids,
            entropy: ports.entropy,
            observer: ports.observer,
        };
        Ok(Self {
            parts: Arc::new(parts),
        })
    }
}
