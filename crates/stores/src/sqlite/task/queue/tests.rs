//! Whether what the writer remembers of the queue is what the store holds, whatever happens to it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{
    AttemptEnd, CallTry, ClaimRequest, ClaimedTask, Error, ErrorCode, ErrorKind, Execution, ExecutionId,
    ExecutionOutcome, Hold, Inquiry, Job, NewTask, Patience, Priority, QuestionKind, Questions, Source, Tags,
    TaskEnding, TaskId, TaskQueue as _, TaskStore as _, TaskTitle, Timestamp, UserId, WorkerId,
};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Map, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    SqliteOptions, SqliteStore,
    sqlite::{
        failure::Fault,
        lanes::{Lanes, Past, Place},
        ledger::Ledger,
    },
};

fn owner(number: u64) -> Option<UserId> {
    (number > 0).then(|| UserId::from_uuid(Uuid::from_u64_pair(1, number)))
}

/// What a model of the queue does to a store.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Submit {
        owner: u64,
        priority: usize,
        plugin: u64,
        delay: i64,
        needs: Option<u64>,
    },
    SubmitAndRefuse {
        owner: u64,
    },
    Tear {
        owner: u64,
    },
    Claim {
        limit: u16,
    },
    End {
        which: usize,
        end: u8,
    },
    Cancel {
        task: u64,
    },
    Answer {
        task: u64,
    },
    Retry {
        task: u64,
    },
    Delete {
        task: u64,
    },
    Release,
    Settle,
    Remove,
    Wait {
        millis: i64,
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    let submit = (
        0..4_u64,
        0..4_usize,
        0..3_u64,
        0..3_i64,
        prop::option::weighted(0.2, 1..40_u64),
    );
    prop_oneof![
        8 => submit.prop_map(|(owner, priority, plugin, delay, needs)| Deed::Submit {
            owner, priority, plugin, delay: delay * 50, needs
        }),
        1 => (0..4_u64).prop_map(|owner| Deed::SubmitAndRefuse { owner }),
        1 => (0..4_u64).prop_map(|owner| Deed::Tear { owner }),
        4 => (1..6_u16).prop_map(|limit| Deed::Claim { limit }),
        5 => (0..5_usize, 0..5_u8).prop_map(|(which, end)| Deed::End { which, end }),
        2 => (1..60_u64).prop_map(|task| Deed::Cancel { task }),
        3 => (1..60_u64).prop_map(|task| Deed::Answer { task }),
        2 => (1..60_u64).prop_map(|task| Deed::Retry { task }),
        1 => (1..60_u64).prop_map(|task| Deed::Delete { task }),
        1 => Just(Deed::Release),
        2 => Just(Deed::Settle),
        1 => Just(Deed::Remove),
        2 => (1..80_i64).prop_map(|millis| Deed::Wait { millis }),
    ]
}

struct Play {
    store: Arc<SqliteStore>,
    _directory: TempDir,
    now: i64,
    tasks: u64,
    held: Vec<ClaimedTask>,
}

