//! One process at a time, and one version after another.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
};

use model::Store as _;
use stores::SqliteStore;

use super::place::{open, refusal, store_file};

async fn closed_store(directory: &Path) {
    let store: SqliteStore = open(directory).unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn g08_a_second_opening_of_one_directory_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let message = refusal(directory.path());
    let holder = format!("another process ({})", std::process::id());
    assert!(message.starts_with(&holder), "{message}");
    assert!(message.contains(directory.path().to_str().unwrap()), "{message}");
    first.ping().await.unwrap();
    first.close().await.unwrap();
    closed_store(directory.path()).await;
}

#[tokio::test]
async fn g08_a_store_that_is_dropped_lets_go_of_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        drop(open(directory.path()).unwrap());
    }
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_stored() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("made/for/it");
    let store = open(&directory).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    store.close().await.unwrap();
}

/// Where the header of a database file holds the version that its user gave it (SQLite file format, §1.3).
const USER_VERSION_OFFSET: u64 = 60;

/// Where it holds the number of the application that it belongs to.
const APPLICATION_ID_OFFSET: u64 = 68;

fn patch(directory: &Path, offset: u64, value: u32) {
    let file = File::options().write(true).open(store_file(directory)).unwrap();
    file.write_all_at(&value.to_be_bytes(), offset).unwrap();
}

#[tokio::test]
async fn g09_a_store_of_a_newer_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    closed_store(directory.path()).await;
    patch(directory.path(), USER_VERSION_OFFSET, 99);
    let before = fs::read(store_file(directory.path())).unwrap();
    let message = refusal(directory.path());
    assert!(
        message.contains("newer version") && message.contains("99"),
        "{message}"
    );
    assert_eq!(fs::read(store_file(directory.path())).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    closed_store(directory.path()).await;
    patch(directory.path(), APPLICATION_ID_OFFSET, 7);
    let message = refusal(directory.path());
    assert!(message.contains("another program"), "{message}");
}
