//! Files that were torn, changed or left behind by a crash.

use std::{fs, path::Path, sync::Arc};

use model::{ErrorKind, ExecutionFilter, ExecutionStore as _, Store as _};
use tokio::task::JoinSet;

use super::place::{copy_files, log_file, open, refusal, store_file};
use crate::{
    make::{execution, tool, user_id},
    walk::{BOTH, first_page, walk},
};

async fn record(directory: &Path, numbers: std::ops::RangeInclusive<u64>) -> stores::SqliteStore {
    let store = open(directory).unwrap();
    for number in numbers {
        store.record_execution(execution(number)).await.unwrap();
    }
    store
}

/// Checks that the store holds the first executions without a gap, that lists, counters and rows agree, and
/// gives how many there are.
async fn whole_prefix(directory: &Path) -> u64 {
    let store = open(directory).unwrap();
    let mut lengths = Vec::new();
    for user in [None, Some(user_id(1))] {
        let filter = ExecutionFilter {
            user_id: user,
            ..ExecutionFilter::default()
        };
        let list = async |request: &_| store.list_executions(&filter, request).await;
        let (found, total) = walk(first_page((), BOTH[0], 100), list).await;
        for (number, found) in (1..).zip(&found) {
            assert_eq!(*found, execution(number));
        }
        assert_eq!(total, u64::try_from(found.len()).unwrap());
        lengths.push(total);
    }
    let counted = store
        .call_statistics(&[tool("echo")], None)
        .await
        .unwrap()
        .first()
        .map_or(0, |entry| entry.successes);
    store.close().await.unwrap();
    assert_eq!(lengths, [counted, counted]);
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_what_was_acknowledged_is_on_disk_at_that_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    for round in 0..5 {
        let mut callers = JoinSet::new();
        for number in round * 20 + 1..=round * 20 + 20 {
            let store = Arc::clone(&store);
            callers.spawn(async move { store.record_execution(execution(number)).await.unwrap() });
        }
        callers.join_all().await;
        let copy = copy_files(directory.path());
        assert_eq!(whole_prefix(copy.path()).await, (round + 1) * 20);
    }
}

#[tokio::test]
async fn g15_a_torn_tail_of_the_log_leaves_the_last_good_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = record(directory.path(), 1..=12).await;
    let whole = fs::metadata(log_file(directory.path())).unwrap().len();
    let mut lengths = Vec::new();
    for cut in (0..40).map(|step| step * whole / 40) {
        let copy = copy_files(directory.path());
        let log = fs::File::options()
            .write(true)
            .open(log_file(copy.path()))
            .unwrap();
        log.set_len(whole - cut).unwrap();
        lengths.push(whole_prefix(copy.path()).await);
    }
    assert_eq!(lengths.first(), Some(&12));
    assert!(lengths.is_sorted_by(|more, less| more >= less), "{lengths:?}");
    assert!(
        lengths.iter().any(|length| (1..12).contains(length)),
        "{lengths:?}"
    );
    drop(store);
}

#[tokio::test]
async fn g15_a_flipped_bit_in_the_log_leaves_the_commits_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = record(directory.path(), 1..=12).await;
    let whole = fs::read(log_file(directory.path())).unwrap();
    for step in 1..30 {
        let copy = copy_files(directory.path());
        let mut torn = whole.clone();
        let place = step * whole.len() / 30;
        torn[place] ^= 0x10;
        fs::write(log_file(copy.path()), torn).unwrap();
        assert!(whole_prefix(copy.path()).await <= 12);
    }
    drop(store);
}

#[tokio::test]
async fn g15_a_damaged_header_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    record(directory.path(), 1..=3).await.close().await.unwrap();
    let mut bytes = fs::read(store_file(directory.path())).unwrap();
    bytes[..16].copy_from_slice(b"no database here");
    fs::write(store_file(directory.path()), &bytes).unwrap();
    let message = refusal(directory.path());
    assert!(message.contains("store.sqlite3 can't be read"), "{message}");
    assert!(message.contains("restore a backup"), "{message}");
    assert_eq!(
        fs::read(store_file(directory.path())).unwrap(),
        bytes,
        "nothing was written over it"
    );
}

#[tokio::test]
async fn g15_lost_pages_are_an_error_and_never_invented_entries() {
    let directory = tempfile::tempdir().unwrap();
    record(directory.path(), 1..=200).await.close().await.unwrap();
    let mut bytes = fs::read(store_file(directory.path())).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    fs::write(store_file(directory.path()), bytes).unwrap();
    let Ok(store) = open(directory.path()) else { return };
    let mut request = first_page((), BOTH[0], 100);
    loop {
        match store.list_executions(&ExecutionFilter::default(), &request).await {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                break;
            }
            Ok(page) => {
                for found in &page.items {
                    let number = found.duration.as_micros() - 1500;
                    assert_eq!(*found, execution(u64::try_from(number).unwrap()));
                }
                assert!(
                    page.next.is_some(),
                    "half of the pages are gone, and nobody said so"
                );
                request.after = page.next;
            }
        }
    }
    assert_eq!(
        store.record_execution(execution(999)).await.unwrap_err().kind(),
        ErrorKind::Unavailable,
        "a damaged store is not written to"
    );
    assert!(store.ping().await.is_err());
}
