//! Things to store: each is made of a number, and two of one number are equal.

use std::time::Duration;

use model::{
    Account, ActionName, ApiKey, AttemptEnd, CallTry, CatchUp, CheckedPassword, ClaimRequest, ClaimedTask,
    Execution, ExecutionId, ExecutionOutcome, Failure, FoldedText, Job, KeyHash, KeyId, KeyName, KeyPrefix,
    NewTask, PasswordHash, PasswordReplacement, Patience, PluginName, Priority, Recurrence, Role, Scopes,
    SecurityEvent, SecurityEventId, SecurityEventKind, Session, SessionId, Source, Tag, Tags, TaskEnding,
    TaskId, TaskTitle, Timestamp, TokenDigest, ToolName, UniqueKey, User, UserId, WorkerId,
};
use serde_json::json;
use uuid::Uuid;

/// A moment in the middle of a day.
const BEGIN: i64 = 1_770_033_600_000;

pub(crate) fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(BEGIN + millis)
}

/// An identifier of version 7 made at `millis`.
pub(crate) fn uuid(millis: i64, number: u64) -> Uuid {
    let time = u128::try_from(BEGIN + millis).unwrap();
    Uuid::from_u128((time << 80) | (0x7 << 76) | (0x2 << 62) | u128::from(number))
}

pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

pub(crate) fn user_id(number: u64) -> UserId {
    UserId::from_uuid(uuid(count(number), number))
}

pub(crate) fn account(number: u64) -> Account {
    let user = User {
        id: user_id(number),
        email: format!("user{number}@example.org").parse().unwrap(),
        username: format!("user{number}").parse().unwrap(),
        role: Role::User,
        is_active: true,
        is_email_verified: false,
        last_login: None,
        metadata: None,
        created_at: moment(count(number)),
        updated_at: moment(count(number)),
    };
    Account {
        user,
        password_hash: password_hash(number),
    }
}

pub(crate) fn admin(number: u64) -> Account {
    let mut account = account(number);
    account.user.role = Role::Admin;
    account
}

pub(crate) fn password_hash(number: u64) -> PasswordHash {
    PasswordHash::new(format!("$2b$10$hash{number}"))
}

pub(crate) fn checked(number: u64) -> CheckedPassword {
    CheckedPassword {
        hash: password_hash(number),
        renewed: None,
    }
}

/// Sets the password of this number whatever it was before.
pub(crate) fn password(number: u64) -> PasswordReplacement {
    PasswordReplacement {
        hash: password_hash(number),
        replaced: None,
        kept: None,
        counted_as: FoldedText::of("nobody@example.org"),
    }
}

pub(crate) fn digest(number: u64) -> TokenDigest {
    TokenDigest(bytes(number))
}