impl Play {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path(), &SqliteOptions::default()).unwrap();
        Self {
            store: Arc::new(store),
            _directory: directory,
            now: 1_000,
            tasks: 0,
            held: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn task(&mut self, owner_number: u64) -> NewTask {
        self.tasks += 1;
        NewTask {
            id: TaskId::from_uuid(Uuid::from_u64_pair(2, self.tasks)),
            user_id: owner(owner_number),
            title: TaskTitle::parse("a task").unwrap(),
            description: None,
            priority: Priority::Medium,
            tags: Tags::default(),
            job: Some(Job {
                plugin: "sample".parse().unwrap(),
                action: "echo".parse().unwrap(),
                payload: json!({}),
            }),
            patience: Patience {
                max_retries: 1,
                max_stalls: 1,
                timeout: None,
            },
            scheduled_at: None,
            unique_key: None,
            depends_on: Vec::new(),
            recurrence: None,
            schedule_id: None,
            created_at: self.now(),
        }
    }

    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Submit {
                owner,
                priority,
                plugin,
                delay,
                needs,
            } => {
                let mut task = self.task(owner);
                task.priority = Priority::ALL[priority];
                task.job.as_mut().unwrap().plugin = format!("plugin{plugin}").parse().unwrap();
                task.scheduled_at = (delay > 0).then(|| Timestamp::from_millis(self.now + delay));
                task.depends_on = needs
                    .map(|number| TaskId::from_uuid(Uuid::from_u64_pair(2, number)))
                    .into_iter()
                    .collect();
                match self.store.submit_task(task).await {
                    Ok(submitted) => assert!(submitted.is_new),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid),
                }
            }
            Deed::SubmitAndRefuse { owner } => {
                let mut second = self.task(owner);
                second.depends_on = vec![TaskId::from_uuid(Uuid::nil())];
                let first = self.task(owner);
                let refused = self.store.submit_tasks(vec![first, second]).await.unwrap_err();
                assert_eq!(refused.details()[0].path, "1.dependsOn.0");
            }
            Deed::Tear { owner } => {
                let tear = move |connection: &Connection, ledger: &mut Ledger| {
                    let lanes = ledger.tasks.lanes(connection)?;
                    lanes.enter(Place::Ready { turn: 0 }, Priority::Low, 1, self::owner(owner));
                    Err::<(), _>(Fault::Torn(rusqlite::Error::QueryReturnedNoRows))
                };
                self.store.writer.count(tear).await.unwrap_err();
            }
            Deed::Claim { limit } => self.claim(limit).await,
            Deed::End { which, end } => self.end(which, end).await,
            Deed::Cancel { task } => self.cancel(task).await,
            Deed::Answer { task } => self.answer(task).await,
            Deed::Retry { task } => self.retry(task).await,
            Deed::Delete { task } => self.delete(task).await,
            Deed::Release => {
                let released = self
                    .store
                    .release_expired(Timestamp::MAX, self.now(), 3)
                    .await
                    .unwrap();
                let lost: Vec<Hold> = released.iter().map(|released| released.hold).collect();
                self.held.retain(|held| !lost.contains(&held.hold()));
            }
            Deed::Settle => drop(self.store.settle_dependents(self.now(), 3).await.unwrap()),
            Deed::Remove => drop(self.store.remove_finished_tasks(self.now(), 3).await.unwrap()),
            Deed::Wait { millis } => self.now += millis,
        }
    }

    async fn cancel(&mut self, number: u64) {
        let id = TaskId::from_uuid(Uuid::from_u64_pair(2, number));
        match self.store.cancel_task(id, None, self.now()).await {
            Ok(_) => self.held.retain(|held| held.task.id != id),
            Err(error) => assert_eq!(error.code(), ErrorCode::Conflict),
        }
    }

    async fn answer(&self, number: u64) {
        let id = TaskId::from_uuid(Uuid::from_u64_pair(2, number));
        let answers = [("key".to_owned(), json!({}))].into_iter().collect();
        self.store
            .answer_task(id, None, &answers, self.now())
            .await
            .unwrap();
    }

    async fn retry(&self, number: u64) {
        let id = TaskId::from_uuid(Uuid::from_u64_pair(2, number));
        if let Err(error) = self.store.retry_task(id, None, self.now()).await {
            assert_eq!(error.code(), ErrorCode::Conflict);
        }
    }

    async fn delete(&mut self, number: u64) {
        let id = TaskId::from_uuid(Uuid::from_u64_pair(2, number));
        if let Err(error) = self.store.delete_task(id, None).await {
            assert_eq!(error.code(), ErrorCode::Conflict);
        }
    }

    async fn claim(&mut self, limit: u16) {
        let request = ClaimRequest {
            worker: WorkerId::from_uuid(Uuid::from_u128(1)),
            now: self.now(),
            lease_until: Timestamp::from_millis(self.now + 100),
            limit,
            room: Vec::new(),
        };
        let claimed = self.store.claim_tasks(request).await.unwrap();
        assert!(claimed.tasks.len() <= usize::from(limit));
        for held in &claimed.tasks {
            assert!(held.task.standing.due_at <= self.now() && held.ready_at <= self.now());
        }
        self.held.extend(claimed.tasks);
    }

    async fn end(&mut self, which: usize, end: u8) {
        if which >= self.held.len() {
            return;
        }
        let held = self.held.remove(which);
        let due_at = Timestamp::from_millis(self.now + 30);
        let end = match end {
            0 => AttemptEnd::Succeeded,
            1 => AttemptEnd::FailedForGood,
            2 => AttemptEnd::Failed { retry_at: due_at },
            3 => AttemptEnd::Asked,
            _ => AttemptEnd::HandedBack { due_at },
        };
        let attempt = held.task.standing.attempt;
        let call = Execution {
            id: ExecutionId::from_uuid(Uuid::from_u64_pair(
                u64::from(attempt),
                held.task.id.as_uuid().as_u64_pair().1,
            )),
            plugin: "sample".parse().unwrap(),
            action: "echo".parse().unwrap(),
            payload: json!({}),
            outcome: ExecutionOutcome::Success(json!({})),
            duration: Duration::ZERO,
            user_id: held.task.user_id,
            task: Some(CallTry {
                task_id: held.task.id,
                attempt,
            }),
            source: Source::Task,
            ip_address: None,
            user_agent: None,
            created_at: self.now(),
        };
        let questions = || Questions::one("key", QuestionKind::Roots, Map::new());
        let ending = TaskEnding {
            end,
            execution: Some(call),
            failure: None,
            inquiry: (end == AttemptEnd::Asked).then(|| Inquiry::after(None, questions()).unwrap()),
            is_recorded: false,
            now: self.now(),
        };
        self.store.finish_task(held.hold(), &ending).await.unwrap();
        let again = TaskEnding {
            end: AttemptEnd::Succeeded,
            execution: None,
            failure: None,
            inquiry: None,
            is_recorded: false,
            now: self.now(),
        };
        let refused = self.store.finish_task(held.hold(), &again).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Conflict);
    }

    /// What the store remembers, and what counting anew gives: the queue, the turns to come, and tasks by sort.
    async fn compare(&self) -> [Picture; 2] {
        let compare = |connection: &Connection, ledger: &mut Ledger| {
            ledger.flush(connection)?;
            let anew = Lanes::load(connection, Past::default())?;
            let counts = |sql: &str| -> rusqlite::Result<BTreeMap<String, i64>> {
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            };
            let kept = counts(
                "SELECT hex(user_id) || ' ' || status || ' ' || priority || ' ' || lane, count FROM task_count \
                 WHERE count <> 0",
            )?;
            let held = counts(
                "SELECT hex(coalesce(user_id, x'')) || ' ' || status || ' ' || priority || ' ' || coalesce(lane, 0), \
                 count(*) FROM task GROUP BY 1",
            )?;
            let remembered = ledger.tasks.lanes(connection)?;
            assert!(remembered.gives_new_turns(&anew));
            Ok([(remembered.picture(), kept), (anew.picture(), held)])
        };
        self.store.writer.count(compare).await.unwrap()
    }
}

