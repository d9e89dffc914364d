//! A store that fails, or waits, where a test says so, and is the embedded store everywhere else.

use std::{
    any::Any,
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{
    AccessChanges, AccessLog, AccessMark, Account, ApiKey, CallStatistics, Cancelled, CheckedPassword, Claim,
    ClaimRequest, Claimed, Error, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStore,
    FoldedText, Hold as TaskHold, IdempotencyKey, IdempotencyStore, KeyChange, KeyHash, KeyId, KeyOwner,
    KeyPrefix, KeySort, KeyStore, KeyUsage, NewAccount, NewTask, Page, PageRequest, PasswordReplacement,
    Progress, QueueDepth, Recurrence, RecurrenceChange, Released, Renewal, RequestDigest, Result, Rotation,
    ScheduleStore, SecurityEvent, Session, SessionId, SessionStore, Settled, SignInFailures, Store,
    Submitted, Task, TaskChange, TaskEnding, TaskFilter, TaskId, TaskOverview, TaskQueue, TaskSort,
    TaskStatus, TaskStore, Timestamp, ToolName, User, UserChange, UserFilter, UserId, UserOverview, UserSort,
    UserStore, WorkerId,
};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

/// A method's name.
pub(crate) type Method = &'static str;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has its effect, and its caller is told.
    Done,
    /// It has no effect, and its caller is told so.
    Refused,
    /// It has its effect, and its caller is told that something failed.
    Forgotten,
    /// It has its effect, and its caller never hears of it.
    Unheard,
}

/// Says when each call happens, and what becomes of it.
#[async_trait]
pub(crate) trait Director: Send + Sync {
    /// Waits until the call may happen.
    async fn admit(&self, method: Method) -> Fate;

    /// Hears that a call that was admitted has met its fate, and what it gave: `None` when it gave nothing, or was
    /// dropped before.
    fn ended(&self, given: Option<&dyn Any>);
}

/// Tells the director that a call has met its fate, even when it is dropped before.
struct Directed<'a>(Option<&'a dyn Director>);

impl Directed<'_> {
    fn end(mut self, given: Option<&dyn Any>) {
        if let Some(director) = self.0.take() {
            director.ended(given);
        }
    }
}

impl Drop for Directed<'_> {
    fn drop(&mut self) {
        if let Some(director) = self.0 {
            director.ended(None);
        }
    }
}

/// Wraps a store.
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    calls: AtomicUsize,
    failing_call: AtomicUsize,
    failing: Mutex<HashMap<Method, usize>>,
    forgetful: Mutex<HashMap<Method, usize>>,
    held: Mutex<HashMap<Method, Arc<Hold>>>,
    director: Option<Arc<dyn Director>>,
    is_shared: bool,
    /// Whose access changed, on a shared store.
    noted: Mutex<Vec<UserId>>,
}

/// A method whose calls wait.
pub(crate) struct Hold {
    reached: Semaphore,
    released: Semaphore,
}

