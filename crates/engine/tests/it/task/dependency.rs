//! Tasks that wait for others.

use engine::TaskUpdate;
use model::{ErrorCode, TaskId, TaskStatus};

use super::{after, badly, echo, read, settle, submit, to_do, well, work};
use crate::shop::{Shop, user};

async fn status(shop: &Shop, id: TaskId) -> TaskStatus {
    read(shop, id).await.standing.status
}

/// Two tasks, and one that waits for both.
async fn fork(shop: &Shop) -> (TaskId, TaskId, TaskId) {
    let a = submit(shop, &user(1), echo("a")).await.unwrap().id;
    let b = submit(shop, &user(1), echo("b")).await.unwrap().id;
    let c = submit(shop, &user(1), after("c", &[a, b])).await.unwrap().id;
    (a, b, c)
}

#[tokio::test]
async fn a_task_starts_once_all_that_it_depends_on_are_completed() {
    let shop = Shop::open();
    fork(&shop).await;
    assert_eq!(work(&shop, well).await, ["a", "b"]);
    assert!(work(&shop, well).await.is_empty(), "not told yet");
    settle(&shop).await;
    assert_eq!(work(&shop, well).await, ["c"]);
}

#[tokio::test]
async fn a_task_that_is_submitted_after_all_that_it_depends_on_starts_at_once() {
    let shop = Shop::open();
    let a = submit(&shop, &user(1), echo("a")).await.unwrap().id;
    work(&shop, well).await;
    submit(&shop, &user(1), after("b", &[a])).await.unwrap();
    assert_eq!(work(&shop, well).await, ["b"]);
}

#[tokio::test]
async fn when_one_fails_those_that_depend_on_it_are_cancelled_with_the_reason_and_so_on() {
    let shop = Shop::open();
    let (a, b, c) = fork(&shop).await;
    let d = submit(&shop, &user(1), after("d", &[c])).await.unwrap().id;
    work(&shop, |task| if task.id == a { badly(task) } else { well(task) }).await;
    settle(&shop).await;
    assert_eq!(status(&shop, b).await, TaskStatus::Completed);
    for id in [c, d] {
        let task = read(&shop, id).await;
        assert_eq!(task.standing.status, TaskStatus::Cancelled);
        assert_eq!(task.error.unwrap().code, "dependency_failed");
    }
    assert!(work(&shop, well).await.is_empty());
}

#[tokio::test]
async fn when_one_is_called_off_those_that_depend_on_it_are_cancelled() {
    let shop = Shop::open();
    let (a, _, c) = fork(&shop).await;
    shop.engine.cancel_task(&user(1), a).await.unwrap();
    settle(&shop).await;
    assert_eq!(status(&shop, c).await, TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_to_do_can_be_waited_for_until_somebody_has_done_it() {
    let shop = Shop::open();
    let approval = submit(&shop, &user(1), to_do("approve")).await.unwrap().id;
    submit(&shop, &user(1), after("deploy", &[approval]))
        .await
        .unwrap();
    settle(&shop).await;
    assert!(work(&shop, well).await.is_empty());
    let done = TaskUpdate {
        status: Some(TaskStatus::Completed),
        ..TaskUpdate::default()
    };
    shop.engine.update_task(&user(1), approval, done).await.unwrap();
    settle(&shop).await;
    assert_eq!(work(&shop, well).await, ["deploy"]);
}

#[tokio::test]
async fn what_is_to_be_told_is_not_forgotten_when_the_process_dies() {
    let shop = Shop::open();
    fork(&shop).await;
    work(&shop, well).await;
    let shop = shop.restarted().await;
    settle(&shop).await;
    assert_eq!(work(&shop, well).await, ["c"]);
}

#[tokio::test]
async fn a_task_on_which_a_thousand_depend_frees_them_all() {
    let shop = Shop::open();
    let first = submit(&shop, &user(1), echo("first")).await.unwrap().id;
    let many = (0..1_000)
        .map(|number| after(&number.to_string(), &[first]))
        .collect();
    shop.engine.submit_tasks(&user(1), many, None).await.unwrap();
    work(&shop, well).await;
    settle(&shop).await;
    let mut done = 0;
    loop {
        let batch = work(&shop, well).await.len();
        if batch == 0 {
            break;
        }
        done += batch;
    }
    assert_eq!(done, 1_000);
}

#[tokio::test]
async fn a_task_that_was_cancelled_with_another_is_tried_anew_after_that_one() {
    let shop = Shop::open();
    let (a, _, c) = fork(&shop).await;
    shop.engine.cancel_task(&user(1), a).await.unwrap();
    settle(&shop).await;
    let refused = shop.engine.retry_task(&user(1), c).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    shop.engine.retry_task(&user(1), a).await.unwrap();
    shop.engine.retry_task(&user(1), c).await.unwrap();
    assert_eq!(work(&shop, well).await, ["b", "a"]);
    settle(&shop).await;
    assert_eq!(work(&shop, well).await, ["c"]);
}

#[tokio::test]
async fn a_task_that_was_called_off_by_itself_waits_for_the_others_when_it_is_tried_anew() {
    let shop = Shop::open();
    let (_, _, c) = fork(&shop).await;
    shop.engine.cancel_task(&user(1), c).await.unwrap();
    shop.engine.retry_task(&user(1), c).await.unwrap();
    assert_eq!(work(&shop, well).await, ["a", "b"]);
    settle(&shop).await;
    assert_eq!(work(&shop, well).await, ["c"]);
}
