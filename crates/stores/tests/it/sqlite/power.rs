//! The power fails: of what was written and not synced, any part may have reached the disk.

use std::{fs, path::Path, sync::Arc};

use model::{NewTask, Store as _, TaskFilter, TaskQueue as _, TaskSort, TaskStatus, TaskStore as _};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::place::{log_file, open, store_file};
use crate::{
    make::{claim, job, task_id},
    walk::{BOTH, first_page, walk},
};

/// What a disk writes as one.
const BLOCK: usize = 4096;

/// Chance that repeats itself (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A job whose payload takes `bytes`.
fn weighty(number: u64, bytes: usize) -> NewTask {
    let mut task = job(number);
    if let Some(job) = &mut task.job {
        job.payload = json!({ "message": "x".repeat(bytes) });
    }
    task
}

/// What the system's cache holds of the two files.
struct Image {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Image {
    fn of(directory: &Path) -> Self {
        Self {
            database: fs::read(store_file(directory)).unwrap(),
            log: fs::read(log_file(directory)).unwrap(),
        }
    }

    /// The disk after a power loss at a moment when the first `synced` bytes of the log were synced: of what came
    /// after them, some blocks are there up to a place, beyond it any, and the log may end before.
    fn with_part_of_log(&self, synced: usize, chance: &mut Chance) -> TempDir {
        let end = synced + chance.below(self.log.len() - synced + 1);
        let solid = synced + chance.below(end - synced + 1);
        let mut log = self.log[..end].to_vec();
        for start in (solid / BLOCK * BLOCK..end).step_by(BLOCK) {
            if chance.below(2) == 0 {
                log[start.max(solid)..end.min(start + BLOCK)].fill(0);
            }
        }
        written(&self.database, &log)
    }

    /// The disk after a power loss in the middle of a checkpoint: each block of the database is as it was in
    /// `before`, or as it is now.
    fn with_part_of_database(&self, before: &Self, chance: &mut Chance) -> TempDir {
        let mut database = self.database.clone();
        for (place, block) in database.chunks_mut(BLOCK).enumerate() {
            if chance.below(2) == 0 {
                match before.database.chunks(BLOCK).nth(place) {
                    Some(old) => block.copy_from_slice(old),
                    None => block.fill(0),
                }
            }
        }
        written(&database, &self.log)
    }
}

fn written(database: &[u8], log: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(store_file(directory.path()), database).unwrap();
    fs::write(log_file(directory.path()), log).unwrap();
    directory
}

/// Opens the store, and checks that it holds the first `acknowledged` tasks, no task in part, and that lists,
/// counts and the queue agree; gives how many tasks there are.
async fn survivors(directory: &Path, acknowledged: u64, bytes: usize) -> u64 {
    let store = open(directory).unwrap();
    for number in 1..=acknowledged {
        let found = store.find_task(task_id(number), None).await.unwrap();
        assert!(found.is_some(), "{number} was acknowledged, and is gone");
    }
    let filter = TaskFilter::default();
    let list = async |request: &_| store.list_tasks(&filter, request).await;
    let (found, total) = walk(first_page(TaskSort::CreatedAt, BOTH[0], 100), list).await;
    assert_eq!(total, u64::try_from(found.len()).unwrap());
    for task in &found {
        let kept = task.job.as_ref().unwrap();
        assert_eq!(Some(kept), weighty(1, bytes).job.as_ref());
    }
    let ready = store.queue_depth().await.unwrap().ready;
    assert_eq!(ready.iter().sum::<u64>(), total);
    let overview = store
        .task_overview(None, model::Timestamp::default(), 1)
        .await
        .unwrap();
    let pending = overview
        .counts
        .iter()
        .filter(|entry| entry.status == TaskStatus::Pending);
    assert_eq!(pending.map(|entry| entry.count).sum::<u64>(), total);
    let claimed = store.claim_tasks(claim(1_000_000, 1_000)).await.unwrap();
    assert_eq!(u64::try_from(claimed.tasks.len()).unwrap(), total);
    store.close().await.unwrap();
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g02_tasks_acknowledged_before_a_power_loss_are_there_after_it() {
    const BURST: u64 = 12;
    let mut chance = Chance(7);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    let mut moments = Vec::new();
    let mut acknowledged = 0;
    for _ in 0..8 {
        let mut burst = JoinSet::new();
        for number in acknowledged + 1..=acknowledged + BURST {
            let store = Arc::clone(&store);
            burst.spawn(async move { store.submit_task(weighty(number, 10)).await.unwrap() });
        }
        burst.join_all().await;
        acknowledged += BURST;
        // Nothing is under way: what is in the log was synced before it was acknowledged.
        moments.push((acknowledged, fs::read(log_file(directory.path())).unwrap().len()));
    }
    let image = Image::of(directory.path());
    let mut later = 0;
    for (acknowledged, synced) in moments {
        for _ in 0..6 {
            let disk = image.with_part_of_log(synced, &mut chance);
            later += survivors(disk.path(), acknowledged, 10).await - acknowledged;
        }
    }
    assert!(later > 0, "no unsynced commit was ever on the disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g02_a_checkpoint_that_a_power_loss_cuts_short_loses_nothing() {
    /// More than what makes a checkpoint due.
    const TASKS: u64 = 400;
    const BYTES: usize = 40_000;
    let mut chance = Chance(11);
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.submit_task(weighty(1, BYTES)).await.unwrap();
    let before = Image::of(directory.path());
    let rest = (2..=TASKS).map(|number| weighty(number, BYTES)).collect();
    store.submit_tasks(rest).await.unwrap();
    let mut acknowledged = TASKS;
    let length = || fs::metadata(store_file(directory.path())).unwrap().len();
    while length() == u64::try_from(before.database.len()).unwrap() {
        acknowledged += 1;
        assert!(acknowledged < 2 * TASKS, "no checkpoint was ever made");
        store.submit_task(weighty(acknowledged, BYTES)).await.unwrap();
    }
    // The checkpoint may be anywhere between its beginning and its end.
    let image = Image::of(directory.path());
    assert!(
        image.log.starts_with(&before.log[..32]),
        "the log was begun anew meanwhile"
    );
    for _ in 0..4 {
        let disk = image.with_part_of_database(&before, &mut chance);
        assert_eq!(survivors(disk.path(), acknowledged, BYTES).await, acknowledged);
    }
}
