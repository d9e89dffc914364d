//! Tasks that are changed, called off, tried anew and removed.

use std::time::Duration;

use engine::{ScheduleRequest, ScheduleUpdate, TaskRequest, TaskUpdate};
use model::{ErrorCode, Priority, TaskStatus, TaskTitle};
use rstest::rstest;
use serde_json::json;

use super::{after, badly, claim, echo, finish, job, paths, read, submit, titles, to_do, well, work};
use crate::{
    fixture::code,
    shop::{Shop, key, user},
};

fn renamed(title: &str) -> TaskUpdate {
    TaskUpdate {
        title: TaskTitle::parse(title).ok(),
        ..TaskUpdate::default()
    }
}

fn recurring() -> TaskRequest {
    TaskRequest {
        schedule: Some(ScheduleRequest {
            cron: "0 6 * * *".to_owned(),
            timezone: None,
            catch_up: None,
        }),
        ..echo("nightly")
    }
}

#[tokio::test]
async fn a_pending_task_s_work_can_change_and_is_checked_as_at_first() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), job("x", "strict", json!({ "message": "a" })))
        .await
        .unwrap();
    let update = |payload| TaskUpdate {
        payload: Some(payload),
        priority: Some(Priority::High),
        scheduled_at: Some("2026-06-01T12:00:10Z".parse().ok()),
        timeout: Some(Some(Duration::from_secs(1))),
        max_retries: Some(0),
        ..TaskUpdate::default()
    };
    let refused = shop
        .engine
        .update_task(&user(1), task.id, update(json!({ "message": 1 })))
        .await;
    assert_eq!(paths(refused), ["payload.message"]);
    assert_eq!(read(&shop, task.id).await, task);
    let changed = shop
        .engine
        .update_task(&user(1), task.id, update(json!({ "message": "b" })))
        .await
        .unwrap();
    assert_eq!(changed.job.as_ref().unwrap().payload, json!({ "message": "b" }));
    assert_eq!(
        (changed.priority, changed.standing.max_retries),
        (Priority::High, 0)
    );
    assert!(claim(&shop).await.is_empty(), "not before its new time");
    shop.clock.advance(Duration::from_secs(10));
    assert_eq!(claim(&shop).await[0].job, changed.job);
}

#[tokio::test]
async fn a_running_task_s_definition_stays_and_its_name_may_change() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let running = claim(&shop).await.remove(0);
    let update = TaskUpdate {
        payload: Some(json!({})),
        ..TaskUpdate::default()
    };
    let refused = shop.engine.update_task(&user(1), task.id, update.clone()).await;
    assert_eq!(code(refused), ErrorCode::Conflict);
    let changed = shop
        .engine
        .update_task(&user(1), task.id, renamed("the report"))
        .await
        .unwrap();
    assert_eq!(changed.title.as_str(), "the report");
    finish(&shop, &running, well(&running)).await;
    let refused = shop.engine.update_task(&user(1), task.id, update).await;
    assert_eq!(code(refused), ErrorCode::Conflict);
}

#[rstest]
#[case(to_do("x"), TaskUpdate { payload: Some(json!({})), max_stalls: Some(1), ..TaskUpdate::default() }, &["payload", "maxStalls"])]
#[case(to_do("x"), TaskUpdate { schedule: Some(ScheduleUpdate::default()), ..TaskUpdate::default() }, &["schedule"])]
#[case(echo("x"), TaskUpdate { schedule: Some(ScheduleUpdate::default()), ..TaskUpdate::default() }, &["schedule"])]
#[case(echo("x"), TaskUpdate { max_retries: Some(101), timeout: Some(Some(Duration::ZERO)), ..TaskUpdate::default() }, &["maxRetries", "timeoutMs"])]
#[case(echo("x"), TaskUpdate { scheduled_at: Some("2126-07-01T00:00:00Z".parse().ok()), ..TaskUpdate::default() }, &["scheduledAt"])]
#[case(recurring(), TaskUpdate { scheduled_at: Some(None), ..TaskUpdate::default() }, &["scheduledAt"])]
#[case(recurring(), TaskUpdate { schedule: Some(ScheduleUpdate { cron: Some("no".into()), ..ScheduleUpdate::default() }), ..TaskUpdate::default() }, &["schedule.cron"])]
#[case(recurring(), TaskUpdate { schedule: Some(ScheduleUpdate::default()), priority: Some(Priority::Low), ..TaskUpdate::default() }, &["schedule"])]
#[tokio::test]
async fn c05_a_change_that_does_not_fit_is_refused_with_its_path(
    #[case] request: TaskRequest,
    #[case] update: TaskUpdate,
    #[case] wrong: &[&str],
) {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), request).await.unwrap();
    assert_eq!(
        paths(shop.engine.update_task(&user(1), task.id, update).await),
        wrong
    );
    assert_eq!(read(&shop, task.id).await, task);
}

