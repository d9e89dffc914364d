//! Whether the server can do its work.

use futures_util::future::join_all;
use model::Health;
use tokio_util::task::TaskTracker;

use crate::shop::Shop;

#[tokio::test]
async fn a_report_names_the_store_and_every_plugin() {
    let shop = Shop::open();
    let report = shop.engine.health().await;
    assert_eq!(report.store_kind, "sqlite");
    assert!(report.store_latency.is_some());
    let plugins: Vec<_> = report
        .plugins
        .iter()
        .map(|plugin| (plugin.name.as_str(), plugin.health == Health::Healthy))
        .collect();
    assert_eq!(plugins, [("lab", true), ("single", false)]);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_reported() {
    let shop = Shop::open();
    shop.store.fail("ping");
    assert!(shop.engine.health().await.store_latency.is_none());
}

#[tokio::test]
async fn of_all_who_ask_at_once_one_looks() {
    let shop = Shop::open();
    let hold = shop.store.hold("ping");
    let asking = TaskTracker::new().spawn({
        let engine = shop.engine.clone();
        async move { join_all((0..64).map(|_| engine.health())).await }
    });
    hold.reached().await;
    // Everyone is answered although one look only is let through.
    hold.release();
    let reports = asking.await.unwrap();
    assert!(reports.iter().all(|report| report.store_latency.is_some()));
}

#[tokio::test]
async fn what_was_recorded_is_there_after_closing_and_opening_again() {
    let shop = Shop::open();
    let call = shop
        .call(&crate::shop::user(1), "echo", serde_json::json!({}))
        .await
        .unwrap();
    let shop = shop.restarted().await;
    assert_eq!(shop.only_call().await.id, call.id);
}

#[tokio::test]
async fn closing_tells_when_not_everything_could_be_written() {
    let shop = Shop::open();
    shop.store.fail("close");
    assert!(shop.engine.close().await.is_err());
}
