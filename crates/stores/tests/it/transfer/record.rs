//! Whatever a record holds, a store gives it back as it was.

use model::{
    ApiKey, FoldedText, KeyHash, KeyId, KeyName, PasswordHash, Priority, Scopes, SecurityEvent,
    SecurityEventId, SecurityEventKind, Session, SessionId, TaskId, TaskKind, TaskStatus, Timestamp,
    TokenDigest, UserId, WorkerId,
};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use stores::transfer::{
    AccountRecord, ClaimRecord, Cursor, DependencyRecord, ExecutionRecord, KeyRecord, Mark, MarkStage,
    QueuePlace, Record, RecurrenceRecord, SignInFailureRecord, TaskRecord, Transfer,
};
use uuid::Uuid;

use super::{End, run};
use crate::{engine::Sqlite, make::prefix};

/// Deals out parts of records, each of a number and a text that the test was given.
struct Dealer {
    numbers: Vec<u32>,
    texts: Vec<String>,
    /// Grows, so that what must differ does.
    dealt: u64,
    place: usize,
}

impl Dealer {
    fn number(&mut self) -> u32 {
        self.place += 1;
        self.numbers[self.place % self.numbers.len()].wrapping_add(u32::try_from(self.place).unwrap() / 64)
    }

    fn small(&mut self) -> u16 {
        u16::try_from(self.number() % 1_000).unwrap()
    }

    fn flag(&mut self) -> bool {
        self.number().is_multiple_of(2)
    }

    fn text(&mut self) -> String {
        let index = self.number() as usize % self.texts.len();
        self.texts[index].clone()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    fn id(&mut self) -> Uuid {
        self.dealt += 1;
        Uuid::from_u64_pair(u64::from(self.number()) << 32 | 7, self.dealt)
    }

    fn moment(&mut self) -> Timestamp {
        Timestamp::from_millis(i64::from(self.number()) * 500)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.number() as usize % all.len()]
    }

    fn account(&mut self) -> Record {
        let id = UserId::from_uuid(self.id());
        let mut days: Vec<i64> = (0..self.number() % 4)
            .map(|day| i64::from(day) * 3 + 20_000)
            .collect();
        days.sort_unstable();
        let mut sessions: Vec<Session> = (0..self.number() % 3).map(|_| self.session(id)).collect();
        sessions.sort_by_key(|session| session.id.as_uuid());
        let mut keys: Vec<KeyRecord> = (0..self.number() % 3).map(|_| self.key(id)).collect();
        keys.sort_by_key(|record| record.key.id.as_uuid());
        let mut events: Vec<SecurityEvent> = (0..self.number() % 3).map(|_| self.event(id)).collect();
        events.sort_by_key(|event| event.id.as_uuid());
        Record::Account(Box::new(AccountRecord {
            id,
            email: format!("{}{}@x", self.text(), self.dealt),
            username: format!("{}{}", self.text(), self.dealt),
            role: "user".into(),
            is_active: self.flag(),
            is_email_verified: self.flag(),
            last_login: self.maybe(Self::moment),
            metadata: self.maybe(Self::text),
            created_at: self.moment(),
            updated_at: self.moment(),
            password_hash: PasswordHash::new(self.text()),
            sessions,
            keys,
            events,
            days,
        }))
    }

    fn session(&mut self, user_id: UserId) -> Session {
        Session {
            id: SessionId::from_uuid(self.id()),
            user_id,
            refresh_token: TokenDigest(self.bytes()),
            created_at: self.moment(),
            expires_at: self.moment(),
        }
    }

    fn bytes(&mut self) -> [u8; 32] {
        self.dealt += 1;
        crate::make::bytes(self.dealt << 20 | u64::from(self.number() % 1_000))
    }

    fn key(&mut self, user_id: UserId) -> KeyRecord {
        let key = ApiKey {
            id: KeyId::from_uuid(self.id()),
            name: KeyName::parse("key").unwrap(),
            prefix: prefix(self.dealt),
            user_id,
            scopes: Scopes::default(),
            is_active: self.flag(),
            expires_at: self.maybe(Self::moment),
            last_used_at: self.maybe(Self::moment),
            usage_count: u64::from(self.number()),
            rate_limit: self.maybe(Self::number),
            created_at: self.moment(),
        };
        KeyRecord {
            key,
            hash: KeyHash(self.bytes()),
        }
    }

    fn event(&mut self, user_id: UserId) -> SecurityEvent {
        SecurityEvent {
            id: SecurityEventId::from_uuid(self.id()),
            user_id,
            kind: self.pick(&SecurityEventKind::ALL),
            ip_address: self.maybe(Self::text),
            created_at: self.moment(),
        }
    }

    fn failure(&mut self) -> Record {
        self.dealt += 1;
        let email = FoldedText::of(&format!("{}{}", self.text(), self.dealt));
        Record::SignInFailure(SignInFailureRecord {
            email: email.as_str().to_owned(),
            count: self.number(),
            last_at: self.moment(),
        })
    }

    fn execution(&mut self) -> Record {
        let task_id = self.maybe(|dealer| TaskId::from_uuid(dealer.id()));
        Record::Execution(Box::new(ExecutionRecord {
            id: self.id(),
            plugin: self.pick(&["sample", "other"]).into(),
            action: self.pick(&["echo", "add"]).into(),
            source: self.pick(&["rest", "mcp", "task"]).into(),
            status: self.pick(&["running", "success", "failure"]).into(),
            user_id: self.maybe(|dealer| UserId::from_uuid(dealer.id())),
            attempt: task_id.and_then(|_| self.maybe(Self::number)),
            task_id,
            created_at: self.moment(),
            duration_micros: i64::from(self.number()) * 3,
            ip_address: self.maybe(Self::text),
            user_agent: self.maybe(Self::text),
            error_code: self.maybe(Self::text),
            error_message: self.maybe(Self::text),
            payload: self.text(),
            result: self.maybe(Self::text),
        }))
    }

