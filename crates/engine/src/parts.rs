//! What the engine is made of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use model::{
    Bus, Clock, Entropy, Error, Ids, Observer, Principal, Quota, RateLimiter, Result, Runtime, Secret, Store,
    Timestamp,
};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::{
    accepted::AcceptedCredentials,
    cursor::Cursors,
    password::PasswordHasher,
    pulse::Pulse,
    queue::QueueHandle,
    registry::Registry,
    seal::{Sealer, SealingRoot, sha256},
    token::{TokenUse, Tokens},
    usage::KeyUses,
};

/// The adapters that the engine works on.
#[derive(Clone)]
pub struct Ports {
    /// Everything that must survive.
    pub store: Arc<dyn Store>,
    /// Counts requests.
    pub limiter: Arc<dyn RateLimiter>,
    /// Tells the other processes; only used with a store that they use too.
    pub bus: Arc<dyn Bus>,
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
    /// How long tasks are kept after their end.
    pub task_retention: Duration,
    /// How many tasks are done at once; with 0, this process does none. At most 1,024.
    pub worker_concurrency: u16,
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
    pub(crate) task_retention: Duration,
    pub(crate) worker_concurrency: u16,
    /// The keys of further purposes are derived from it.
    pub(crate) sealing: SealingRoot,
    pub(crate) cursors: Cursors,
    /// Seals the right to make the first admin.
    pub(crate) setup: Sealer,
    pub(crate) passwords: PasswordHasher,
    pub(crate) access_tokens: Tokens,
    pub(crate) refresh_tokens: Tokens,
    /// The SHA-256 of the operator's key, if there is one.
    pub(crate) admin_key: Option<[u8; 32]>,
    /// Who the operator's key stands for.
    pub(crate) admin: Arc<Principal>,
    pub(crate) accepted: AcceptedCredentials,
    pub(crate) key_uses: KeyUses,
    /// Held while key uses are written down, so that none are written twice.
    pub(crate) key_uses_turn: Mutex<()>,
    /// The plugins that can be called.
    pub(crate) plugins: Registry,
    /// Whether each part works, as last seen.
    pub(crate) pulse: Pulse,
    /// What verbs and the worker tell each other about tasks.
    pub(crate) queue: QueueHandle,
    /// Tells other processes; `None` on a store that belongs to this one alone.
    pub(crate) bus: Option<Arc<dyn Bus>>,
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
        settings.require_usable()?;
        let sealing = SealingRoot::new(&settings.sealing_secret);
        let tasks = TaskTracker::new();
        let is_shared = ports.store.is_shared();
        let bus = is_shared.then(|| Arc::clone(&ports.bus));
        let parts = Parts {
            cursors: Cursors::new(&sealing, Arc::clone(&ports.entropy))?,
            setup: sealing.derive("setup", b"")?,
            passwords: settings.password_hasher(&ports, &tasks)?,
            access_tokens: settings.tokens(TokenUse::Access),
            refresh_tokens: settings.tokens(TokenUse::Refresh),
            admin_key: settings.admin_key_digest(),
            admin: Arc::new(Principal::admin_key()),
            accepted: AcceptedCredentials::new(is_shared),
            key_uses: KeyUses::default(),
            key_uses_turn: Mutex::new(()),
            plugins: Registry::new(&ports.runtimes)?,
            pulse: Pulse::default(),
            queue: QueueHandle::new(bus.clone()),
            bus,
            started_at: ports.clock.now(),
            tasks,
            anonymous_quota: settings.anonymous_quota,
            principal_quota: settings.principal_quota,
            task_retention: settings.task_retention,
            worker_concurrency: settings.worker_concurrency,
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

impl Settings {
    /// The fewest bytes of a secret.
    const MIN_SECRET_BYTES: usize = 32;
    /// The most tasks at once.
    const MAX_WORKER_CONCURRENCY: u16 = 1_024;
    /// What an operator's key holds that was copied from an example.
    const SAMPLES: [&'static str; 2] = ["CHANGE-IN-PRODUCTION", "your-"];

    fn require_usable(&self) -> Result<()> {
        let secrets = [
            ("accessTokenSecret", &self.access_token_secret),
            ("refreshTokenSecret", &self.refresh_token_secret),
            ("sealingSecret", &self.sealing_secret),
        ];
        for (name, secret) in secrets {
            if secret.expose().len() < Self::MIN_SECRET_BYTES {
                return Err(Error::invalid(name, "must have at least 32 bytes"));
            }
        }
        let lifetimes = [
            ("accessTokenLifetime", self.access_token_lifetime),
            ("refreshTokenLifetime", self.refresh_token_lifetime),
        ];
        for (name, lifetime) in lifetimes {
            if lifetime < Duration::from_secs(1) {
                return Err(Error::invalid(name, "must be at least a second"));
            }
        }
        if self.worker_concurrency > Self::MAX_WORKER_CONCURRENCY {
            return Err(Error::invalid("workerConcurrency", "must be at most 1024"));
        }
        Ok(())
    }

    fn password_hasher(&self, ports: &Ports, tasks: &TaskTracker) -> Result<PasswordHasher> {
        PasswordHasher::new(
            self.password_cost,
            self.password_workers,
            tasks.clone(),
            Arc::clone(&ports.entropy),
            Arc::clone(&ports.observer),
        )
    }

    fn tokens(&self, used_for: TokenUse) -> Tokens {
        let (secret, lifetime) = match used_for {
            TokenUse::Access => (&self.access_token_secret, self.access_token_lifetime),
            TokenUse::Refresh => (&self.refresh_token_secret, self.refresh_token_lifetime),
        };
        Tokens::new(used_for, secret, lifetime)
    }

    /// An empty key or one from an example is never accepted, whatever let it through to here.
    fn admin_key_digest(&self) -> Option<[u8; 32]> {
        let key = self.admin_api_key.as_ref()?.expose();
        let is_sample = Self::SAMPLES.iter().any(|sample| key.contains(sample));
        (!key.trim().is_empty() && !is_sample).then(|| sha256(&[key.as_bytes()]))
    }
}
