//! The plugins as callers see them.

use engine::Client;
use model::{ErrorCode, Health, PluginName};
use rstest::rstest;
use serde_json::json;

use crate::shop::{Shop, admin, key, request, user};

#[tokio::test]
async fn plugins_are_listed_by_name_with_their_kind_health_and_actions() {
    let shop = Shop::open();
    let plugins = shop.engine.list_plugins(&user(1)).await.unwrap();
    let names: Vec<_> = plugins.iter().map(|view| view.plugin.name.as_str()).collect();
    assert_eq!(names, ["lab", "single"]);
    assert!(plugins.iter().all(|view| view.kind == "lab" && view.is_callable));
    assert_eq!(plugins[0].health, Health::Healthy);
    assert_eq!(
        plugins[1].health,
        Health::Unavailable("it is out of order".to_owned())
    );
}

#[tokio::test]
async fn statistics_count_calls_by_action_in_the_order_of_the_actions() {
    let shop = Shop::open();
    for payload in [
        json!({}),
        json!({ "message": "hi" }),
        json!({ "message": "hello" }),
    ] {
        drop(shop.call(&user(1), "strict", payload).await);
    }
    let lab = shop
        .engine
        .plugin(&user(1), &PluginName::parse("lab").unwrap())
        .await;
    let lab = lab.unwrap();
    for (action, statistics) in lab.plugin.actions.iter().zip(&lab.statistics) {
        assert_eq!(action.name, statistics.action);
        let expected = if action.name.as_str() == "strict" {
            (2, 1)
        } else {
            (0, 0)
        };
        assert_eq!(
            (statistics.successes, statistics.failures),
            expected,
            "{}",
            action.name
        );
    }
}

#[tokio::test]
async fn b01_statistics_are_of_the_callers_own_calls_and_of_everyones_for_an_admin() {
    let shop = Shop::open();
    for (caller, calls) in [(1, 2), (2, 1)] {
        for _ in 0..calls {
            drop(
                shop.call(&user(caller), "strict", json!({ "message": "hi" }))
                    .await,
            );
        }
    }
    for (caller, calls) in [(user(1), 2), (user(2), 1), (user(3), 0), (admin(), 3)] {
        let plugins = shop.engine.list_plugins(&caller).await.unwrap();
        let lab = PluginName::parse("lab").unwrap();
        let read = shop.engine.plugin(&caller, &lab).await.unwrap();
        for view in [&plugins[0], &read] {
            let statistics = view.statistics.iter();
            let called = statistics.filter(|one| one.last_called_at.is_some()).count();
            let counted: u64 = view.statistics.iter().map(|one| one.successes).sum();
            assert_eq!((counted, called), (calls, usize::from(calls > 0)));
        }
    }
}

#[tokio::test]
async fn a_plugin_that_is_not_held_is_not_found() {
    let shop = Shop::open();
    let missing = PluginName::parse("missing").unwrap();
    let error = shop.engine.plugin(&user(1), &missing).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn plugins_are_not_shown_to_a_key_without_the_scope() {
    let shop = Shop::open();
    let narrow = key(1, &["plugins:execute"]);
    let error = shop.engine.list_plugins(&narrow).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InsufficientScope);
}

#[rstest]
#[case(&["plugins:read"])]
#[case(&["plugins:read", "plugins:execute:lab"])]
#[case(&["plugins:read", "plugins:execute:single"])]
#[case(&["plugins:read", "plugins:execute"])]
#[case(&["admin"])]
#[case(&[])]
#[tokio::test]
async fn b03_what_is_shown_as_callable_is_what_can_be_called(#[case] scopes: &[&str]) {
    let shop = Shop::open();
    let caller = key(1, scopes);
    for view in shop.engine.list_plugins(&caller).await.unwrap() {
        let unknown_action = request(view.plugin.name.as_str(), "nothing", None);
        let refused = shop
            .engine
            .execute(&caller, unknown_action, &Client::default())
            .await;
        let is_admitted = refused.unwrap_err().code() == ErrorCode::NotFound;
        assert_eq!(
            view.is_callable, is_admitted,
            "{} with {scopes:?}",
            view.plugin.name
        );
    }
}
