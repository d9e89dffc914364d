//! A store that forgets calls and keeps everything else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    AccessChanges, AccessLog, AccessMark, Account, ApiKey, CallStatistics, Cancelled, CheckedPassword, Claim,
    ClaimRequest, Claimed, Execution, ExecutionFilter, ExecutionId, ExecutionOutcome, ExecutionStore,
    FoldedText, Hold, IdempotencyKey, IdempotencyStore, KeyChange, KeyHash, KeyId, KeyOwner, KeyPrefix,
    KeySort, KeyStore, KeyUsage, NewAccount, NewTask, Page, PageRequest, PasswordReplacement, Progress,
    QueueDepth, Recurrence, RecurrenceChange, Released, Renewal, RequestDigest, Result, Rotation,
    ScheduleStore, SecurityEvent, Session, SessionId, SessionStore, Settled, SignInFailures, Store,
    Submitted, Task, TaskChange, TaskEnding, TaskFilter, TaskId, TaskOverview, TaskQueue, TaskSort,
    TaskStatus, TaskStore, Timestamp, ToolName, User, UserChange, UserFilter, UserId, UserOverview, UserSort,
    UserStore, WorkerId,
};
use serde_json::{Map, Value};

/// Hands everything on but the recording of calls.
pub(crate) struct Unrecorded(pub(crate) Arc<dyn Store>);

#[async_trait]
impl ExecutionStore for Unrecorded {
    async fn record_execution(&self, _: Execution) -> Result<()> {
        Ok(())
    }

    async fn complete_execution(&self, _: ExecutionId, _: ExecutionOutcome, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn find_execution(&self, id: ExecutionId, owner: Option<UserId>) -> Result<Option<Execution>> {
        self.0.find_execution(id, owner).await
    }

    async fn list_executions(
        &self,
        filter: &ExecutionFilter,
        page: &PageRequest<()>,
    ) -> Result<Page<Execution>> {
        self.0.list_executions(filter, page).await
    }

    async fn close_interrupted_executions(&self, accepted_before: Timestamp, limit: u32) -> Result<u64> {
        self.0.close_interrupted_executions(accepted_before, limit).await
    }

    async fn call_statistics(
        &self,
        tools: &[ToolName],
        caller: Option<UserId>,
    ) -> Result<Vec<CallStatistics>> {
        self.0.call_statistics(tools, caller).await
    }
}

macro_rules! hand_on {
    ($port:ident { $(fn $name:ident($($argument:ident: $kind:ty),*) -> $given:ty;)* }) => {
        #[async_trait]
        impl $port for Unrecorded {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$given> {
                self.0.$name($($argument),*).await
            })*
        }
    };
}

hand_on! { AccessLog {
    fn note_access_change(user: UserId) -> ();
    fn access_changes(mark: &AccessMark) -> AccessChanges;
} }

hand_on! { UserStore {
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

hand_on! { SessionStore {
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

hand_on! { KeyStore {
    fn create_key(key: &ApiKey, hash: &KeyHash, max_live: u32) -> ();
    fn find_key(prefix: &KeyPrefix) -> Option<KeyOwner>;
    fn find_own_key(user_id: UserId, id: KeyId) -> Option<ApiKey>;
    fn list_keys(user_id: UserId, page: &PageRequest<KeySort>) -> Page<ApiKey>;
    fn update_key(seen: &ApiKey, change: &KeyChange) -> Option<ApiKey>;
    fn revoke_key(user_id: UserId, id: KeyId) -> Option<ApiKey>;
    fn record_key_usage(usage: &[KeyUsage]) -> ();
} }

hand_on! { IdempotencyStore {
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

hand_on! { TaskStore {
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

hand_on! { TaskQueue {
    fn claim_tasks(request: ClaimRequest) -> Claimed;
    fn renew_leases(worker: WorkerId, holds: &[Hold], lease_until: Timestamp) -> Vec<Hold>;
    fn finish_task(hold: Hold, ending: &TaskEnding) -> TaskStatus;
    fn release_expired(expired_before: Timestamp, now: Timestamp, limit: u16) -> Vec<Released>;
    fn report_progress(hold: Hold, progress: Progress, now: Timestamp) -> ();
    fn settle_dependents(now: Timestamp, limit: u16) -> Settled;
    fn remove_finished_tasks(finished_before: Timestamp, limit: u16) -> u64;
    fn queue_depth() -> QueueDepth;
} }

hand_on! { ScheduleStore {
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
impl Store for Unrecorded {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    async fn ping(&self) -> Result<Duration> {
        self.0.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
