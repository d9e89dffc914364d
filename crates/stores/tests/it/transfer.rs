//! Moving everything from store to store, both ways.

mod backup;
mod moved;
mod record;
mod resume;

use std::sync::Arc;

use model::{
    AttemptEnd, ExecutionOutcome, IdempotencyKey, Inquiry, KeyUsage, NewTask, Priority, Question,
    QuestionKind, Questions, RequestDigest, Store, TaskEnding,
};
use serde_json::json;
use stores::transfer::{Transfer, TransferReport, transfer};
use uuid::Uuid;

use crate::{
    engine::{Engine, Sqlite},
    make::{
        account, admin, bytes, checked, claim, ending, event, execution, failure, job, job_after, job_at,
        job_of, key, key_hash, moment, recurring, running, session, tags, to_do, unique_key, user_id,
    },
};

/// A place that can be an end of a transfer.
pub(crate) trait End: Engine {
    /// Opens the store of this place, whole or not.
    fn open_end(&self) -> impl Future<Output = Arc<dyn Transfer>> + Send;

    /// Tells why the store can't be opened for use.
    fn refusal(&self) -> impl Future<Output = String> + Send;
}

impl End for Sqlite {
    async fn open_end(&self) -> Arc<dyn Transfer> {
        Arc::new(
            stores::SqliteStore::open_for_transfer(self.path(), &stores::SqliteOptions::default()).unwrap(),
        )
    }

    async fn refusal(&self) -> String {
        let opened = stores::SqliteStore::open(self.path(), &stores::SqliteOptions::default());
        opened.err().unwrap().to_string()
    }
}

#[cfg(feature = "mongodb")]
impl End for crate::engine::Mongo {
    async fn open_end(&self) -> Arc<dyn Transfer> {
        Arc::new(
            stores::MongoStore::open_for_transfer(self.options())
                .await
                .unwrap(),
        )
    }

    async fn refusal(&self) -> String {
        stores::MongoStore::open(self.options())
            .await
            .err()
            .unwrap()
            .to_string()
    }
}

/// Makes a test of each case, for each pair of databases that a store is moved between.
#[macro_export]
macro_rules! between_all_engines {
    ($($case:ident),* $(,)?) => {
        $crate::cases_between!(sqlite_to_sqlite, $crate::engine::Sqlite, $crate::engine::Sqlite, $($case),*);
        #[cfg(feature = "mongodb")]
        $crate::cases_between!(sqlite_to_mongodb, $crate::engine::Sqlite, $crate::engine::Mongo, $($case),*);
        #[cfg(feature = "mongodb")]
        $crate::cases_between!(mongodb_to_sqlite, $crate::engine::Mongo, $crate::engine::Sqlite, $($case),*);
    };
}

/// Makes a test of each case for one pair.
#[macro_export]
macro_rules! cases_between {
    ($name:ident, $from:ty, $to:ty, $($case:ident),*) => {
        mod $name {
            use $crate::engine::Engine as _;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if <$from>::is_there() && <$to>::is_there() {
                        super::$case(<$from>::default(), <$to>::default()).await;
                    }
                }
            )*
        }
    };
}

