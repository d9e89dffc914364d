//! A whole engine for one test.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use backplane::{LocalBus, LocalRateLimiter};
use engine::{Client, Engine, PageQuery, Ports, Presented, Registration, Settings, SignIn, SignedIn};
use model::{
    Clock, Direction, Email, Entropy, Error, ErrorCode, Ids, Observation, Observer, PageLimit, Principal,
    Quota, Role, Runtime, Secret, Sort, Store, Timestamp, Username,
};
use stores::{SqliteOptions, SqliteStore};
use tempfile::TempDir;
use uuid::Uuid;

use crate::ether::Ether;

/// A directory in memory, where there is one: what a power loss leaves is the store's own tests' affair.
pub(crate) fn quick_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Everybody's password, where it doesn't matter.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The operator's key, where there is one.
pub(crate) const ADMIN_KEY: &str = "the operator's key for tests";

/// A clock that stands still until it is moved.
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    pub(crate) fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    /// Moves the clock on.
    pub(crate) fn advance(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub(crate) fn set_back(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.0.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Identifiers of version 7 that grow: the clock's milliseconds, then a counter.
pub(crate) struct CountingIds {
    clock: Arc<ManualClock>,
    next: AtomicU64,
}

impl CountingIds {
    /// Identifiers that differ from those of others that count from elsewhere.
    pub(crate) fn counting_from(next: u64, clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            next: AtomicU64::new(next),
        }
    }
}

impl Ids for CountingIds {
    fn next(&self) -> Uuid {
        const VERSION: u128 = 7 << 76;
        const VARIANT: u128 = 2 << 62;
        let millis = u128::try_from(self.clock.now().as_millis()).unwrap();
        let counter = u128::from(self.next.fetch_add(1, Ordering::SeqCst));
        Uuid::from_u128((millis << 80) | VERSION | VARIANT | counter)
    }
}

/// Bytes that look random and are the same in each run.
pub(crate) struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The bytes of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            let mut word = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Keeps every observation as a line.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<String>>);

impl Seen {
    /// How many observations begin with `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(text)).count()
    }
}

impl Observer for Seen {
    fn observe(&self, observation: Observation<'_>) {
        self.0.lock().unwrap().push(format!("{observation:?}"));
    }
}

/// Puts something between the engine and its store.
pub(crate) type WrapStore = Box<dyn Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync>;

/// What a world is made of, before it is.
pub(crate) struct WorldBuilder {
    /// How the engine is set.
    pub(crate) settings: Settings,
    /// Its plugins.
    pub(crate) runtimes: Vec<Arc<dyn Runtime>>,
    /// What stands between it and its store.
    pub(crate) wrap_store: WrapStore,
    /// What carries its notices to other engines, if anything does.
    pub(crate) ether: Option<Ether>,
}

impl Default for WorldBuilder {
    fn default() -> Self {
        let quota = |requests| Quota {
            requests,
            window: Duration::from_secs(900),
        };
        let settings = Settings {
            access_token_secret: Secret::new("the secret of access tokens, for tests"),
            access_token_lifetime: Duration::from_secs(3600),
            refresh_token_secret: Secret::new("the secret of refresh tokens, for tests"),
            refresh_token_lifetime: Duration::from_secs(24 * 3600),
            sealing_secret: Secret::new("the secret of everything sealed, for tests"),
            admin_api_key: Some(Secret::new(ADMIN_KEY)),
            password_cost: 4,
            password_workers: 2,
            anonymous_quota: quota(100),
            principal_quota: quota(1000),
            task_retention: Duration::from_secs(30 * 24 * 3600),
            worker_concurrency: 8,
        };
        Self {
            settings,
            runtimes: Vec::new(),
            wrap_store: Box::new(|store| store),
            ether: None,
        }
    }
}

impl WorldBuilder {
    /// Makes the world, on an empty store.
    pub(crate) fn build(self) -> World {
        let clock = Arc::new(ManualClock::at("2026-06-01T12:00:00Z".parse().unwrap()));
        let ids = Arc::new(CountingIds::counting_from(1, Arc::clone(&clock)));
        let surroundings = Surroundings {
            entropy: Arc::new(SeededEntropy::new(42)),
            seen: Arc::default(),
            directory: quick_directory(),
            builder: self,
            clock,
            ids,
        };
        surroundings.start()
    }
}

/// What outlives a restart.
struct Surroundings {
    builder: WorldBuilder,
    clock: Arc<ManualClock>,
    ids: Arc<CountingIds>,
    entropy: Arc<SeededEntropy>,
    seen: Arc<Seen>,
    directory: TempDir,
}

impl Surroundings {
    fn start(self) -> World {
        let store = SqliteStore::open(self.directory.path(), &SqliteOptions::default()).unwrap();
        let store = (self.builder.wrap_store)(Arc::new(store));
        World {
            engine: self.engine_on(&store),
            clock: Arc::clone(&self.clock),
            seen: Arc::clone(&self.seen),
            store,
            surroundings: self,
        }
    }

