//! The same submission sent twice, under one idempotency key.

use std::time::Duration;

use engine::{Answer, IdempotencyClaim, IdempotencyTicket, IdempotentRequest, WhenBegun};
use model::{ErrorCode, Result, Submitted};
use rstest::rstest;

use super::{claim as claim_tasks, echo, finish, submit, titles, well};
use crate::shop::{Shop, user};

async fn claim(shop: &Shop, body: &[u8]) -> Result<IdempotencyClaim> {
    let request = IdempotentRequest {
        principal: Some(&user(1)),
        route: "/api/tasks",
        key: "k",
        body,
        when_begun: WhenBegun::Resume,
    };
    shop.engine.claim_idempotent_request(request).await
}

async fn ticket(shop: &Shop) -> IdempotencyTicket {
    match claim(shop, b"{}").await {
        Ok(IdempotencyClaim::Fresh(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

/// Submits under the key, and loses the answer.
async fn submit_once(shop: &Shop) -> Result<Submitted> {
    let reservation = ticket(shop).await.reservation();
    shop.engine
        .submit_task(&user(1), echo("report"), Some(reservation))
        .await
}

#[tokio::test]
async fn i9_a_repeated_submission_whose_answer_was_lost_gives_the_same_task() {
    let shop = Shop::open();
    let first = submit_once(&shop).await.unwrap();
    shop.clock.advance(Duration::from_secs(3_600));
    let again = submit_once(&shop).await.unwrap();
    assert_eq!((again.task.id, again.is_new), (first.task.id, true));
    assert_eq!(titles(&shop).await, ["report"]);
}

#[tokio::test]
async fn i9_a_process_that_died_between_the_key_and_the_task_leaves_the_key_usable() {
    let shop = Shop::open();
    let reservation = ticket(&shop).await.reservation();
    let shop = shop.restarted().await;
    assert_eq!(ticket(&shop).await.reservation(), reservation);
    submit_once(&shop).await.unwrap();
    assert_eq!(titles(&shop).await, ["report"]);
}

#[tokio::test]
async fn i9_a_process_that_died_between_the_task_and_its_answer_gives_the_same_task_after_its_restart() {
    let shop = Shop::open();
    let first = submit_once(&shop).await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(submit_once(&shop).await.unwrap().task.id, first.task.id);
    assert_eq!(titles(&shop).await, ["report"]);
}

#[rstest]
#[case::refused(true)]
#[case::done_all_the_same(false)]
#[tokio::test]
async fn i9_a_submission_whose_outcome_is_unknown_can_be_repeated(#[case] is_refused: bool) {
    let shop = Shop::open();
    if is_refused {
        shop.store.fail("submit_task");
    } else {
        shop.store.forget("submit_task");
    }
    let key = ticket(&shop).await;
    let failed = shop
        .engine
        .submit_task(&user(1), echo("report"), Some(key.reservation()))
        .await;
    assert_eq!(failed.unwrap_err().code(), ErrorCode::Unavailable);
    shop.engine.settle_idempotent_request(key, None).await.unwrap();
    submit_once(&shop).await.unwrap();
    submit_once(&shop).await.unwrap();
    assert_eq!(titles(&shop).await, ["report"]);
}

#[tokio::test]
async fn i9_a_task_that_has_ended_meanwhile_is_given_and_not_made_anew() {
    let shop = Shop::open();
    let first = submit_once(&shop).await.unwrap();
    let running = claim_tasks(&shop).await.remove(0);
    finish(&shop, &running, well(&running)).await;
    let again = submit_once(&shop).await.unwrap();
    assert_eq!(again.task.id, first.task.id);
    assert!(again.task.standing.status.is_final());
}

#[tokio::test]
async fn i9_many_tasks_under_one_key_are_taken_once() {
    let shop = Shop::open();
    let submit_many = async || {
        let reservation = ticket(&shop).await.reservation();
        let requests = vec![echo("a"), echo("b"), echo("c")];
        let submitted = shop
            .engine
            .submit_tasks(&user(1), requests, Some(reservation))
            .await
            .unwrap();
        submitted
            .into_iter()
            .map(|submitted| submitted.task.id)
            .collect::<Vec<_>>()
    };
    let first = submit_many().await;
    assert!(first.is_sorted() && first.len() == 3);
    assert_eq!(submit_many().await, first);
    assert_eq!(titles(&shop).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_key_that_was_begun_takes_no_other_body_and_once_answered_gives_its_answer() {
    let shop = Shop::open();
    let key = ticket(&shop).await;
    let other = claim(&shop, b"{\"other\":1}").await.unwrap_err();
    assert_eq!(other.code(), ErrorCode::IdempotencyKeyReused);
    let answer = Answer {
        status: 201,
        location: None,
        body: b"{}".to_vec(),
    };
    shop.engine
        .settle_idempotent_request(key, Some(&answer))
        .await
        .unwrap();
    match claim(&shop, b"{}").await.unwrap() {
        IdempotencyClaim::Answered(again) => assert_eq!(again, answer),
        IdempotencyClaim::Fresh(_) => panic!("done twice"),
    }
}

#[tokio::test]
async fn i9_an_answer_too_large_to_be_kept_is_made_again() {
    let shop = Shop::open();
    let first = submit_once(&shop).await.unwrap();
    let large = Answer {
        status: 201,
        location: None,
        body: vec![b' '; 1024 * 1024 + 1],
    };
    let settled = shop
        .engine
        .settle_idempotent_request(ticket(&shop).await, Some(&large));
    settled.await.unwrap();
    let again = submit_once(&shop).await.unwrap();
    assert_eq!(again.task.id, first.task.id);
}

#[tokio::test]
async fn after_24_hours_the_key_stands_for_another_task() {
    let shop = Shop::open();
    let first = submit_once(&shop).await.unwrap();
    shop.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    let later = submit_once(&shop).await.unwrap();
    assert!(later.task.id > first.task.id);
}

#[tokio::test]
async fn names_that_were_reserved_sort_by_the_time_of_their_reservation() {
    let shop = Shop::open();
    let before = submit(&shop, &user(1), echo("before")).await.unwrap();
    shop.clock.advance(Duration::from_millis(1));
    let reserved = submit_once(&shop).await.unwrap().task;
    shop.clock.advance(Duration::from_millis(1));
    let behind = submit(&shop, &user(1), echo("behind")).await.unwrap();
    assert!(before.id < reserved.id && reserved.id < behind.id);
    assert_eq!(reserved.id.as_uuid().get_version_num(), 7);
}
