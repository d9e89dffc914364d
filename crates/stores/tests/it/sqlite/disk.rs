//! Disks that are full, read-only or broken.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use model::{ErrorKind, Execution, ExecutionFilter, ExecutionStore as _, Store as _};
use serde_json::json;

use super::place::{SmallDisk, open, refusal};
use crate::{
    make::execution,
    walk::{BOTH, first_page},
};

/// Too large for many of them to fit.
fn large(number: u64) -> Execution {
    let mut stored = execution(number);
    stored.payload = json!("x".repeat(20_000));
    stored
}

async fn record_until_refused(store: &stores::SqliteStore, first: u64) -> (u64, model::Error) {
    for number in first..first + 100_000 {
        if let Err(error) = store.record_execution(large(number)).await {
            return (number, error);
        }
    }
    panic!("the disk never became full")
}

async fn assert_all_there(store: &stores::SqliteStore, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let found = store.find_execution(execution(number).id, None).await.unwrap();
        assert_eq!(found, Some(large(number)), "{number} was acknowledged");
    }
}

#[tokio::test]
async fn g03_a_full_disk_refuses_writes_while_reads_go_on_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount(8 * 1024) else {
        return;
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![7; 4 * 1024 * 1024]).unwrap();
    let store = open(disk.path()).unwrap();
    let (refused, error) = record_until_refused(&store, 1).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("full"), "{error}");
    for number in refused + 1..refused + 5 {
        assert!(store.record_execution(large(number)).await.is_err());
    }
    assert_all_there(&store, 1..refused).await;
    store.ping().await.unwrap();

    fs::remove_file(&ballast).unwrap();
    store.record_execution(large(refused)).await.unwrap();
    assert_all_there(&store, 1..=refused).await;
    let page = store
        .list_executions(&ExecutionFilter::default(), &first_page((), BOTH[0], 1))
        .await;
    assert_eq!(
        page.unwrap().total,
        refused,
        "nothing of what was refused is counted"
    );
    store.close().await.unwrap();
    let store = open(disk.path()).unwrap();
    assert_all_there(&store, 1..=refused).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn g03_a_read_only_file_system_is_refused_with_what_to_do() {
    let Some(disk) = SmallDisk::mount(4 * 1024) else {
        return;
    };
    open(disk.path()).unwrap().close().await.unwrap();
    disk.remount("ro");
    let message = refusal(disk.path());
    assert!(message.contains("can't be written"), "{message}");
    assert!(message.contains(disk.path().to_str().unwrap()), "{message}");
    disk.remount("rw");
    open(disk.path()).unwrap().close().await.unwrap();
}

#[test]
fn g03_a_place_that_is_no_directory_or_not_ones_own_is_refused_with_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains("can't be written"));
    let locked = parent.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(locked.join("probe"), "").is_ok() {
        println!("SKIPPED: this user may write everywhere");
        return;
    }
    assert!(refusal(&locked).contains("can't be written"));
}

/// Names the directory in which a second process, whose writes fail, plays its part.
const FAILING_DIRECTORY: &str = "STORES_TEST_FAILING_DIRECTORY";

#[tokio::test]
async fn g14_a_failed_write_ends_all_writing_until_the_store_is_opened_anew() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only way to tell a second process its part"
    )]
    let failing = std::env::var(FAILING_DIRECTORY);
    if let Ok(directory) = failing {
        return fail_in(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    // A write beyond the limit fails, as on a broken disk, and not with "no space left".
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact --nocapture \"$1\"",
        ])
        .arg(std::env::current_exe().unwrap())
        .arg("sqlite::disk::g14_a_failed_write_ends_all_writing_until_the_store_is_opened_anew")
        .env(FAILING_DIRECTORY, directory.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let acknowledged: u64 = printed
        .lines()
        .find_map(|line| line.split_once("acknowledged "))
        .and_then(|(_, number)| number.trim().parse().ok())
        .unwrap();
    let store = open(directory.path()).unwrap();
    assert_all_there(&store, 1..=acknowledged).await;
    store.record_execution(large(100_000)).await.unwrap();
    store.close().await.unwrap();
}

async fn fail_in(directory: &Path) {
    let store = open(directory).unwrap();
    let (refused, error) = record_until_refused(&store, 1).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let later = store.record_execution(execution(99_999)).await.unwrap_err();
    assert!(later.message().contains("started anew"), "{later}");
    assert!(store.ping().await.is_err(), "it is not ready");
    assert_all_there(&store, 1..refused).await;
    println!("acknowledged {}", refused - 1);
}
