//! Digests that don't depend on an order: by them two stores are compared.
//!
//! The digest of a kind is the sum, modulo 2^256, of the SHA-256 of each of its records; beside it stands their number.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use model::{Result, SecurityEvent, Session, TaskKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Transfer,
    cursor::{Cursor, read_hex, write_hex},
    record::{
        AccountRecord, ClaimRecord, ExecutionRecord, KeyRecord, Record, RecurrenceRecord,
        SignInFailureRecord, TaskRecord,
    },
};

/// What is counted and compared apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Accounts themselves.
    Accounts,
    /// Sessions.
    Sessions,
    /// API keys.
    Keys,
    /// Security events.
    SecurityEvents,
    /// Days on which accounts did something.
    ActiveDays,
    /// Counts of wrong passwords.
    SignInFailures,
    /// Calls that were not made for tasks.
    Executions,
    /// Calls that were.
    Attempts,
    /// Tasks, with all that belongs to them.
    Tasks,
    /// Recurring tasks' times.
    Schedules,
    /// What tasks ask.
    Questions,
    /// Idempotency keys with their answers.
    Claims,
}

impl RecordKind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Accounts,
        Self::Sessions,
        Self::Keys,
        Self::SecurityEvents,
        Self::ActiveDays,
        Self::SignInFailures,
        Self::Executions,
        Self::Attempts,
        Self::Tasks,
        Self::Schedules,
        Self::Questions,
        Self::Claims,
    ];

    /// What people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Sessions => "sessions",
            Self::Keys => "keys",
            Self::SecurityEvents => "security events",
            Self::ActiveDays => "days of activity",
            Self::SignInFailures => "failed sign-ins",
            Self::Executions => "executions",
            Self::Attempts => "attempts",
            Self::Tasks => "tasks",
            Self::Schedules => "schedules",
            Self::Questions => "questions",
            Self::Claims => "idempotency keys",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Number and digest of the records of one kind.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KindDigest {
    /// How many there are.
    pub count: u64,
    sum: [u8; 32],
}

impl KindDigest {
    fn add(&mut self, digest: &[u8]) {
        self.count = self.count.saturating_add(1);
        let mut carry: u16 = 0;
        for (sum, byte) in self.sum.iter_mut().zip(digest).rev() {
            let total = u16::from(*sum)
                .saturating_add(u16::from(*byte))
                .saturating_add(carry);
            let [high, low] = total.to_be_bytes();
            *sum = low;
            carry = u16::from(high);
        }
    }
}

impl fmt::Display for KindDigest {
    /// Shows the sum in hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_hex(&self.sum))
    }
}

impl fmt::Debug for KindDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {self}", self.count)
    }
}

/// Numbers and digests of all that a store holds, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Line>", try_from = "Vec<Line>")]
pub struct Digests([KindDigest; RecordKind::ALL.len()]);

/// A kind as it is written down.
#[derive(Serialize, Deserialize)]
struct Line {
    kind: String,
    count: u64,
    digest: String,
}

impl From<Digests> for Vec<Line> {
    fn from(digests: Digests) -> Self {
        let line = |(kind, of): (RecordKind, KindDigest)| Line {
            kind: kind.as_str().to_owned(),
            count: of.count,
            digest: of.to_string(),
        };
        digests.iter().map(line).collect()
    }
}

impl TryFrom<Vec<Line>> for Digests {
    type Error = &'static str;

    fn try_from(lines: Vec<Line>) -> std::result::Result<Self, Self::Error> {
        let mut digests = Self::default();
        for (kind, of) in RecordKind::ALL.into_iter().zip(&mut digests.0) {
            let line = lines.iter().find(|line| line.kind == kind.as_str());
            let line = line.ok_or("a kind of records is missing")?;
            of.count = line.count;
            of.sum = read_hex(&line.digest).ok_or("a digest has 64 hexadecimal digits")?;
        }
        Ok(digests)
    }
}

impl Digests {
    /// Number and digest of one kind.
    #[must_use]
    pub fn of(&self, kind: RecordKind) -> KindDigest {
        self.0.get(kind.index()).copied().unwrap_or_default()
    }