pub(crate) fn bytes(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(crate) fn session(owner: UserId, number: u64) -> Session {
    Session {
        id: SessionId::from_uuid(uuid(count(number), number)),
        user_id: owner,
        refresh_token: digest(number),
        created_at: moment(count(number)),
        expires_at: moment(1_000_000),
    }
}

pub(crate) fn event(owner: UserId, number: u64) -> SecurityEvent {
    SecurityEvent {
        id: SecurityEventId::from_uuid(uuid(count(number), number)),
        user_id: owner,
        kind: SecurityEventKind::PasswordChanged,
        ip_address: Some("192.0.2.7".into()),
        created_at: moment(count(number)),
    }
}

pub(crate) fn prefix(number: u64) -> KeyPrefix {
    KeyPrefix::parse(&format!("mcp_{number:012}")).unwrap()
}

pub(crate) fn key(owner: UserId, number: u64) -> ApiKey {
    ApiKey {
        id: KeyId::from_uuid(uuid(count(number), number)),
        name: KeyName::parse(&format!("key {}", number % 3)).unwrap(),
        prefix: prefix(number),
        user_id: owner,
        scopes: Scopes::default(),
        is_active: true,
        expires_at: None,
        last_used_at: None,
        usage_count: 0,
        rate_limit: None,
        created_at: moment(count(number)),
    }
}

pub(crate) fn key_hash(number: u64) -> KeyHash {
    KeyHash(bytes(number))
}

pub(crate) fn plugin(name: &str) -> PluginName {
    name.parse().unwrap()
}

pub(crate) fn action(name: &str) -> ActionName {
    name.parse().unwrap()
}

pub(crate) fn tool(name: &str) -> ToolName {
    ToolName {
        plugin: plugin("sample"),
        action: action(name),
    }
}

pub(crate) fn execution(number: u64) -> Execution {
    Execution {
        id: ExecutionId::from_uuid(uuid(count(number), number)),
        plugin: plugin("sample"),
        action: action("echo"),
        payload: json!({ "message": format!("hello {number}") }),
        outcome: ExecutionOutcome::Success(json!({ "message": format!("hello {number}") })),
        duration: Duration::from_micros(1500 + number),
        user_id: Some(user_id(1)),
        task: None,
        source: Source::Rest,
        ip_address: Some("192.0.2.7".into()),
        user_agent: Some("test/1.0".into()),
        created_at: moment(count(number)),
    }
}

pub(crate) fn running(number: u64) -> Execution {
    Execution {
        outcome: ExecutionOutcome::Running,
        duration: Duration::ZERO,
        ..execution(number)
    }
}

pub(crate) fn failure() -> ExecutionOutcome {
    ExecutionOutcome::Failure(Failure {
        code: "plugin_failed".into(),
        message: "it fell over".into(),
    })
}

/// How long the leases of claims last.
pub(crate) const LEASE: i64 = 15_000;

pub(crate) fn task_id(number: u64) -> TaskId {
    TaskId::from_uuid(uuid(count(number), number))
}

/// The number that an id was made of.
pub(crate) fn number_of(id: TaskId) -> u64 {
    u64::try_from(id.as_uuid().as_u128() & ((1 << 62) - 1)).unwrap()
}

/// A task of the first user that only people move.
pub(crate) fn to_do(number: u64) -> NewTask {
    NewTask {
        id: task_id(number),
        user_id: Some(user_id(1)),
        title: TaskTitle::parse(&format!("task {number}")).unwrap(),
        description: None,
        priority: Priority::Medium,
        tags: Tags::default(),
        job: None,
        patience: Patience::default(),
        scheduled_at: None,
        unique_key: None,
        depends_on: Vec::new(),
        recurrence: None,
        schedule_id: None,
        created_at: moment(count(number)),
    }
}

/// A task of the first user that a worker does.
pub(crate) fn job(number: u64) -> NewTask {
    NewTask {
        job: Some(Job {
            plugin: plugin("sample"),
            action: action("echo"),
            payload: json!({ "message": format!("hello {number}") }),
        }),
        ..to_do(number)
    }
}

pub(crate) fn job_of(owner: u64, number: u64) -> NewTask {
    NewTask {
        user_id: Some(user_id(owner)),
        ..job(number)
    }
}

pub(crate) fn job_at(priority: Priority, number: u64) -> NewTask {
    NewTask {
        priority,
        ..job(number)
    }
}

/// A job that waits for others.
pub(crate) fn job_after(depends_on: &[u64], number: u64) -> NewTask {
    NewTask {
        depends_on: depends_on.iter().copied().map(task_id).collect(),
        ..job(number)
    }
}

/// A task of the first user of which jobs come; the first at `next_at`.
pub(crate) fn recurring(number: u64, next_at: i64) -> NewTask {
    NewTask {
        recurrence: Some(Recurrence {
            cron: "30 4 * * MON".into(),
            timezone: "Europe/Berlin".into(),
            catch_up: CatchUp::Once,
            is_paused: false,
            next_at: Some(moment(next_at)),
            last_at: None,
        }),
        ..job(number)
    }
}

pub(crate) fn tags(tags: &[&str]) -> Tags {
    Tags::new(tags.iter().map(|tag| Tag::parse(tag).unwrap())).unwrap()
}

pub(crate) fn unique_key(text: &str) -> Option<UniqueKey> {
    Some(UniqueKey::parse(text).unwrap())
}

pub(crate) fn worker(number: u64) -> WorkerId {
    WorkerId::from_uuid(uuid(0, number))
}

/// What the first worker asks for at `now`.
pub(crate) fn claim(now: i64, limit: u16) -> ClaimRequest {
    ClaimRequest {
        worker: worker(1),
        now: moment(now),
        lease_until: moment(now + LEASE),
        limit,
        room: Vec::new(),
    }
}

/// The call that an attempt is: one for each attempt, so that each has its own id.
pub(crate) fn call_of(claimed: &ClaimedTask, outcome: ExecutionOutcome) -> Execution {
    let attempt = claimed.task.standing.attempt;
    let number = number_of(claimed.task.id) + u64::from(attempt) * 1_000_000;
    let job = claimed.task.job.clone().unwrap();
    Execution {
        plugin: job.plugin,
        action: job.action,
        payload: job.payload,
        outcome,
        user_id: claimed.task.user_id,
        task: Some(CallTry {
            task_id: claimed.task.id,
            attempt,
        }),
        source: Source::Task,
        ip_address: None,
        user_agent: None,
        created_at: claimed.task.started_at.unwrap(),
        ..execution(number)
    }
}

/// An attempt's end with the call that it was, which isn't in the history yet.
pub(crate) fn ending(claimed: &ClaimedTask, end: AttemptEnd, now: i64) -> TaskEnding {
    let outcome = match end {
        AttemptEnd::Succeeded => ExecutionOutcome::Success(json!({ "task": number_of(claimed.task.id) })),
        AttemptEnd::FailedForGood
        | AttemptEnd::Failed { .. }
        | AttemptEnd::HandedBack { .. }
        | AttemptEnd::Asked => failure(),
    };
    TaskEnding {
        end,
        execution: Some(call_of(claimed, outcome)),
        failure: None,
        inquiry: None,
        is_recorded: false,
        now: moment(now),
    }
}
