//! Reading the history.

use model::{ErrorCode, ExecutionFilter, ExecutionStatus};
use serde_json::json;

use crate::shop::{Shop, admin, key, newest_first, user};

#[tokio::test]
async fn b01_a_caller_sees_its_own_calls_only() {
    let shop = Shop::open();
    let own = shop.call(&user(1), "echo", json!({})).await.unwrap().id;
    let other = shop.call(&user(2), "echo", json!({})).await.unwrap().id;
    let all = ExecutionFilter::default();
    let listed = shop.listed(&user(1), all, newest_first(20)).await.unwrap();
    assert_eq!((listed.items.len(), listed.total), (1, 1));
    assert_eq!(listed.items[0].id, own);
    shop.engine.execution(&user(1), own).await.unwrap();
    let error = shop.engine.execution(&user(1), other).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_admin_sees_all_calls_and_can_ask_for_one_caller_s() {
    let shop = Shop::open();
    for number in [1, 1, 2] {
        shop.call(&user(number), "echo", json!({})).await.unwrap();
    }
    assert_eq!(shop.history().await.len(), 3);
    let filter = ExecutionFilter {
        user_id: user(1).user_id(),
        ..ExecutionFilter::default()
    };
    let listed = shop.listed(&admin(), filter, newest_first(20)).await.unwrap();
    assert_eq!(listed.total, 2);
}

#[tokio::test]
async fn b02_a_caller_cannot_ask_for_another_s_calls_nor_by_name_for_its_own() {
    let shop = Shop::open();
    for asked_for in [1, 2] {
        let filter = ExecutionFilter {
            user_id: user(asked_for).user_id(),
            ..ExecutionFilter::default()
        };
        let refused = shop.listed(&user(1), filter, newest_first(20)).await;
        assert_eq!(refused.unwrap_err().details()[0].path, "userId");
    }
}

#[tokio::test]
async fn the_history_is_read_page_by_page_to_its_end() {
    let shop = Shop::open();
    for turn in 0..5 {
        shop.call(&user(1), "echo", json!({ "turn": turn }))
            .await
            .unwrap();
    }
    let mut turns = Vec::new();
    let mut page = newest_first(2);
    loop {
        let all = ExecutionFilter::default();
        let listed = shop.listed(&user(1), all, page.clone()).await.unwrap();
        assert_eq!(listed.total, 5);
        turns.extend(
            listed
                .items
                .iter()
                .map(|call| call.payload["turn"].as_u64().unwrap()),
        );
        page.cursor = listed.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(turns, [4, 3, 2, 1, 0]);
}

#[tokio::test]
async fn c09_a_cursor_of_another_caller_or_filter_is_refused() {
    let shop = Shop::open();
    for number in [1, 1, 2, 2] {
        shop.call(&user(number), "echo", json!({})).await.unwrap();
    }
    let mut page = newest_first(1);
    let first = shop
        .listed(&user(1), ExecutionFilter::default(), page.clone())
        .await;
    page.cursor = first.unwrap().next_cursor;
    let successes = ExecutionFilter {
        status: Some(ExecutionStatus::Success),
        ..ExecutionFilter::default()
    };
    for (caller, filter) in [(user(2), ExecutionFilter::default()), (user(1), successes)] {
        let refused = shop.listed(&caller, filter, page.clone()).await;
        assert_eq!(refused.unwrap_err().details()[0].path, "cursor");
    }
}

#[tokio::test]
async fn the_history_is_closed_to_a_key_without_the_scope() {
    let shop = Shop::open();
    let narrow = key(1, &["plugins:execute"]);
    let id = shop.call(&narrow, "echo", json!({})).await.unwrap().id;
    let error = shop.engine.execution(&narrow, id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InsufficientScope);
    shop.engine
        .execution(&key(1, &["history:read"]), id)
        .await
        .unwrap();
}