    fn dependencies(&mut self, is_final: bool) -> Vec<DependencyRecord> {
        let count = self.number() % 4;
        let deal = |_| DependencyRecord {
            id: TaskId::from_uuid(self.id()),
            is_told: self.flag() || is_final,
        };
        (0..count).map(deal).collect()
    }

    fn recurrence(&mut self) -> RecurrenceRecord {
        RecurrenceRecord {
            cron: self.text(),
            timezone: self.text(),
            catch_up: "once".into(),
            is_paused: self.flag(),
            next_at: self.maybe(Self::moment),
            last_at: self.maybe(Self::moment),
        }
    }

    fn task(&mut self) -> Record {
        let status = self.pick(&TaskStatus::ALL);
        let turn = i64::from(self.number());
        let places = [
            QueuePlace::Held,
            QueuePlace::Ready { turn },
            QueuePlace::Scheduled,
            QueuePlace::Blocked,
            QueuePlace::Asking,
        ];
        let plugin = self.maybe(|dealer| dealer.pick(&["sample", "other"]).to_owned());
        Record::Task(Box::new(TaskRecord {
            id: TaskId::from_uuid(self.id()),
            user_id: self.maybe(|dealer| UserId::from_uuid(dealer.id())),
            kind: self.pick(&[TaskKind::ToDo, TaskKind::Job, TaskKind::Recurring]),
            status,
            priority: self.pick(&Priority::ALL),
            // What no worker does has no place.
            place: plugin.as_ref().map(|_| self.pick(&places)),
            due_at: self.moment(),
            ready_at: self.maybe(Self::moment),
            attempt: self.number(),
            retry_count: self.small(),
            max_retries: self.small(),
            stall_count: self.small(),
            max_stalls: self.small(),
            unmet: self.number(),
            lease: self.maybe(|dealer| (WorkerId::from_uuid(dealer.id()), dealer.moment())),
            started_at: self.maybe(Self::moment),
            finished_at: self.maybe(Self::moment),
            created_at: self.moment(),
            updated_at: self.moment(),
            scheduled_at: self.maybe(Self::moment),
            timeout_ms: self.maybe(|dealer| i64::from(dealer.number())),
            schedule_id: self.maybe(|dealer| TaskId::from_uuid(dealer.id())),
            unique_key: self.maybe(|dealer| format!("{}{}", dealer.text(), dealer.dealt)),
            title: self.text(),
            description: self.maybe(Self::text),
            tags: (0..self.number() % 3).map(|_| self.text()).collect(),
            action: plugin.as_ref().map(|_| self.text()),
            payload: plugin.as_ref().map(|_| self.text()),
            plugin,
            dependencies: self.dependencies(status.is_final()),
            recurrence: self.maybe(Self::recurrence),
            result: self.maybe(Self::text).filter(|_| status == TaskStatus::Completed),
            error: self.maybe(|dealer| (dealer.text(), dealer.text())),
            progress: self.maybe(Self::text),
            inquiry: self.maybe(Self::text),
        }))
    }

    fn claim(&mut self) -> Record {
        Record::Claim(ClaimRecord {
            key: self.bytes(),
            request: self.bytes(),
            answer: self.maybe(|dealer| dealer.text().into_bytes()),
            expires_at: self.moment(),
        })
    }

    fn some_of_each(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for deal in [
            Self::account,
            Self::failure,
            Self::execution,
            Self::task,
            Self::claim,
        ] {
            records.extend((0..3).map(|_| deal(self)));
        }
        records
    }
}

fn dealers() -> impl Strategy<Value = (Vec<u32>, Vec<String>)> {
    (vec(any::<u32>(), 1..48), vec(".{0,24}", 1..6))
}

async fn written_and_read(end: &dyn Transfer, records: &[Record]) -> Vec<Record> {
    let mark = Mark {
        source: run(1),
        run: run(1),
        stage: MarkStage::Copying(Cursor::begin()),
    };
    assert!(end.put_mark(None, &mark).await.unwrap());
    let copied = Mark {
        stage: MarkStage::Copied,
        ..mark
    };
    for _ in 0..2 {
        end.write_records(records.to_vec(), &copied).await.unwrap();
    }
    let mut found = Vec::new();
    let mut cursor = Some(Cursor::begin());
    while let Some(from) = cursor {
        let page = end.read_records(&from).await.unwrap();
        found.extend(page.records);
        cursor = page.next;
    }
    found
}

fn check_all<E: End>(cases: u32) {
    if !E::is_there() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&dealers(), |(numbers, texts)| {
        let mut dealer = Dealer {
            numbers,
            texts,
            dealt: 0,
            place: 0,
        };
        let records = dealer.some_of_each();
        let place = E::default();
        let found = runtime.block_on(async {
            let end = place.open_end().await;
            let found = written_and_read(end.as_ref(), &records).await;
            end.close().await.unwrap();
            found
        });
        prop_assert_eq!(found.len(), records.len());
        for record in &records {
            prop_assert!(found.contains(record), "{record:?} is not among {found:#?}");
        }
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn any_record_comes_back_from_the_embedded_store_as_it_was() {
    check_all::<Sqlite>(64);
}

#[cfg(feature = "mongodb")]
#[test]
fn any_record_comes_back_from_mongodb_as_it_was() {
    check_all::<crate::engine::Mongo>(8);
}