type Picture = (String, BTreeMap<String, i64>);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_remembered_is_what_counting_anew_gives(deeds in prop::collection::vec(deed(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new();
            for (step, deed) in deeds.iter().enumerate() {
                play.act(*deed).await;
                let [remembered, anew] = play.compare().await;
                assert_eq!(remembered, anew, "after step {step}: {deed:?}");
            }
        });
    }
}

#[tokio::test]
async fn a_refused_step_that_changed_nothing_does_not_make_the_queue_be_counted_anew() {
    let mut play = Play::new();
    let task = play.task(1);
    play.store.submit_task(task).await.unwrap();
    let refuse = |connection: &Connection, ledger: &mut Ledger| {
        ledger.tasks.lanes(connection)?;
        Err::<(), Fault>(Error::not_found("task").into())
    };
    play.store.writer.revise(refuse).await.unwrap_err();
    let is_known = |_: &Connection, ledger: &mut Ledger| Ok(ledger.tasks.is_counted());
    assert!(play.store.writer.count(is_known).await.unwrap());
}

#[tokio::test]
async fn a_refused_batch_does_not_make_the_queue_be_counted_anew() {
    let mut play = Play::new();
    let task = play.task(1);
    play.store.submit_task(task).await.unwrap();
    play.act(Deed::SubmitAndRefuse { owner: 1 }).await;
    let is_known = |_: &Connection, ledger: &mut Ledger| Ok(ledger.tasks.is_counted());
    assert!(play.store.writer.count(is_known).await.unwrap());
}

#[tokio::test]
async fn turns_go_on_from_where_they_were_when_the_queue_is_counted_anew() {
    let mut play = Play::new();
    for _ in 0..5 {
        let task = play.task(1);
        play.store.submit_task(task).await.unwrap();
    }
    play.claim(5).await;
    play.act(Deed::Tear { owner: 2 }).await;
    let next = |connection: &Connection, ledger: &mut Ledger| {
        let lanes = ledger.tasks.lanes(connection)?;
        Ok(lanes.peek(Place::Ready { turn: 0 }, Priority::Medium, owner(3)))
    };
    let place = play.store.writer.count(next).await.unwrap();
    assert_eq!(place, Place::Ready { turn: 4 });
}

#[tokio::test]
async fn a_payload_that_can_not_be_read_keeps_no_task_from_being_released() {
    let mut play = Play::new();
    for _ in 0..2 {
        let task = play.task(1);
        play.store.submit_task(task).await.unwrap();
    }
    play.claim(2).await;
    let spoil = |connection: &Connection, _: &mut Ledger| {
        Ok(connection.execute(
            "UPDATE task SET payload = '{' WHERE seq = (SELECT min(seq) FROM task)",
            (),
        )?)
    };
    assert_eq!(play.store.writer.count(spoil).await.unwrap(), 1);
    let released = play
        .store
        .release_expired(Timestamp::MAX, play.now(), 10)
        .await
        .unwrap();
    assert_eq!(released.len(), 2);
}