impl Hold {
    /// Waits until a call has come this far.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Lets one call go on.
    pub(crate) fn release(&self) {
        self.released.add_permits(1);
    }
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            calls: AtomicUsize::new(0),
            failing_call: AtomicUsize::new(usize::MAX),
            failing: Mutex::default(),
            forgetful: Mutex::default(),
            held: Mutex::default(),
            director: None,
            is_shared: inner.is_shared(),
            noted: Mutex::default(),
            inner,
        }
    }

    /// A store that says of itself that others use it too.
    pub(crate) fn shared(inner: Arc<dyn Store>) -> Self {
        Self {
            is_shared: true,
            ..Self::new(inner)
        }
    }

    /// A store whose calls are directed, and that says of itself whether others use it too.
    pub(crate) fn directed(inner: Arc<dyn Store>, director: Arc<dyn Director>, is_shared: bool) -> Self {
        Self {
            director: Some(director),
            is_shared,
            ..Self::new(inner)
        }
    }

    /// Lets the next call of a method fail without an effect.
    pub(crate) fn fail(&self, method: Method) {
        *self.failing.lock().entry(method).or_default() += 1;
    }

    /// Lets the next call of a method have its effect, and then say that it failed: its caller can't know.
    pub(crate) fn forget(&self, method: Method) {
        *self.forgetful.lock().entry(method).or_default() += 1;
    }

    /// Lets the `nth` call from now on fail without an effect, whichever it is; 0 is the next.
    pub(crate) fn fail_nth(&self, nth: usize) {
        self.failing_call
            .store(self.calls.load(Ordering::SeqCst) + nth, Ordering::SeqCst);
    }

    /// Lets nothing fail any more; tells whether a call failed since [`Self::fail_nth`].
    pub(crate) fn heal(&self) -> bool {
        let failing = self.failing_call.swap(usize::MAX, Ordering::SeqCst);
        self.calls.load(Ordering::SeqCst) > failing
    }

    /// Lets every call of a method wait before it has an effect.
    pub(crate) fn hold(&self, method: Method) -> Arc<Hold> {
        let hold = Arc::new(Hold {
            reached: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        self.held.lock().insert(method, Arc::clone(&hold));
        hold
    }

    /// Waits for a call's turn, and lets it happen if it is to.
    async fn call<T: 'static>(&self, method: Method, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fate = self.fate_of(method).await;
        let directed = Directed(self.director.as_deref());
        if fate == Fate::Refused {
            return Err(Error::unavailable("the store fails on purpose"));
        }
        let given = call.await;
        directed.end(given.as_ref().ok().map(|given| given as &dyn Any));
        match fate {
            Fate::Forgotten if given.is_ok() => {
                Err(Error::unavailable("the store fails on purpose, after the fact"))
            }
            Fate::Unheard => pending().await,
            Fate::Done | Fate::Refused | Fate::Forgotten => given,
        }
    }

    async fn fate_of(&self, method: Method) -> Fate {
        if let Some(director) = &self.director {
            return director.admit(method).await;
        }
        let hold = self.held.lock().get(method).cloned();
        if let Some(hold) = hold {
            hold.reached.add_permits(1);
            hold.released.acquire().await.unwrap().forget();
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if take(&self.failing, method) || call == self.failing_call.load(Ordering::SeqCst) {
            Fate::Refused
        } else if take(&self.forgetful, method) {
            Fate::Forgotten
        } else {
            Fate::Done
        }
    }
}

/// Takes one of the failures that a method has before it.
fn take(ahead: &Mutex<HashMap<Method, usize>>, method: Method) -> bool {
    match ahead.lock().get_mut(method) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

macro_rules! forward {
    ($port:ident { $(fn $name:ident($($argument:ident: $kind:ty),*) -> $given:ty;)* }) => {
        #[async_trait]
        impl $port for Faulty {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$given> {
                self.call(stringify!($name), self.inner.$name($($argument),*)).await
            })*
        }
    };
}

forward! { UserStore {
    fn create_user(account: &NewAccount) -> ();
    fn create_first_admin(account: &NewAccount) -> ();
    fn has_admin() -> bool;
    fn find_user(id: UserId) -> Option<User>;
    fn find_account(id: UserId) -> Option<Account>;
    fn find_account_by_email(email: &FoldedText) -> Option<Account>;
    fn list_users(filter: &UserFilter, page: &PageRequest<UserSort>) -> Page<User>;
    fn update_user(id: UserId, change: &UserChange, now: Timestamp) -> Option<User>;
    fn delete_user(id: UserId) -> Option<User>;
    fn set_password(id: UserId, password: &PasswordReplacement, event: &SecurityEvent) -> bool;
    fn user_overview(now: Timestamp, days: u16) -> UserOverview;
} }

forward! { SessionStore {
    fn open_session(session: &Session, checked: &CheckedPassword) -> bool;
    fn find_session(id: SessionId) -> Option<Session>;
    fn rotate_session(renewal: &Renewal, reuse_event: &SecurityEvent) -> Rotation;
    fn close_session(id: SessionId) -> bool;
    fn close_sessions(user_id: UserId) -> u64;
    fn sign_in_failures(email: &FoldedText) -> SignInFailures;
    fn record_sign_in_failure(
        email: &FoldedText,
        now: Timestamp,
        forgotten_before: Timestamp,
        event: Option<&SecurityEvent>
    ) -> SignInFailures;
    fn list_security_events(user_id: UserId, page: &PageRequest<()>) -> Page<SecurityEvent>;
    fn remove_expired_sessions(now: Timestamp, forgotten_before: Timestamp, limit: u32) -> u64;
} }

forward! { KeyStore {
    fn create_key(key: &ApiKey, hash: &KeyHash, max_live: u32) -> ();
    fn find_key(prefix: &KeyPrefix) -> Option<KeyOwner>;
    fn find_own_key(user_id: UserId, id: KeyId) -> Option<ApiKey>;
    fn list_keys(user_id: UserId, page: &PageRequest<KeySort>) -> Page<ApiKey>;
    fn update_key(seen: &ApiKey, change: &KeyChange) -> Option<ApiKey>;
    fn revoke_key(user_id: UserId, id: KeyId) -> Option<ApiKey>;
    fn record_key_usage(usage: &[KeyUsage]) -> ();
} }

forward! { ExecutionStore {
    fn record_execution(execution: Execution) -> ();
    fn complete_execution(id: ExecutionId, outcome: ExecutionOutcome, duration: Duration) -> ();
    fn find_execution(id: ExecutionId, owner: Option<UserId>) -> Option<Execution>;
    fn list_executions(filter: &ExecutionFilter, page: &PageRequest<()>) -> Page<Execution>;
    fn close_interrupted_executions(accepted_before: Timestamp, limit: u32) -> u64;
    fn call_statistics(tools: &[ToolName], caller: Option<UserId>) -> Vec<CallStatistics>;
} }

forward! { IdempotencyStore {
    fn claim_idempotency_key(
        key: IdempotencyKey,
        request: RequestDigest,
        now: Timestamp,
        expires_at: Timestamp
    ) -> Claim;
    fn record_answer(key: IdempotencyKey, sealed: Vec<u8>) -> ();
    fn release_idempotency_key(key: IdempotencyKey) -> ();
    fn remove_expired_claims(now: Timestamp, limit: u32) -> u64;
} }

/// Kept here, since the embedded store has nobody to tell.
#[async_trait]
impl AccessLog for Faulty {
    async fn note_access_change(&self, user: UserId) -> Result<()> {
        let noting = async {
            self.noted.lock().push(user);
            Ok(())
        };
        self.call("note_access_change", noting).await
    }

    async fn access_changes(&self, mark: &AccessMark) -> Result<AccessChanges> {
        let reading = async {
            let noted = self.noted.lock();
            let seen = mark.last.as_ref().map_or(0, |last| last.parse().unwrap());
            Ok(AccessChanges {
                users: noted[seen..].to_vec(),
                is_complete: mark.last.is_some(),
                mark: AccessMark {
                    last: Some(noted.len().to_string()),
                },
            })
        };
        self.call("access_changes", reading).await
    }
}

forward! { TaskStore {
    fn submit_task(task: NewTask) -> Submitted;
    fn submit_tasks(tasks: Vec<NewTask>) -> Vec<Submitted>;
    fn find_task(id: TaskId, owner: Option<UserId>) -> Option<Task>;
    fn list_tasks(filter: &TaskFilter, page: &PageRequest<TaskSort>) -> Page<Task>;
    fn list_attempts(id: TaskId, limit: u16) -> Vec<Execution>;
    fn update_task(id: TaskId, owner: Option<UserId>, change: TaskChange, now: Timestamp) -> Option<Task>;
    fn delete_task(id: TaskId, owner: Option<UserId>) -> Option<Task>;
    fn cancel_task(id: TaskId, owner: Option<UserId>, now: Timestamp) -> Option<Cancelled>;
    fn retry_task(id: TaskId, owner: Option<UserId>, now: Timestamp) -> Option<Task>;
    fn hasten_task(id: TaskId, owner: Option<UserId>, now: Timestamp) -> Option<Task>;
    fn answer_task(
        id: TaskId,
        owner: Option<UserId>,
        answers: &Map<String, Value>,
        now: Timestamp
    ) -> Option<Task>;
    fn task_overview(owner: Option<UserId>, since: Timestamp, sample: u32) -> TaskOverview;
} }

forward! { TaskQueue {
    fn claim_tasks(request: ClaimRequest) -> Claimed;
    fn renew_leases(worker: WorkerId, holds: &[TaskHold], lease_until: Timestamp) -> Vec<TaskHold>;
    fn finish_task(hold: TaskHold, ending: &TaskEnding) -> TaskStatus;
    fn release_expired(expired_before: Timestamp, now: Timestamp, limit: u16) -> Vec<Released>;
    fn report_progress(hold: TaskHold, progress: Progress, now: Timestamp) -> ();
    fn settle_dependents(now: Timestamp, limit: u16) -> Settled;
    fn remove_finished_tasks(finished_before: Timestamp, limit: u16) -> u64;
    fn queue_depth() -> QueueDepth;
} }

forward! { ScheduleStore {
    fn due_schedules(now: Timestamp, limit: u16) -> (Vec<Task>, Option<Timestamp>);
    fn fire_schedule(id: TaskId, tick: Timestamp, next: Option<Timestamp>, job: Option<NewTask>) -> bool;
    fn change_recurrence(
        id: TaskId,
        owner: Option<UserId>,
        seen: &Recurrence,
        change: RecurrenceChange,
        now: Timestamp
    ) -> Option<Task>;
} }

#[async_trait]
impl Store for Faulty {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn ping(&self) -> Result<Duration> {
        self.call("ping", self.inner.ping()).await
    }

    async fn close(&self) -> Result<()> {
        self.call("close", self.inner.close()).await
    }
}
