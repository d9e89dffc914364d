//! Copies of the embedded store.

use std::{fs, sync::Arc};

use stores::{
    Restoration, SqliteOptions, SqliteStore, copy_store, inspect_store,
    transfer::{Transfer as _, digest_all},
};
use tokio::task::JoinSet;

use super::{End as _, fill};
use crate::{
    engine::{Engine as _, Sqlite},
    make::{execution, job, task_id},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_others_write_holds_one_moment() {
    let place = Sqlite::default();
    fill(&place).await;
    let store = Arc::new(SqliteStore::open(place.path(), &SqliteOptions::default()).unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..4_u64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in 0..100 {
                let number = 10_000 + writer * 1_000 + number;
                // The task is there before the call, at every moment.
                model::TaskStore::submit_task(store.as_ref(), job(number))
                    .await
                    .unwrap();
                model::ExecutionStore::record_execution(store.as_ref(), execution(number))
                    .await
                    .unwrap();
            }
        });
    }
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy.sqlite3");
    let (from, to) = (place.path().to_owned(), copy.clone());
    tokio::task::spawn_blocking(move || copy_store(&from, &to))
        .await
        .unwrap()
        .unwrap();
    let contents = inspect_store(&copy).unwrap();
    let digests = contents.digests.unwrap();
    let count = |kind| digests.of(kind).count;
    let (tasks, calls) = (
        count(stores::transfer::RecordKind::Tasks) - 20,
        count(stores::transfer::RecordKind::Executions) - 22,
    );
    assert!(
        tasks >= calls && tasks <= calls + 4,
        "{tasks} tasks, {calls} calls"
    );
    writers.join_all().await;
    let left: Vec<String> = fs::read_dir(copies.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, ["copy.sqlite3"], "reading it leaves nothing beside it");
}

#[tokio::test]
async fn a_copy_in_the_place_of_a_store_is_that_store_again_and_the_other_is_kept() {
    let (place, other) = (Sqlite::default(), Sqlite::default());
    fill(&place).await;
    let copy = other.path().join("copy");
    copy_store(place.path(), &copy).unwrap();
    let store = other.open().await;
    store.submit_task(job(5)).await.unwrap();
    assert!(Restoration::begin(other.path()).is_err(), "it is in use");
    store.close().await.unwrap();
    drop(store);
    let restoration = Restoration::begin(other.path()).unwrap();
    assert!(restoration.place(&copy, "kept").unwrap());
    drop(restoration);
    let (source, restored) = (place.open_end().await, other.open_end().await);
    let mut seen = |_| {};
    assert_eq!(
        digest_all(source.as_ref(), &mut seen).await.unwrap(),
        digest_all(restored.as_ref(), &mut seen).await.unwrap()
    );
    restored.close().await.unwrap();
    let kept = tempfile::tempdir().unwrap();
    fs::copy(other.path().join("kept"), kept.path().join("store.sqlite3")).unwrap();
    let kept = SqliteStore::open(kept.path(), &SqliteOptions::default()).unwrap();
    let found = model::TaskStore::find_task(&kept, task_id(5), None)
        .await
        .unwrap();
    assert!(found.is_some());
    assert!(!kept.is_empty().await.unwrap());
}

#[tokio::test]
async fn a_damaged_copy_is_told() {
    let place = Sqlite::default();
    fill(&place).await;
    let copy = place.path().join("copy");
    copy_store(place.path(), &copy).unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&copy, bytes).unwrap();
    assert!(inspect_store(&copy).is_err());
    fs::write(&copy, "no store").unwrap();
    assert!(inspect_store(&copy).is_err());
    assert!(copy_store(&place.path().join("nowhere"), &copy).is_err());
}