    /// All kinds with their numbers and digests.
    pub fn iter(&self) -> impl Iterator<Item = (RecordKind, KindDigest)> + '_ {
        RecordKind::ALL.into_iter().zip(self.0.iter().copied())
    }

    /// Adds a record, and what is counted apart of it.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Account(account) => self.add_account(account),
            Record::SignInFailure(failure) => {
                self.add_one(RecordKind::SignInFailures, |form| form.failure(failure));
            }
            Record::Execution(execution) => {
                let kind = match execution.task_id {
                    Some(_) => RecordKind::Attempts,
                    None => RecordKind::Executions,
                };
                self.add_one(kind, |form| form.execution(execution));
            }
            Record::Task(task) => self.add_task(task),
            Record::Claim(claim) => self.add_one(RecordKind::Claims, |form| form.claim(claim)),
        }
    }

    fn add_account(&mut self, account: &AccountRecord) {
        let owner = account.id.as_uuid();
        self.add_one(RecordKind::Accounts, |form| form.account(account));
        for session in &account.sessions {
            self.add_one(RecordKind::Sessions, |form| form.session(session));
        }
        for key in &account.keys {
            self.add_one(RecordKind::Keys, |form| form.key(key));
        }
        for event in &account.events {
            self.add_one(RecordKind::SecurityEvents, |form| form.event(event));
        }
        for day in &account.days {
            self.add_one(RecordKind::ActiveDays, |form| {
                form.bytes(owner.as_bytes());
                form.number(*day);
            });
        }
    }

    fn add_task(&mut self, task: &TaskRecord) {
        let id = task.id.as_uuid();
        self.add_one(RecordKind::Tasks, |form| form.task(task));
        if let Some(recurrence) = &task.recurrence {
            self.add_one(RecordKind::Schedules, |form| {
                form.bytes(id.as_bytes());
                form.recurrence(recurrence);
            });
        }
        if let Some(inquiry) = &task.inquiry {
            self.add_one(RecordKind::Questions, |form| {
                form.bytes(id.as_bytes());
                form.text(inquiry);
            });
        }
    }

    fn add_one(&mut self, kind: RecordKind, write: impl FnOnce(&mut Form)) {
        let mut form = Form(Context::new(&SHA256));
        form.text(kind.as_str());
        write(&mut form);
        if let Some(of) = self.0.get_mut(kind.index()) {
            of.add(form.0.finish().as_ref());
        }
    }
}

/// Reads all records of a store, in bounded memory; `seen` is told of each page how many records it had.
///
/// # Errors
/// As reading.
pub async fn digest_all(store: &dyn Transfer, seen: &mut (dyn FnMut(usize) + Send)) -> Result<Digests> {
    let mut digests = Digests::default();
    let mut cursor = Some(Cursor::begin());
    while let Some(from) = cursor {
        let page = store.read_records(&from).await?;
        page.records.iter().for_each(|record| digests.add(record));
        seen(page.records.len());
        cursor = page.next;
    }
    Ok(digests)
}

/// The one form of a record that is hashed: its fields in their order, each text with its length before it.
struct Form(Context);

