//! Fills an embedded store with much of everything, for trying how it is moved.
//!
//! `cargo run -p stores --example fill -- DIRECTORY TASKS CALLS ACCOUNTS`: records are written as a migration writes them, so
//! that it takes seconds. Each number gives the same records.

use std::{error::Error, path::PathBuf};

use model::{
    ApiKey, KeyHash, KeyId, KeyName, KeyPrefix, PasswordHash, Priority, Scopes, SecurityEvent,
    SecurityEventId, SecurityEventKind, Session, SessionId, Store as _, TaskId, TaskKind, TaskStatus,
    Timestamp, TokenDigest, UserId,
};
use stores::{
    SqliteOptions, SqliteStore,
    transfer::{
        AccountRecord, ClaimRecord, Cursor, DependencyRecord, ExecutionRecord, KeyRecord, Mark, MarkStage,
        QueuePlace, Record, RecurrenceRecord, SignInFailureRecord, TaskRecord, Transfer as _, digest_all,
    },
};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// When the first record came to be.
const BEGIN: i64 = 1_770_033_600_000;

/// How many records are written at once.
const AT_ONCE: usize = 1_000;

/// How many there are of what.
struct Numbers {
    tasks: u64,
    calls: u64,
    accounts: u64,
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("DIRECTORY TASKS CALLS ACCOUNTS are wanted")
    };
    let directory = PathBuf::from(next()?);
    let numbers = Numbers {
        tasks: next()?.parse()?,
        calls: next()?.parse()?,
        accounts: next()?.parse()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(fill(&directory, &numbers))
}

async fn fill(directory: &std::path::Path, numbers: &Numbers) -> Outcome<()> {
    let store = SqliteStore::open_for_transfer(directory, &SqliteOptions::default())?;
    let name = Uuid::from_u128(numbers.tasks.into());
    let mut mark = Mark {
        source: name,
        run: name,
        stage: MarkStage::Copying(Cursor::begin()),
    };
    store.put_mark(None, &mark).await?;
    let accounts = (0..numbers.accounts).map(account);
    let failures = (0..numbers.accounts / 10).map(failure);
    let calls = (0..numbers.calls).map(|number| call(number, numbers));
    let tasks = (0..numbers.tasks).map(|number| task(number, numbers));
    let claims = (0..numbers.accounts / 10).map(claim);
    let mut records = accounts.chain(failures).chain(calls).chain(tasks).chain(claims);
    let mut written = 0_u64;
    loop {
        let page: Vec<Record> = records.by_ref().take(AT_ONCE).collect();
        if page.is_empty() {
            break;
        }
        written += 1;
        let after = Some(written.to_string());
        mark.stage = MarkStage::Copying(Cursor {
            after,
            ..Cursor::begin()
        });
        store.write_records(page, &mark).await?;
    }
    store.derive_rest().await?;
    mark.stage = MarkStage::Complete(Box::new(digest_all(&store, &mut |_| {}).await?));
    store.put_mark(Some(name), &mark).await?;
    store.close().await?;
    Ok(())
}

fn moment(number: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + i64::try_from(number).unwrap_or(0))
}

/// An identifier of version 7.
fn uuid(number: u64) -> Uuid {
    let time = u128::from(moment(number).as_millis().unsigned_abs());
    Uuid::from_u128((time << 80) | (0x7 << 76) | (0x2 << 62) | u128::from(number))
}

fn user_id(number: u64) -> UserId {
    UserId::from_uuid(uuid(number))
}

