//! A world with a lab of plugins, and a store that fails where a test says so.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use engine::{CallRequest, Client, Executed, Listing, PageQuery, Settings};
use model::{
    ActionName, Answers, Credential, Direction, Execution, ExecutionFilter, ExecutionOutcome,
    ExecutionStatus, KeyId, LogReporter, PageLimit, PluginName, Principal, ProgressReporter, Result, Role,
    Scopes, Secret, SessionId, Sort, Source, Store, Subject, UserId,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    ether::Ether,
    faulty::Faulty,
    fixture::{World, WorldBuilder},
    lab::Lab,
};

/// What a test works with.
pub(crate) struct Shop {
    world: World,
    /// The store, where it can be made to fail.
    pub(crate) store: Arc<Faulty>,
    /// The plugins.
    pub(crate) lab: Arc<Lab>,
    built: Arc<Mutex<Option<Arc<Faulty>>>>,
}

impl Deref for Shop {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::open_with(|_| {})
    }

    /// As [`Self::open`], set otherwise.
    pub(crate) fn open_with(set: impl FnOnce(&mut Settings)) -> Self {
        Self::open_on(Faulty::new, None, set)
    }

    /// As [`Self::open`], on a store that other engines use too, which hear of each other.
    pub(crate) fn open_shared(ether: &Ether) -> Self {
        Self::open_on(Faulty::shared, Some(ether.clone()), |_| {})
    }

    fn open_on(
        wrap: fn(Arc<dyn Store>) -> Faulty,
        ether: Option<Ether>,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        let lab = Arc::<Lab>::default();
        let built = Arc::<Mutex<Option<Arc<Faulty>>>>::default();
        let slot = Arc::clone(&built);
        let mut builder = WorldBuilder {
            runtimes: vec![Arc::clone(&lab) as _],
            wrap_store: Box::new(move |store| {
                let faulty = Arc::new(wrap(store));
                *slot.lock().unwrap() = Some(Arc::clone(&faulty));
                faulty
            }),
            ether,
            ..WorldBuilder::default()
        };
        set(&mut builder.settings);
        Self::of(builder.build(), lab, built)
    }

    fn of(world: World, lab: Arc<Lab>, built: Arc<Mutex<Option<Arc<Faulty>>>>) -> Self {
        let store = built.lock().unwrap().take().unwrap();
        Self {
            world,
            store,
            lab,
            built,
        }
    }

    /// Closes the engine and starts another one on what is stored, a second later.
    pub(crate) async fn restarted(self) -> Self {
        self.clock.advance(Duration::from_secs(1));
        drop(self.store);
        Self::of(self.world.restarted().await, self.lab, self.built)
    }

    /// As [`Self::restarted`], with another sealing secret.
    pub(crate) async fn restarted_with_secret(self, secret: &str) -> Self {
        drop(self.store);
        let world = self
            .world
            .restarted_with(|settings| settings.sealing_secret = Secret::new(secret));
        Self::of(world.await, self.lab, self.built)
    }

    /// Calls an action of `lab` by REST.
    pub(crate) async fn call(&self, principal: &Principal, action: &str, payload: Value) -> Result<Executed> {
        let request = request("lab", action, Some(payload));
        self.engine.execute(principal, request, &Client::default()).await
    }

    /// Lets somebody call an action beside what the test does.
    pub(crate) fn begin(&self, plugin: &str, action: &str, payload: Value) -> JoinHandle<Result<Executed>> {
        let engine = self.engine.clone();
        let request = request(plugin, action, Some(payload));
        TaskTracker::new().spawn(async move { engine.execute(&user(1), request, &Client::default()).await })
    }

    /// Everything in the history, newest first.
    pub(crate) async fn history(&self) -> Vec<Execution> {
        let all = ExecutionFilter::default();
        self.listed(&admin(), all, newest_first(100)).await.unwrap().items
    }

    /// What a caller sees of the history.
    pub(crate) async fn listed(
        &self,
        principal: &Principal,
        filter: ExecutionFilter,
        page: PageQuery<()>,
    ) -> Result<Listing<Execution>> {
        self.engine.list_executions(principal, filter, page).await
    }

    /// The only call in the history.
    pub(crate) async fn only_call(&self) -> Execution {
        let mut calls = self.history().await;
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    /// The only call, once it has ended: that may be the work of a task of the engine.
    pub(crate) async fn ended_call(&self) -> Execution {
        let ended = async {
            loop {
                let calls = self.history().await;
                match calls.as_slice() {
                    [only] if only.outcome != ExecutionOutcome::Running => return only.clone(),
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended)
            .await
            .unwrap()
    }

    /// How many calls of an action of `lab` were counted as ended so.
    pub(crate) fn counted(&self, action: &str, status: ExecutionStatus) -> usize {
        self.seen.count(&format!(
            "CallEnded {{ plugin: PluginName(\"lab\"), action: ActionName(\"{action}\"), status: {status:?},"
        ))
    }
}

pub(crate) fn request(plugin: &str, action: &str, payload: Option<Value>) -> CallRequest {
    CallRequest {
        plugin: PluginName::parse(plugin).unwrap(),
        action: ActionName::parse(action).unwrap(),
        payload,
        answers: Answers::default(),
        progress: ProgressReporter::default(),
        log: LogReporter::default(),
        source: Source::Rest,
    }
}

pub(crate) fn newest_first(limit: u16) -> PageQuery<()> {
    PageQuery {
        limit: PageLimit::new(limit).unwrap(),
        sort: Sort {
            field: (),
            direction: Direction::Descending,
        },
        cursor: None,
    }
}

/// A signed-in user; each number is another one.
pub(crate) fn user(number: u128) -> Principal {
    Principal {
        subject: Subject::User(UserId::from_uuid(Uuid::from_u128(number))),
        role: Role::User,
        scopes: Scopes::default(),
        credential: Credential::Session(SessionId::from_uuid(Uuid::from_u128(number))),
        rate_limit: None,
    }
}

/// A key of a user, narrowed to scopes.
pub(crate) fn key(number: u128, scopes: &[&str]) -> Principal {
    let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    Principal {
        scopes: Scopes::new(scopes).unwrap(),
        credential: Credential::Key(KeyId::from_uuid(Uuid::from_u128(number))),
        ..user(number)
    }
}

pub(crate) fn admin() -> Principal {
    Principal {
        role: Role::Admin,
        ..user(1_000)
    }
}