#[tokio::test]
async fn a_recurring_task_s_schedule_can_change() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), recurring()).await.unwrap();
    let update = TaskUpdate {
        schedule: Some(ScheduleUpdate {
            cron: Some("30 14 * * *".to_owned()),
            ..ScheduleUpdate::default()
        }),
        ..TaskUpdate::default()
    };
    let changed = shop.engine.update_task(&user(1), task.id, update).await.unwrap();
    assert_eq!(
        changed.recurrence.unwrap().next_at,
        "2026-06-01T14:30:00Z".parse().ok()
    );
}

#[tokio::test]
async fn who_may_not_call_the_plugin_may_rename_its_task_and_not_change_what_it_does() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let narrow = key(1, &["tasks:write"]);
    shop.engine
        .update_task(&narrow, task.id, renamed("the report"))
        .await
        .unwrap();
    let update = TaskUpdate {
        payload: Some(json!({ "other": 1 })),
        ..TaskUpdate::default()
    };
    let refused = shop.engine.update_task(&narrow, task.id, update).await;
    assert_eq!(code(refused), ErrorCode::InsufficientScope);
}

#[tokio::test]
async fn a_to_do_is_moved_by_people_until_it_has_ended_and_a_job_is_not() {
    let shop = Shop::open();
    let moved = |status| TaskUpdate {
        status: Some(status),
        ..TaskUpdate::default()
    };
    let task = submit(&shop, &user(1), to_do("call Ada")).await.unwrap();
    for status in [TaskStatus::InProgress, TaskStatus::Pending, TaskStatus::Completed] {
        let changed = shop
            .engine
            .update_task(&user(1), task.id, moved(status))
            .await
            .unwrap();
        assert_eq!(changed.standing.status, status);
    }
    let refused = shop
        .engine
        .update_task(&user(1), task.id, moved(TaskStatus::Pending))
        .await;
    assert_eq!(code(refused), ErrorCode::Conflict);
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let refused = shop
        .engine
        .update_task(&user(1), task.id, moved(TaskStatus::Completed))
        .await;
    assert_eq!(code(refused), ErrorCode::Conflict);
}

#[tokio::test]
async fn a_task_that_was_called_off_never_starts() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let cancelled = shop.engine.cancel_task(&user(1), task.id).await.unwrap();
    assert_eq!(cancelled.standing.status, TaskStatus::Cancelled);
    assert!(claim(&shop).await.is_empty());
    assert_eq!(
        code(shop.engine.cancel_task(&user(1), task.id).await),
        ErrorCode::Conflict
    );
}

#[tokio::test]
async fn a_failed_or_cancelled_task_can_be_tried_anew_and_no_other() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let retry = async || shop.engine.retry_task(&user(1), task.id).await;
    assert_eq!(code(retry().await), ErrorCode::Conflict);
    work(&shop, badly).await;
    assert_eq!(retry().await.unwrap().standing.status, TaskStatus::Pending);
    shop.engine.cancel_task(&user(1), task.id).await.unwrap();
    assert_eq!(retry().await.unwrap().standing.status, TaskStatus::Pending);
    assert_eq!(work(&shop, well).await, ["report"]);
    assert_eq!(code(retry().await), ErrorCode::Conflict);
}

#[tokio::test]
async fn a_task_can_be_removed_unless_a_worker_is_at_it_or_another_waits_for_it() {
    let shop = Shop::open();
    let first = submit(&shop, &user(1), echo("first")).await.unwrap();
    let second = submit(&shop, &user(1), after("second", &[first.id]))
        .await
        .unwrap();
    let delete = async |id| shop.engine.delete_task(&user(1), id).await;
    assert_eq!(code(delete(first.id).await), ErrorCode::Conflict);
    delete(second.id).await.unwrap();
    let running = claim(&shop).await.remove(0);
    assert_eq!(code(delete(first.id).await), ErrorCode::Conflict);
    finish(&shop, &running, well(&running)).await;
    assert_eq!(delete(first.id).await.unwrap().id, first.id);
    assert_eq!(code(delete(first.id).await), ErrorCode::NotFound);
    assert!(titles(&shop).await.is_empty());
}
