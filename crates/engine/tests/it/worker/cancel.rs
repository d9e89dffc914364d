//! Tasks that are called off while somebody is at them.

use model::TaskStatus;
use rstest::rstest;
use serde_json::json;

use super::{Works, operator, tried};

#[rstest]
#[case("wait")]
#[case("waitAndWrite")]
#[tokio::test]
async fn cancelling_a_task_stops_its_plugin_and_is_in_the_history(#[case] action: &str) {
    let works = Works::open();
    let id = works.submit(action, json!({})).await;
    works.claim().await;
    works.shop.lab.begun().await;
    works.shop.engine.cancel_task(&operator(), id).await.unwrap();
    works.worker.idle().await;
    assert_eq!(works.shop.lab.dropped(), 1);
    assert_eq!(works.status(id).await, TaskStatus::Cancelled);
    assert_eq!(works.tries(id).await, tried(&[(1, "cancelled")]));
    assert_eq!(works.work().await, 0);
    assert_eq!(works.shop.seen.count("TaskLeaseLost"), 0);
}

#[tokio::test]
async fn a_task_that_was_cancelled_elsewhere_is_stopped_at_the_next_renewal() {
    use model::{Clock as _, TaskStore as _};
    let works = Works::open();
    let id = works.submit("wait", json!({})).await;
    works.claim().await;
    works.shop.lab.begun().await;
    let now = works.shop.clock.now();
    works.shop.store.cancel_task(id, None, now).await.unwrap();
    assert_eq!(works.worker.renew().await.unwrap(), 1);
    works.worker.idle().await;
    assert_eq!(works.shop.lab.dropped(), 1);
    assert_eq!(works.tries(id).await, tried(&[(1, "cancelled")]));
    assert_eq!(works.shop.seen.count("TaskLeaseLost"), 1);
}

#[tokio::test]
async fn a_result_that_comes_after_the_cancellation_does_not_count() {
    let works = Works::open();
    let id = works.submit("echo", json!({})).await;
    let finishing = works.shop.store.hold("finish_task");
    works.claim().await;
    finishing.reached().await;
    works.shop.engine.cancel_task(&operator(), id).await.unwrap();
    finishing.release();
    works.worker.idle().await;
    let task = works.read(id).await;
    assert_eq!((task.standing.status, task.result), (TaskStatus::Cancelled, None));
    assert_eq!(works.tries(id).await, tried(&[(1, "cancelled")]));
}
