//! Tasks that are watched on their way.

use std::{sync::mpsc, time::Duration};

use engine::TaskUpdate;
use model::{Clock as _, ErrorCode, Progress, TaskQueue as _, TaskStatus, TaskStore as _};
use tokio::{runtime::Builder, task::spawn_blocking, time::timeout};

use super::{claim, echo, finish, submit, to_do, well};
use crate::shop::{Shop, user};

const PATIENCE: Duration = Duration::from_secs(30);

/// Does a test while no timer ends: nothing is seen by a look of its own.
fn while_time_stands_still(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        // While a blocking task runs, the clock of timers stands still until it is moved.
        let (end, ended) = mpsc::channel::<()>();
        let standing_still = spawn_blocking(move || ended.recv());
        test.await;
        drop(end);
        assert!(standing_still.await.unwrap().is_err());
    });
}

async fn changed(watch: &mut engine::TaskWatch) -> Option<model::Task> {
    timeout(PATIENCE, watch.changed()).await.unwrap()
}

#[test]
fn what_people_do_to_a_task_is_seen_at_once() {
    while_time_stands_still(see_what_people_do());
}

async fn see_what_people_do() {
    let shop = Shop::open();
    let id = submit(&shop, &user(1), echo("a")).await.unwrap().id;
    let mut watch = shop.engine.watch_task(&user(1), id).await.unwrap();
    assert_eq!(watch.task().standing.status, TaskStatus::Pending);
    shop.engine.cancel_task(&user(1), id).await.unwrap();
    let seen = changed(&mut watch).await.unwrap();
    assert_eq!(seen.standing.status, TaskStatus::Cancelled);
    assert_eq!(watch.task(), &seen);
    shop.engine.retry_task(&user(1), id).await.unwrap();
    assert_eq!(
        changed(&mut watch).await.unwrap().standing.status,
        TaskStatus::Pending
    );
    let update = TaskUpdate {
        title: Some("another".parse().unwrap()),
        ..TaskUpdate::default()
    };
    shop.engine.update_task(&user(1), id, update).await.unwrap();
    assert_eq!(changed(&mut watch).await.unwrap().title.as_str(), "another");
    shop.engine.delete_task(&user(1), id).await.unwrap();
    assert_eq!(changed(&mut watch).await, None);
}

#[tokio::test]
async fn what_other_processes_do_to_a_task_is_seen_too() {
    let shop = Shop::open();
    let id = submit(&shop, &user(1), echo("a")).await.unwrap().id;
    let mut watch = shop.engine.watch_task(&user(1), id).await.unwrap();
    let held = claim(&shop).await.remove(0);
    let seen = changed(&mut watch).await.unwrap();
    assert_eq!(seen.standing.status, TaskStatus::InProgress);
    let hold = model::Hold {
        task: id,
        attempt: seen.standing.attempt,
    };
    let progress = Progress {
        fraction: 0.5,
        message: None,
    };
    let reported = shop.store.report_progress(hold, progress, shop.clock.now());
    reported.await.unwrap();
    assert_eq!(changed(&mut watch).await.unwrap().progress.unwrap().fraction, 0.5);
    finish(&shop, &held, well(&held)).await;
    let seen = changed(&mut watch).await.unwrap();
    assert_eq!(seen.standing.status, TaskStatus::Completed);
    assert!(seen.result.is_some());
}

#[tokio::test]
async fn a_lease_that_is_renewed_is_no_change() {
    let shop = Shop::open();
    let id = submit(&shop, &user(1), echo("a")).await.unwrap().id;
    claim(&shop).await;
    let mut watch = shop.engine.watch_task(&user(1), id).await.unwrap();
    let (worker, hold) = (
        watch.task().standing.lease.unwrap().worker,
        model::Hold { task: id, attempt: 1 },
    );
    let until = shop.clock.now().plus(PATIENCE);
    let lost = shop.store.renew_leases(worker, &[hold], until).await.unwrap();
    assert!(lost.is_empty());
    let looking = shop.store.hold("find_task");
    let two_looks = async {
        for _ in 0..2 {
            looking.reached().await;
            looking.release();
        }
    };
    tokio::select! {
        seen = watch.changed() => panic!("{seen:?}"),
        looked = timeout(PATIENCE, two_looks) => looked.unwrap(),
    }
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_ends_no_watch() {
    let shop = Shop::open();
    let id = submit(&shop, &user(1), to_do("a")).await.unwrap().id;
    let mut watch = shop.engine.watch_task(&user(1), id).await.unwrap();
    shop.store.fail("find_task");
    shop.store.cancel_task(id, None, shop.clock.now()).await.unwrap();
    let seen = changed(&mut watch).await.unwrap();
    assert_eq!(seen.standing.status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_wait_that_is_given_up_misses_nothing() {
    let shop = Shop::open();
    let id = submit(&shop, &user(1), to_do("a")).await.unwrap().id;
    let mut watch = shop.engine.watch_task(&user(1), id).await.unwrap();
    for millis in [0, 20] {
        let given_up = timeout(Duration::from_millis(millis), watch.changed()).await;
        assert!(given_up.is_err());
    }
    shop.engine.cancel_task(&user(1), id).await.unwrap();
    if timeout(Duration::ZERO, watch.changed()).await.is_err() {
        changed(&mut watch).await.unwrap();
    }
    assert_eq!(watch.task().standing.status, TaskStatus::Cancelled);
}

#[tokio::test]
async fn b01_another_persons_task_is_not_watched() {
    let shop = Shop::open();
    let id = submit(&shop, &user(1), to_do("a")).await.unwrap().id;
    let refused = shop.engine.watch_task(&user(2), id).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::NotFound);
}