    fn engine_on(&self, store: &Arc<dyn Store>) -> Engine {
        let ports = Ports {
            store: Arc::clone(store),
            limiter: Arc::new(LocalRateLimiter::new(1000)),
            bus: match &self.builder.ether {
                Some(ether) => ether.process(),
                None => Arc::new(LocalBus),
            },
            runtimes: self.builder.runtimes.clone(),
            clock: Arc::clone(&self.clock) as _,
            ids: Arc::clone(&self.ids) as _,
            entropy: Arc::clone(&self.entropy) as _,
            observer: Arc::clone(&self.seen) as _,
        };
        Engine::new(ports, self.builder.settings.clone()).unwrap()
    }
}

/// An engine and what it stands on.
pub(crate) struct World {
    /// The engine.
    pub(crate) engine: Engine,
    /// Its store, as the engine sees it.
    pub(crate) store: Arc<dyn Store>,
    /// Its clock.
    pub(crate) clock: Arc<ManualClock>,
    /// What it observed.
    pub(crate) seen: Arc<Seen>,
    surroundings: Surroundings,
}

/// Somebody with an account, who is signed in.
pub(crate) struct Person {
    /// The account and its tokens.
    pub(crate) signed_in: SignedIn,
    /// What the access token stands for.
    pub(crate) principal: Arc<Principal>,
}

impl Person {
    /// The access token.
    pub(crate) fn token(&self) -> &str {
        self.signed_in.tokens.access.expose()
    }

    /// The refresh token.
    pub(crate) fn refresh_token(&self) -> &str {
        self.signed_in.tokens.refresh.expose()
    }
}

impl World {
    /// A world with the usual settings and no plugins.
    pub(crate) fn new() -> Self {
        WorldBuilder::default().build()
    }

    /// Stops the engine and starts another one on the same store.
    pub(crate) async fn restarted(self) -> Self {
        self.restarted_with(|_| {}).await
    }

    /// Stops the engine and starts another one on the same store, set otherwise.
    pub(crate) async fn restarted_with(self, set: impl FnOnce(&mut Settings)) -> Self {
        self.engine.close().await.unwrap();
        let Self {
            engine,
            store,
            mut surroundings,
            ..
        } = self;
        drop((engine, store));
        set(&mut surroundings.builder.settings);
        surroundings.start()
    }

    /// Another engine on the same store, as a second process has one.
    pub(crate) fn another_engine(&self) -> Engine {
        self.surroundings.engine_on(&self.store)
    }

    /// Where the store is.
    pub(crate) fn directory(&self) -> &Path {
        self.surroundings.directory.path()
    }

    /// Somebody with the role `user`, named and addressed after `name`.
    pub(crate) async fn person(&self, name: &str) -> Person {
        self.person_with(name, None).await
    }

    /// Somebody with the role `admin`.
    pub(crate) async fn admin(&self, name: &str) -> Person {
        self.person_with(name, Some(Role::Admin)).await
    }

    /// Somebody with a role.
    pub(crate) async fn person_with(&self, name: &str, role: Option<Role>) -> Person {
        let registration = Registration {
            role,
            ..registration(name)
        };
        let operator = Principal::command_line();
        let signed_in = self
            .engine
            .register(Some(&operator), registration, &Client::default())
            .await
            .unwrap();
        self.present(signed_in).await
    }

    /// Signs somebody in once more.
    pub(crate) async fn sign_in(&self, name: &str) -> Person {
        let signed_in = self.try_sign_in(name, PASSWORD).await.unwrap();
        self.present(signed_in).await
    }

    /// Tries to sign in with the address of `name`.
    pub(crate) async fn try_sign_in(&self, name: &str, password: &str) -> model::Result<SignedIn> {
        let attempt = SignIn {
            email: format!("{name}@example.org"),
            password: Secret::new(password),
        };
        self.engine.sign_in(attempt, &client()).await
    }

    /// Finds out who presents a bearer credential.
    pub(crate) async fn bearer(&self, credential: &str) -> model::Result<Arc<Principal>> {
        self.engine.authenticate(Presented::Bearer(credential)).await
    }

    /// Finds out who presents an API key.
    pub(crate) async fn api_key(&self, credential: &str) -> model::Result<Arc<Principal>> {
        self.engine.authenticate(Presented::ApiKey(credential)).await
    }

    async fn present(&self, signed_in: SignedIn) -> Person {
        let principal = self.bearer(signed_in.tokens.access.expose()).await.unwrap();
        Person { signed_in, principal }
    }
}

/// A registration as anyone sends it.
pub(crate) fn registration(name: &str) -> Registration {
    Registration {
        email: Email::parse(&format!("{name}@example.org")).unwrap(),
        username: Username::parse(name).unwrap(),
        password: Secret::new(PASSWORD),
        role: None,
    }
}

/// A caller with an address.
pub(crate) fn client() -> Client {
    Client {
        ip_address: Some("192.0.2.7".parse().unwrap()),
        user_agent: Some("test".into()),
    }
}

/// The first page of a list, oldest first.
pub(crate) fn first_page<F>(field: F) -> PageQuery<F> {
    PageQuery {
        limit: PageLimit::default(),
        sort: Sort {
            field,
            direction: Direction::Ascending,
        },
        cursor: None,
    }
}

/// The code and message of a refusal: all that a caller learns, beside how long to wait.
pub(crate) fn refusal<T>(result: model::Result<T>) -> (ErrorCode, String) {
    let error: Error = result.err().unwrap();
    (error.code(), error.message().to_owned())
}

/// The code of a refusal.
pub(crate) fn code<T>(result: model::Result<T>) -> ErrorCode {
    refusal(result).0
}