impl Form {
    fn bytes(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: impl Into<i128>) {
        self.0.update(&number.into().to_be_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.update(&[u8::from(flag)]);
    }

    fn moment(&mut self, moment: Timestamp) {
        self.number(moment.as_millis());
    }

    fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn texts(&mut self, texts: &[&Option<String>]) {
        for text in texts {
            self.maybe(text.as_deref(), Self::text);
        }
    }

    fn moments(&mut self, moments: &[Option<Timestamp>]) {
        for moment in moments {
            self.maybe(*moment, Self::moment);
        }
    }

    fn account(&mut self, account: &AccountRecord) {
        self.bytes(account.id.as_uuid().as_bytes());
        for text in [&account.email, &account.username, &account.role] {
            self.text(text);
        }
        self.flag(account.is_active);
        self.flag(account.is_email_verified);
        self.texts(&[&account.metadata]);
        self.moments(&[
            account.last_login,
            Some(account.created_at),
            Some(account.updated_at),
        ]);
        self.text(account.password_hash.as_str());
    }

    fn session(&mut self, session: &Session) {
        self.bytes(session.id.as_uuid().as_bytes());
        self.bytes(session.user_id.as_uuid().as_bytes());
        self.bytes(&session.refresh_token.0);
        self.moments(&[Some(session.created_at), Some(session.expires_at)]);
    }

    fn key(&mut self, record: &KeyRecord) {
        let key = &record.key;
        self.bytes(key.id.as_uuid().as_bytes());
        self.bytes(key.user_id.as_uuid().as_bytes());
        self.text(key.name.as_str());
        self.text(key.prefix.as_str());
        self.bytes(&record.hash.0);
        self.number(i64::try_from(key.scopes.as_slice().len()).unwrap_or(i64::MAX));
        for scope in key.scopes.as_slice() {
            self.text(&scope.to_string());
        }
        self.flag(key.is_active);
        self.moments(&[key.expires_at, key.last_used_at, Some(key.created_at)]);
        self.number(key.usage_count);
        self.maybe(key.rate_limit, Self::number);
    }

    fn event(&mut self, event: &SecurityEvent) {
        self.bytes(event.id.as_uuid().as_bytes());
        self.bytes(event.user_id.as_uuid().as_bytes());
        self.text(event.kind.as_str());
        self.texts(&[&event.ip_address]);
        self.moment(event.created_at);
    }

    fn failure(&mut self, failure: &SignInFailureRecord) {
        self.text(&failure.email);
        self.number(failure.count);
        self.moment(failure.last_at);
    }

    fn execution(&mut self, execution: &ExecutionRecord) {
        self.bytes(execution.id.as_bytes());
        let names = [
            &execution.plugin,
            &execution.action,
            &execution.source,
            &execution.status,
        ];
        for name in names {
            self.text(name);
        }
        self.maybe(execution.user_id, |form, id| form.bytes(id.as_uuid().as_bytes()));
        self.maybe(execution.task_id, |form, id| form.bytes(id.as_uuid().as_bytes()));
        self.maybe(execution.attempt, Self::number);
        self.moment(execution.created_at);
        self.number(execution.duration_micros);
        self.texts(&[
            &execution.ip_address,
            &execution.user_agent,
            &execution.error_code,
            &execution.error_message,
            &execution.result,
        ]);
        self.text(&execution.payload);
    }

    fn task(&mut self, task: &TaskRecord) {
        self.bytes(task.id.as_uuid().as_bytes());
        self.maybe(task.user_id, |form, id| form.bytes(id.as_uuid().as_bytes()));
        self.text(match task.kind {
            TaskKind::ToDo => "to-do",
            TaskKind::Job => "job",
            TaskKind::Recurring => "recurring",
        });
        self.text(task.status.as_str());
        self.text(task.priority.as_str());
        self.maybe(task.place, |form, place| {
            form.number(place.number());
            form.maybe(place.turn(), Self::number);
        });
        self.number(task.attempt);
        for count in [
            task.retry_count,
            task.max_retries,
            task.stall_count,
            task.max_stalls,
        ] {
            self.number(count);
        }
        self.number(task.unmet);
        self.maybe(task.lease, |form, (worker, until)| {
            form.bytes(worker.as_uuid().as_bytes());
            form.moment(until);
        });
        self.moments(&[
            Some(task.due_at),
            task.ready_at,
            task.started_at,
            task.finished_at,
            Some(task.created_at),
            Some(task.updated_at),
            task.scheduled_at,
        ]);
        self.maybe(task.timeout_ms, Self::number);
        self.maybe(task.schedule_id, |form, id| form.bytes(id.as_uuid().as_bytes()));
        self.task_texts(task);
    }

    fn task_texts(&mut self, task: &TaskRecord) {
        self.text(&task.title);
        self.texts(&[
            &task.unique_key,
            &task.description,
            &task.plugin,
            &task.action,
            &task.payload,
            &task.result,
            &task.progress,
            &task.inquiry,
        ]);
        self.number(i64::try_from(task.tags.len()).unwrap_or(i64::MAX));
        for tag in &task.tags {
            self.text(tag);
        }
        self.number(i64::try_from(task.dependencies.len()).unwrap_or(i64::MAX));
        for dependency in &task.dependencies {
            self.bytes(dependency.id.as_uuid().as_bytes());
            self.flag(dependency.is_told);
        }
        self.maybe(task.recurrence.as_ref(), Self::recurrence);
        self.maybe(task.error.as_ref(), |form, (code, message)| {
            form.text(code);
            form.text(message);
        });
    }

    fn recurrence(&mut self, recurrence: &RecurrenceRecord) {
        for text in [&recurrence.cron, &recurrence.timezone, &recurrence.catch_up] {
            self.text(text);
        }
        self.flag(recurrence.is_paused);
        self.moments(&[recurrence.next_at, recurrence.last_at]);
    }

    fn claim(&mut self, claim: &ClaimRecord) {
        self.bytes(&claim.key);
        self.bytes(&claim.request);
        self.maybe(claim.answer.as_deref(), Self::bytes);
        self.moment(claim.expires_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(email: &str) -> Record {
        Record::SignInFailure(SignInFailureRecord {
            email: email.into(),
            count: 1,
            last_at: Timestamp::from_millis(7),
        })
    }

    fn digests(records: &[Record]) -> Digests {
        let mut digests = Digests::default();
        records.iter().for_each(|record| digests.add(record));
        digests
    }

    #[test]
    fn digests_depend_on_what_there_is_and_not_on_its_order() {
        let (a, b, c) = (failure("a"), failure("b"), failure("c"));
        let one = digests(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(one, digests(&[c, a.clone(), b.clone()]));
        assert_ne!(one, digests(&[a.clone(), b.clone(), b.clone()]));
        assert_ne!(one, digests(&[a, b]));
    }

    #[test]
    fn the_sum_is_carried_over_all_bytes() {
        let mut of = KindDigest {
            count: 0,
            sum: [0xff; 32],
        };
        let mut one = [0; 32];
        one[31] = 2;
        of.add(&one);
        let mut expected = [0; 32];
        expected[31] = 1;
        assert_eq!((of.count, of.sum), (1, expected));
    }

    #[test]
    fn digests_come_back_as_they_were_written_down() {
        let written = digests(&[failure("a"), failure("b")]);
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Digests>(&text).unwrap(), written);
        assert!(serde_json::from_str::<Digests>("[]").is_err());
    }
}