pub(crate) fn run(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Moves everything, and closes both stores.
pub(crate) async fn move_all(from: &impl End, to: &impl End, number: u128) -> TransferReport {
    let (source, target) = (from.open_end().await, to.open_end().await);
    let report = transfer(source.as_ref(), target.as_ref(), run(number), &mut |_| {}).await;
    source.close().await.unwrap();
    target.close().await.unwrap();
    report.unwrap()
}

/// Puts a bit of everything into a store, and closes it.
pub(crate) async fn fill(place: &impl Engine) {
    let store = place.open().await;
    fill_accounts(&store).await;
    fill_history(&store).await;
    fill_tasks(&store).await;
    store.close().await.unwrap();
}

async fn fill_accounts(store: &Arc<dyn Store>) {
    store.create_first_admin(&admin(9)).await.unwrap();
    for number in [1, 2, 3] {
        let mut account = account(number);
        let metadata = json!({ "n": 0.1, "$set": { "a.b": null }, "é": [1e300, -7] });
        account.user.metadata = metadata.as_object().cloned();
        store.create_user(&account).await.unwrap();
        for session_number in [number * 10, number * 10 + 1] {
            let session = session(user_id(number), session_number);
            assert!(store.open_session(&session, &checked(number)).await.unwrap());
        }
        let key = key(user_id(number), number);
        store.create_key(&key, &key_hash(number), 10).await.unwrap();
        let usage = KeyUsage {
            id: key.id,
            user_id: user_id(number),
            count: number * 5,
            last_used_at: moment(90_000_000),
        };
        store.record_key_usage(&[usage]).await.unwrap();
        let email = account.user.email.folded();
        let event = event(user_id(number), number * 7);
        let failed = store.record_sign_in_failure(&email, moment(5), moment(0), Some(&event));
        failed.await.unwrap();
    }
    let claim = store.claim_idempotency_key(
        IdempotencyKey(bytes(1)),
        RequestDigest(bytes(2)),
        moment(0),
        moment(100),
    );
    claim.await.unwrap();
    store
        .record_answer(IdempotencyKey(bytes(1)), vec![7; 300])
        .await
        .unwrap();
    let claim = store.claim_idempotency_key(
        IdempotencyKey(bytes(3)),
        RequestDigest(bytes(4)),
        moment(0),
        moment(100),
    );
    claim.await.unwrap();
}

async fn fill_history(store: &Arc<dyn Store>) {
    for number in 1..=20 {
        store.record_execution(execution(number)).await.unwrap();
    }
    store.record_execution(running(21)).await.unwrap();
    let mut failed = execution(22);
    failed.outcome = failure();
    failed.user_id = None;
    store.record_execution(failed).await.unwrap();
}

async fn fill_tasks(store: &Arc<dyn Store>) {
    let with_key = NewTask {
        unique_key: unique_key("only one"),
        tags: tags(&["a", "b c"]),
        ..job_at(Priority::Low, 140)
    };
    let early = [job(101), job(102), job(103), job_of(2, 104)];
    for task in early {
        store.submit_task(task).await.unwrap();
    }
    let held = store.claim_tasks(claim(1_000, 4)).await.unwrap().tasks;
    assert_eq!(held.len(), 4);
    let [done, failed, asking, _held] = held.as_slice() else {
        panic!("four were claimed");
    };
    let end = ending(done, AttemptEnd::Succeeded, 1_010);
    store.finish_task(done.hold(), &end).await.unwrap();
    let end = ending(failed, AttemptEnd::FailedForGood, 1_011);
    store.finish_task(failed.hold(), &end).await.unwrap();
    let question = Question {
        kind: QuestionKind::Elicitation,
        params: json!({ "message": "who?" }).as_object().cloned().unwrap(),
    };
    let questions = Questions {
        asked: [("who".to_owned(), question)].into_iter().collect(),
        state: Some(json!({ "seen": 3 })),
    };
    let asked = TaskEnding {
        inquiry: Some(Inquiry::after(None, questions).unwrap()),
        ..ending(asking, AttemptEnd::Asked, 1_012)
    };
    store.finish_task(asking.hold(), &asked).await.unwrap();
    let mut later = job(130);
    later.scheduled_at = Some(moment(500_000));
    let waiting = [to_do(120), later, with_key, recurring(150, 400_000)];
    for task in waiting
        .into_iter()
        .chain((160..170).map(|number| job_of(number % 3 + 1, number)))
    {
        store.submit_task(task).await.unwrap();
    }
    store
        .submit_tasks(vec![job_after(&[162], 181), job_after(&[162, 165, 120], 182)])
        .await
        .unwrap();
    assert!(matches!(
        end.execution.unwrap().outcome,
        ExecutionOutcome::Failure(_)
    ));
}
