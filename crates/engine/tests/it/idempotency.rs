//! The same request sent twice.

use std::time::Duration;

use engine::{Answer, IdempotencyClaim, IdempotencyTicket, IdempotentRequest, WhenBegun};
use futures_util::future::join_all;
use model::{ErrorCode, Principal, Result};
use rstest::rstest;
use tokio_util::task::TaskTracker;

use crate::shop::{Shop, key, user};

const BODY: &[u8] = b"{}";

async fn claim(
    shop: &Shop,
    principal: Option<&Principal>,
    key: &str,
    body: &[u8],
) -> Result<IdempotencyClaim> {
    let request = IdempotentRequest {
        principal,
        route: "/api/thing",
        key,
        body,
        when_begun: WhenBegun::Refuse,
    };
    shop.engine.claim_idempotent_request(request).await
}

/// Claims a key that is new.
async fn fresh(shop: &Shop, principal: Option<&Principal>, key: &str) -> IdempotencyTicket {
    match claim(shop, principal, key, BODY).await {
        Ok(IdempotencyClaim::Fresh(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

async fn is_fresh(shop: &Shop, principal: Option<&Principal>, key: &str) -> bool {
    matches!(
        claim(shop, principal, key, BODY).await,
        Ok(IdempotencyClaim::Fresh(_))
    )
}

async fn refusal(shop: &Shop, principal: Option<&Principal>, key: &str, body: &[u8]) -> ErrorCode {
    claim(shop, principal, key, body).await.unwrap_err().code()
}

fn answer(body: &str) -> Answer {
    Answer {
        status: 201,
        location: Some("/a/place".to_owned()),
        body: body.into(),
    }
}

#[tokio::test]
async fn the_same_request_is_given_the_first_answer_again() {
    let shop = Shop::open();
    for caller in [Some(&user(1)), None] {
        let ticket = fresh(&shop, caller, "k").await;
        let first = answer("{\"ok\":true}");
        shop.engine
            .settle_idempotent_request(ticket, Some(&first))
            .await
            .unwrap();
        match claim(&shop, caller, "k", BODY).await.unwrap() {
            IdempotencyClaim::Answered(again) => assert_eq!(again, first),
            IdempotencyClaim::Fresh(_) => panic!("done twice"),
        }
    }
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    let shop = Shop::open();
    for caller in [Some(&user(1)), None] {
        let _unsettled = fresh(&shop, caller, "k").await;
        let code = refusal(&shop, caller, "k", b"{\"other\":1}").await;
        assert_eq!(code, ErrorCode::IdempotencyKeyReused);
    }
}

#[tokio::test]
async fn another_route_has_keys_of_its_own() {
    let shop = Shop::open();
    let _unsettled = fresh(&shop, None, "k").await;
    let elsewhere = IdempotentRequest {
        principal: None,
        route: "/api/other",
        key: "k",
        body: BODY,
        when_begun: WhenBegun::Refuse,
    };
    let claimed = shop.engine.claim_idempotent_request(elsewhere).await.unwrap();
    assert!(matches!(claimed, IdempotencyClaim::Fresh(_)));
}

#[tokio::test]
async fn d07_a_request_whose_caller_left_before_the_answer_is_not_done_again() {
    let shop = Shop::open();
    drop(fresh(&shop, Some(&user(1)), "k").await);
    let code = refusal(&shop, Some(&user(1)), "k", BODY).await;
    assert_eq!(code, ErrorCode::IdempotencyKeyInUse);
}

#[tokio::test]
async fn d07_an_answer_that_is_being_recorded_is_kept_although_the_caller_leaves() {
    let shop = Shop::open();
    let ticket = fresh(&shop, None, "k").await;
    let hold = shop.store.hold("record_answer");
    let settling = TaskTracker::new().spawn({
        let engine = shop.engine.clone();
        async move {
            engine
                .settle_idempotent_request(ticket, Some(&answer("{}")))
                .await
        }
    });
    hold.reached().await;
    settling.abort();
    assert!(settling.await.unwrap_err().is_cancelled());
    hold.release();
    let answered = async {
        while !matches!(
            claim(&shop, None, "k", BODY).await,
            Ok(IdempotencyClaim::Answered(_))
        ) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_without_an_effect_gives_its_key_back() {
    let shop = Shop::open();
    let ticket = fresh(&shop, None, "k").await;
    shop.engine.settle_idempotent_request(ticket, None).await.unwrap();
    assert!(is_fresh(&shop, None, "k").await);
}

#[tokio::test]
async fn b04_another_caller_s_key_of_the_same_text_is_independent() {
    let shop = Shop::open();
    let ticket = fresh(&shop, Some(&user(1)), "k").await;
    shop.engine
        .settle_idempotent_request(ticket, Some(&answer("{}")))
        .await
        .unwrap();
    assert!(is_fresh(&shop, Some(&user(2)), "k").await);
    assert!(is_fresh(&shop, Some(&Principal::admin_key()), "k").await);
    assert!(is_fresh(&shop, None, "k").await);
}

#[tokio::test]
async fn b04_a_narrower_credential_of_the_same_caller_is_not_given_the_answer() {
    let shop = Shop::open();
    let ticket = fresh(&shop, Some(&user(1)), "k").await;
    shop.engine
        .settle_idempotent_request(ticket, Some(&answer("{}")))
        .await
        .unwrap();
    assert!(is_fresh(&shop, Some(&key(1, &[])), "k").await);
    assert!(is_fresh(&shop, Some(&key(1, &["tasks:read"])), "k").await);
}

#[tokio::test]
async fn signing_in_again_keeps_the_answers() {
    let shop = Shop::open();
    let _unsettled = fresh(&shop, Some(&user(1)), "k").await;
    let again = Principal {
        credential: user(2).credential,
        ..user(1)
    };
    assert!(!is_fresh(&shop, Some(&again), "k").await);
}

#[tokio::test]
async fn a_key_is_new_again_after_24_hours() {
    let shop = Shop::open();
    let _unsettled = fresh(&shop, None, "k").await;
    shop.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    assert!(!is_fresh(&shop, None, "k").await);
    shop.clock.advance(Duration::from_secs(2));
    assert!(is_fresh(&shop, None, "k").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_requests_at_once_one_is_done() {
    let shop = Shop::open();
    let claims = join_all((0..64).map(|_| claim(&shop, None, "k", BODY))).await;
    let done = claims
        .iter()
        .filter(|claim| matches!(claim, Ok(IdempotencyClaim::Fresh(_))));
    assert_eq!(done.count(), 1);
}

#[tokio::test]
async fn an_answer_above_1_mib_is_done_once_and_not_repeated() {
    let shop = Shop::open();
    let ticket = fresh(&shop, None, "k").await;
    let large = answer(&"x".repeat(1024 * 1024 + 1));
    shop.engine
        .settle_idempotent_request(ticket, Some(&large))
        .await
        .unwrap();
    let error = claim(&shop, None, "k", BODY).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::IdempotencyKeyInUse);
    assert!(error.message().contains("too large"), "{error}");
}

#[tokio::test]
async fn a_kept_answer_cannot_be_read_from_the_files_and_not_with_another_secret() {
    let shop = Shop::open();
    let ticket = fresh(&shop, None, "k").await;
    let token = answer("{\"token\":\"canary-0123456789\"}");
    shop.engine
        .settle_idempotent_request(ticket, Some(&token))
        .await
        .unwrap();
    let shop = shop
        .restarted_with_secret("another sealing secret, as long as the first")
        .await;
    for file in std::fs::read_dir(shop.directory()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
    let code = refusal(&shop, None, "k", BODY).await;
    assert_eq!(code, ErrorCode::IdempotencyKeyInUse);
}

#[rstest]
#[case("", false)]
#[case("a", true)]
#[case("9f86d081-884c-4d63-a2c3", true)]
#[case("two words", false)]
#[case("\u{e4}", false)]
#[case("line\n", false)]
#[tokio::test]
async fn a_key_has_visible_ascii_characters_only(#[case] text: &str, #[case] is_accepted: bool) {
    let shop = Shop::open();
    assert_eq!(is_fresh(&shop, None, text).await, is_accepted);
}

#[tokio::test]
async fn a_key_has_at_most_255_characters() {
    let shop = Shop::open();
    assert!(is_fresh(&shop, None, &"k".repeat(255)).await);
    let code = refusal(&shop, None, &"k".repeat(256), BODY).await;
    assert_eq!(code, ErrorCode::ValidationFailed);
}