fn digest(number: u64, salt: u8) -> [u8; 32] {
    let mut bytes = [salt; 32];
    for (to, from) in bytes
        .iter_mut()
        .zip(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
    {
        *to = from;
    }
    bytes
}

fn account(number: u64) -> Record {
    let id = user_id(number);
    let session = |which: u64| Session {
        id: SessionId::from_uuid(uuid(number * 4 + which)),
        user_id: id,
        refresh_token: TokenDigest(digest(number * 4 + which, 1)),
        created_at: moment(number),
        expires_at: moment(number + 1_000_000_000),
    };
    let event = SecurityEvent {
        id: SecurityEventId::from_uuid(uuid(number)),
        user_id: id,
        kind: SecurityEventKind::PasswordChanged,
        ip_address: Some("192.0.2.7".to_owned()),
        created_at: moment(number),
    };
    Record::Account(Box::new(AccountRecord {
        id,
        email: format!("User{number}@example.org"),
        username: format!("user-{number}"),
        role: if number == 0 { "admin" } else { "user" }.to_owned(),
        is_active: number % 50 != 49,
        is_email_verified: number.is_multiple_of(2),
        last_login: Some(moment(number)),
        metadata: number
            .is_multiple_of(3)
            .then(|| format!("{{\"n\":{number},\"x\":0.1}}")),
        created_at: moment(number),
        updated_at: moment(number + 1),
        password_hash: PasswordHash::new(format!("$2b$10$hash{number}")),
        sessions: (0..number % 3).map(session).collect(),
        keys: key(id, number).into_iter().collect(),
        events: number.is_multiple_of(2).then_some(event).into_iter().collect(),
        days: (0..i64::try_from(number % 4).unwrap_or(0))
            .map(|day| 20_486 + day)
            .collect(),
    }))
}

fn key(user_id: UserId, number: u64) -> Option<KeyRecord> {
    let key = ApiKey {
        id: KeyId::from_uuid(uuid(number)),
        name: KeyName::parse("key").ok()?,
        prefix: KeyPrefix::parse(&format!("mcp_{number:012}"))?,
        user_id,
        scopes: Scopes::default(),
        is_active: true,
        expires_at: None,
        last_used_at: Some(moment(number)),
        usage_count: number,
        rate_limit: None,
        created_at: moment(number),
    };
    Some(KeyRecord {
        key,
        hash: KeyHash(digest(number, 2)),
    })
}

fn failure(number: u64) -> Record {
    Record::SignInFailure(SignInFailureRecord {
        email: format!("user{number}@example.org"),
        count: u32::try_from(number % 7).unwrap_or(0) + 1,
        last_at: moment(number),
    })
}

/// The status of the task of a number; of ten, four are ready, three completed.
fn status(number: u64) -> TaskStatus {
    match number % 10 {
        4..=6 => TaskStatus::Completed,
        7 => TaskStatus::Failed,
        _ => TaskStatus::Pending,
    }
}

fn result(number: u64) -> String {
    format!("{{\"message\":\"hello {number}\",\"ratio\":0.30000000000000004}}")
}

fn call(number: u64, numbers: &Numbers) -> Record {
    let is_attempt = number < numbers.tasks && status(number).is_final();
    let is_success = status(number) != TaskStatus::Failed;
    Record::Execution(Box::new(ExecutionRecord {
        id: uuid(number),
        plugin: "sample".to_owned(),
        action: "echo".to_owned(),
        source: if is_attempt { "task" } else { "rest" }.to_owned(),
        status: if is_success { "success" } else { "failure" }.to_owned(),
        user_id: Some(user_id(number % numbers.accounts.max(1))),
        task_id: is_attempt.then(|| TaskId::from_uuid(uuid(number))),
        attempt: is_attempt.then_some(1),
        created_at: moment(number),
        duration_micros: 1_500,
        ip_address: (!is_attempt).then(|| "192.0.2.7".to_owned()),
        user_agent: None,
        error_code: (!is_success).then(|| "plugin_failed".to_owned()),
        error_message: (!is_success).then(|| "it fell over".to_owned()),
        payload: format!("{{\"message\":\"hello {number}\"}}"),
        result: is_success.then(|| result(number)),
    }))
}

fn place(number: u64, numbers: &Numbers) -> Option<QueuePlace> {
    let turn = i64::try_from(number / numbers.accounts.max(1)).unwrap_or(0);
    match number % 10 {
        0..=3 => Some(QueuePlace::Ready { turn }),
        8 => Some(QueuePlace::Scheduled),
        9 => Some(QueuePlace::Blocked),
        _ => None,
    }
}

fn recurrence() -> RecurrenceRecord {
    RecurrenceRecord {
        cron: "30 4 * * MON".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        catch_up: "once".to_owned(),
        is_paused: false,
        next_at: Some(moment(1_000_000_000)),
        last_at: None,
    }
}

fn task(number: u64, numbers: &Numbers) -> Record {
    let (status, place) = (status(number), place(number, numbers));
    let is_recurring = number % 1_000 == 8;
    let has_ended = status.is_final();
    let awaited = DependencyRecord {
        id: TaskId::from_uuid(uuid(number.saturating_sub(6))),
        is_told: false,
    };
    let is_blocked = place == Some(QueuePlace::Blocked);
    Record::Task(Box::new(TaskRecord {
        id: TaskId::from_uuid(uuid(number)),
        user_id: Some(user_id(number % numbers.accounts.max(1))),
        kind: if is_recurring {
            TaskKind::Recurring
        } else {
            TaskKind::Job
        },
        status,
        priority: if number.is_multiple_of(5) {
            Priority::High
        } else {
            Priority::Medium
        },
        place: place.filter(|_| !is_recurring),
        due_at: moment(if number % 10 == 8 {
            4_000_000_000_000
        } else {
            number
        }),
        ready_at: matches!(place, Some(QueuePlace::Ready { .. })).then(|| moment(number)),
        attempt: u32::from(has_ended),
        retry_count: 0,
        max_retries: 3,
        stall_count: 0,
        max_stalls: 3,
        unmet: u32::from(is_blocked),
        lease: None,
        started_at: has_ended.then(|| moment(number + 1)),
        finished_at: has_ended.then(|| moment(number + 2)),
        created_at: moment(number),
        updated_at: moment(number + 2),
        scheduled_at: (number % 10 == 8).then(|| moment(4_000_000_000_000)),
        timeout_ms: None,
        schedule_id: None,
        unique_key: (number % 20 == 1).then(|| format!("only {number}")),
        title: format!("task {number}"),
        description: None,
        tags: (0..number % 3).map(|tag| format!("tag {tag}")).collect(),
        plugin: Some("sample".to_owned()),
        action: Some("echo".to_owned()),
        payload: Some(format!("{{\"message\":\"hello {number}\"}}")),
        dependencies: is_blocked.then_some(awaited).into_iter().collect(),
        recurrence: is_recurring.then(recurrence),
        result: (status == TaskStatus::Completed).then(|| result(number)),
        error: (status == TaskStatus::Failed)
            .then(|| ("plugin_failed".to_owned(), "it fell over".to_owned())),
        progress: None,
        inquiry: None,
    }))
}

fn claim(number: u64) -> Record {
    Record::Claim(ClaimRecord {
        key: digest(number, 3),
        request: digest(number, 4),
        answer: number.is_multiple_of(2).then(|| vec![7; 300]),
        expires_at: moment(number),
    })
}
