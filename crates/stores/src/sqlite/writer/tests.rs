//! What can't be brought about through the store's ports: panics, refusals within one transaction, floods.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use model::{ErrorKind, Timestamp};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::sqlite::{
    connection::{open_first, open_reader},
    failure::Fault,
    ledger::Skew,
};

struct Bench {
    directory: TempDir,
    writer: Arc<Writer>,
    condition: Arc<Condition>,
}

impl Bench {
    fn new(queue_length: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite3");
        std::fs::write(&path, "").unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let connection = open_first(&path, 256).unwrap();
        let condition = Arc::new(Condition::default());
        let checkpointer = Checkpointer::start(path, Arc::clone(&condition)).unwrap();
        let queue = (queue_length, Duration::from_millis(1));
        let writer = Writer::start(connection, lock, Arc::clone(&condition), checkpointer, queue).unwrap();
        Self {
            directory,
            writer: Arc::new(writer),
            condition,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.sqlite3")
    }

    /// Holds the writer up in a step of its own, until a word comes or the sender goes.
    fn hold(&self) -> (SyncSender<()>, JoinSet<Result<()>>) {
        let (go_on, held): (SyncSender<()>, Receiver<()>) = sync_channel(0);
        let (begun, has_begun) = sync_channel(1);
        let writer = Arc::clone(&self.writer);
        let holding = spawn(async move {
            writer
                .step(move |_| {
                    begun.send(()).unwrap();
                    held.recv().unwrap();
                    Ok(())
                })
                .await
        });
        tokio::task::block_in_place(|| has_begun.recv().unwrap());
        (go_on, holding)
    }

    fn names(&self) -> Vec<String> {
        let connection = open_reader(&self.path(), 256).unwrap();
        let mut statement = connection.prepare("SELECT name FROM fact ORDER BY name").unwrap();
        let names = statement.query_map((), |row| row.get(0)).unwrap();
        names.collect::<rusqlite::Result<_>>().unwrap()
    }
}

fn add(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO fact (name, value) VALUES (?1, 0)")?
        .execute([name])
        .map(|_| ())
}

/// Lets a caller run beside the test.
fn spawn<R: Send + 'static>(caller: impl Future<Output = R> + Send + 'static) -> JoinSet<R> {
    let mut set = JoinSet::new();
    set.spawn(caller);
    set
}

/// Waits for what a caller gets.
async fn end<R: 'static>(mut caller: JoinSet<R>) -> R {
    caller.join_next().await.unwrap().unwrap()
}

/// Waits until `count` steps are in the queue.
async fn queued(bench: &Bench, count: usize) {
    let queue = bench.writer.queue.lock().clone().unwrap();
    while queue.max_capacity() - queue.capacity() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_panic_and_a_refusal_are_undone_while_their_neighbours_stay() {
    let bench = Bench::new(16);
    let (go_on, holding) = bench.hold();
    let submit = |name: &'static str, end: fn() -> Outcome<()>| {
        let writer = Arc::clone(&bench.writer);
        spawn(async move {
            writer
                .step(move |connection| {
                    add(connection, name)?;
                    end()
                })
                .await
        })
    };
    let before = submit("a", || Ok(()));
    let panicking = submit("b", || panic!("on purpose"));
    let refused = submit("c", || Err(Error::not_found("thing").into()));
    let broken = submit("d", || Err(rusqlite::Error::QueryReturnedNoRows.into()));
    let after = submit("e", || Ok(()));
    queued(&bench, 5).await;
    drop(go_on);
    assert_eq!(end(holding).await.unwrap_err().kind(), ErrorKind::Bug);
    end(before).await.unwrap();
    assert_eq!(end(panicking).await.unwrap_err().kind(), ErrorKind::Bug);
    assert_eq!(end(refused).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(end(broken).await.unwrap_err().kind(), ErrorKind::Bug);
    end(after).await.unwrap();
    assert_eq!(bench.names(), ["a", "e"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_step_takes_its_transaction_with_it_and_the_next_one_works() {
    let bench = Bench::new(16);
    let (go_on, holding) = bench.hold();
    let submit = |name: &'static str, is_torn: bool| {
        let writer = Arc::clone(&bench.writer);
        spawn(async move {
            writer
                .count(move |connection, _| {
                    add(connection, name)?;
                    if is_torn {
                        Err(Fault::Torn(rusqlite::Error::InvalidQuery))
                    } else {
                        Ok(())
                    }
                })
                .await
        })
    };
    let neighbour = submit("a", false);
    let torn = submit("b", true);
    queued(&bench, 2).await;
    go_on.send(()).unwrap();
    end(holding).await.unwrap();
    for lost in [neighbour, torn] {
        assert_eq!(end(lost).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    end(submit("c", false)).await.unwrap();
    assert_eq!(bench.names(), ["c"]);
    assert!(!bench.condition.has_failed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_is_refused_and_what_it_holds_is_done() {
    let bench = Bench::new(2);
    let (go_on, holding) = bench.hold();
    let submit = |name: &'static str| {
        let writer = Arc::clone(&bench.writer);
        spawn(async move { writer.step(move |connection| Ok(add(connection, name)?)).await })
    };
    let held = [submit("a"), submit("b")];
    queued(&bench, 2).await;
    let refused = end(submit("c")).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Overloaded);
    go_on.send(()).unwrap();
    end(holding).await.unwrap();
    for step in held {
        end(step).await.unwrap();
    }
    assert_eq!(bench.names(), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_before_closing_is_done_and_what_comes_after_is_refused() {
    let bench = Bench::new(16);
    let (go_on, holding) = bench.hold();
    let writer = Arc::clone(&bench.writer);
    let taken = spawn(async move { writer.step(|connection| Ok(add(connection, "a")?)).await });
    queued(&bench, 1).await;
    let writer = Arc::clone(&bench.writer);
    let closing = spawn(async move { writer.close().await });
    go_on.send(()).unwrap();
    end(holding).await.unwrap();
    end(taken).await.unwrap();
    assert!(end(closing).await.unwrap());
    let late = bench.writer.step(|connection| Ok(add(connection, "b")?)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.names(), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_transaction_does_not_narrow_what_is_known_of_the_times_in_ids() {
    const MILLIS_OF_ID: u128 = 1_770_000_000_000;
    let bench = Bench::new(16);
    let note = async |behind: i64, is_torn: bool| {
        let accepted_at = Timestamp::from_millis(1_770_000_000_000 - behind);
        let id = Uuid::from_u128(MILLIS_OF_ID << 80);
        bench
            .writer
            .count(move |connection, ledger| {
                ledger.note_skew(connection, id, accepted_at)?;
                if is_torn {
                    Err(Fault::Torn(rusqlite::Error::InvalidQuery))
                } else {
                    Ok(())
                }
            })
            .await
    };
    note(500, false).await.unwrap();
    note(900, true).await.unwrap_err();
    note(20, false).await.unwrap();
    note(-30, false).await.unwrap();
    let connection = open_reader(&bench.path(), 256).unwrap();
    let skew = Skew::read(&connection).unwrap();
    assert_eq!(
        skew,
        Skew {
            least: -30,
            most: 500
        }
    );
}
