//! Tasks that ended long ago.

use std::time::Duration;

use super::{badly, echo, step, submit, titles, to_do, well, work};
use crate::shop::{Shop, user};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn remove(shop: &Shop) {
    step(shop, "remove tasks that ended long ago").await;
}

#[tokio::test]
async fn tasks_are_removed_when_they_ended_longer_ago_than_they_are_kept() {
    let shop = Shop::open();
    submit(&shop, &user(1), echo("failed")).await.unwrap();
    work(&shop, badly).await;
    submit(&shop, &user(1), to_do("open")).await.unwrap();
    shop.clock.advance(DAY);
    submit(&shop, &user(1), echo("completed")).await.unwrap();
    work(&shop, well).await;
    shop.clock.advance(29 * DAY);
    remove(&shop).await;
    assert_eq!(titles(&shop).await, ["failed", "open", "completed"]);
    shop.clock.advance(Duration::from_millis(1));
    remove(&shop).await;
    assert_eq!(titles(&shop).await, ["open", "completed"]);
    shop.clock.advance(2 * DAY);
    remove(&shop).await;
    assert_eq!(titles(&shop).await, ["open"]);
}

#[tokio::test]
async fn a_thousand_old_tasks_are_removed_in_one_step_of_many_small_ones() {
    let shop = Shop::open();
    let many = (0..1_000).map(|number| echo(&number.to_string())).collect();
    shop.engine.submit_tasks(&user(1), many, None).await.unwrap();
    while !work(&shop, well).await.is_empty() {}
    shop.clock.advance(31 * DAY);
    remove(&shop).await;
    assert!(titles(&shop).await.is_empty());
}
