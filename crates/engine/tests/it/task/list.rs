//! Who sees which tasks.

use model::{Clock as _, ErrorCode, TaskFilter, TaskId, TaskSort, TaskStatus};
use serde_json::json;
use uuid::Uuid;

use super::{after, badly, claim, echo, finish, paths, submit, to_do, well, work};
use crate::{
    fixture::{code, first_page},
    shop::{Shop, admin, key, user},
};

async fn seen_by(shop: &Shop, principal: &model::Principal, filter: TaskFilter) -> (Vec<String>, u64) {
    let listed = shop
        .engine
        .list_tasks(principal, filter, first_page(TaskSort::CreatedAt))
        .await
        .unwrap();
    let titles = listed.items.into_iter().map(|task| task.title.to_string());
    (titles.collect(), listed.total)
}

#[tokio::test]
async fn b01_everyone_sees_their_own_tasks_and_an_admin_all() {
    let shop = Shop::open();
    submit(&shop, &user(1), echo("one's")).await.unwrap();
    submit(&shop, &user(2), to_do("two's")).await.unwrap();
    let all = TaskFilter::default;
    assert_eq!(
        seen_by(&shop, &user(1), all()).await,
        (vec!["one's".to_owned()], 1)
    );
    assert_eq!(
        seen_by(&shop, &user(2), all()).await,
        (vec!["two's".to_owned()], 1)
    );
    assert_eq!(seen_by(&shop, &user(3), all()).await, (vec![], 0));
    assert_eq!(seen_by(&shop, &admin(), all()).await.1, 2);
    let of_two = TaskFilter {
        user_id: user(2).user_id(),
        ..all()
    };
    assert_eq!(seen_by(&shop, &admin(), of_two.clone()).await.0, ["two's"]);
    let refused = shop
        .engine
        .list_tasks(&user(1), of_two, first_page(TaskSort::CreatedAt))
        .await;
    assert_eq!(paths(refused.map(|_| ())), ["userId"], "B02");
}

#[tokio::test]
async fn b01_another_s_task_is_not_there_and_stays_as_it_is() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("one's")).await.unwrap();
    let (engine, two, id) = (&shop.engine, &user(2), task.id);
    let none = std::time::Duration::ZERO;
    let refusals = [
        engine.read_task(two, id).await.map(|_| ()),
        engine.update_task(two, id, Default::default()).await.map(|_| ()),
        engine.delete_task(two, id).await.map(|_| ()),
        engine.run_task(two, id, none).await.map(|_| ()),
        engine.cancel_task(two, id).await.map(|_| ()),
        engine.retry_task(two, id).await.map(|_| ()),
        engine.task_attempts(two, id).await.map(|_| ()),
        engine.pause_task(two, id).await.map(|_| ()),
        engine.resume_task(two, id).await.map(|_| ()),
    ];
    let nobody_s = TaskId::from_uuid(Uuid::from_u128(1));
    let absent = engine.read_task(two, nobody_s).await.unwrap_err();
    for refused in refusals {
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (ErrorCode::NotFound, absent.message())
        );
    }
    assert_eq!(engine.read_task(&user(1), id).await.unwrap(), task);
}

#[tokio::test]
async fn b01_another_s_task_can_not_be_waited_for_and_is_told_from_none_by_nothing() {
    let shop = Shop::open();
    let one_s = submit(&shop, &user(1), echo("one's")).await.unwrap();
    let refused = submit(&shop, &user(2), after("two's", &[one_s.id]))
        .await
        .unwrap_err();
    let nobody_s = TaskId::from_uuid(Uuid::from_u128(1));
    let absent = submit(&shop, &user(2), after("two's", &[nobody_s]))
        .await
        .unwrap_err();
    assert_eq!(refused.details(), absent.details());
    assert_eq!(refused.details()[0].path, "dependsOn.0");
}

#[tokio::test]
async fn a16_a_key_needs_the_scopes_of_what_it_does_with_tasks() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    let (engine, id, none) = (&shop.engine, task.id, std::time::Duration::ZERO);
    let reader = key(1, &["tasks:read"]);
    engine.read_task(&reader, id).await.unwrap();
    engine.task_overview(&reader).await.unwrap();
    for refused in [
        engine
            .update_task(&reader, id, Default::default())
            .await
            .map(|_| ()),
        engine.delete_task(&reader, id).await.map(|_| ()),
        engine.cancel_task(&reader, id).await.map(|_| ()),
        engine.run_task(&reader, id, none).await.map(|_| ()),
    ] {
        assert_eq!(code(refused), ErrorCode::InsufficientScope);
    }
    let writer = key(1, &["tasks:write"]);
    for refused in [
        engine.read_task(&writer, id).await.map(|_| ()),
        engine.task_attempts(&writer, id).await.map(|_| ()),
        engine.task_overview(&writer).await.map(|_| ()),
        engine.run_task(&writer, id, none).await.map(|_| ()),
        engine.retry_task(&writer, id).await.map(|_| ()),
    ] {
        assert_eq!(code(refused), ErrorCode::InsufficientScope);
    }
    engine.cancel_task(&writer, id).await.unwrap();
}

#[tokio::test]
async fn the_attempts_at_a_task_are_its_calls() {
    let shop = Shop::open();
    let task = submit(&shop, &user(1), echo("report")).await.unwrap();
    work(&shop, badly).await;
    shop.engine.retry_task(&user(1), task.id).await.unwrap();
    work(&shop, well).await;
    let attempts = shop.engine.task_attempts(&user(1), task.id).await.unwrap();
    let tries: Vec<_> = attempts.iter().map(|call| call.task.unwrap().attempt).collect();
    assert_eq!(tries, [2, 1]);
}

#[tokio::test]
async fn an_overview_counts_the_caller_s_tasks_only() {
    let shop = Shop::open();
    for title in ["a", "b"] {
        submit(&shop, &user(1), echo(title)).await.unwrap();
    }
    submit(&shop, &user(2), to_do("c")).await.unwrap();
    let running = claim(&shop).await.remove(0);
    finish(&shop, &running, Ok(json!(1))).await;
    let count = async |principal, status| {
        let overview = shop.engine.task_overview(&principal).await.unwrap();
        let of_status = overview.counts.iter().filter(|row| row.status == status);
        of_status.map(|row| row.count).sum::<u64>()
    };
    assert_eq!(count(user(1), TaskStatus::Completed).await, 1);
    assert_eq!(count(user(1), TaskStatus::InProgress).await, 1);
    assert_eq!(count(user(2), TaskStatus::Pending).await, 1);
    assert_eq!(count(user(2), TaskStatus::Completed).await, 0);
    assert_eq!(count(admin(), TaskStatus::Pending).await, 1);
    let overview = shop.engine.task_overview(&user(1)).await.unwrap();
    assert_eq!(overview.ended, 1);
    shop.clock.advance(engine::Engine::OVERVIEW_SPAN * 2);
    assert!(shop.clock.now() > running.created_at);
    assert_eq!(shop.engine.task_overview(&user(1)).await.unwrap().ended, 0);
}
