//! Idempotency keys.

use std::sync::Arc;

use model::{Claim, IdempotencyKey, RequestDigest, Store};

use super::user::at_once;
use crate::{
    engine::Engine,
    make::{bytes, moment},
};

crate::on_every_engine![
    a_new_key_is_fresh_and_then_begun_and_then_answered,
    another_request_with_the_same_key_is_different,
    of_many_callers_one_is_given_the_claim,
    an_expired_claim_counts_as_none,
    of_many_callers_one_takes_over_an_expired_claim,
    a_key_that_was_given_back_is_fresh_again,
    an_answer_stays_when_the_key_is_given_back_late,
    an_answer_to_no_claim_is_passed_over,
    expired_claims_are_removed_in_portions,
];

async fn claim(store: &Arc<dyn Store>, key: u64, request: u64, at: i64) -> Claim {
    let (key, request) = (IdempotencyKey(bytes(key)), RequestDigest(bytes(request)));
    let claimed = store.claim_idempotency_key(key, request, moment(at), moment(at + 100));
    claimed.await.unwrap()
}

async fn a_new_key_is_fresh_and_then_begun_and_then_answered(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(claim(&store, 1, 7, 0).await, Claim::Fresh);
    let begun = Claim::Begun {
        expires_at: moment(100),
    };
    assert_eq!(claim(&store, 1, 7, 1).await, begun);
    assert_eq!(
        claim(&store, 1, 7, 50).await,
        begun,
        "the first claim's end stands"
    );
    let sealed: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    store
        .record_answer(IdempotencyKey(bytes(1)), sealed.clone())
        .await
        .unwrap();
    assert_eq!(claim(&store, 1, 7, 2).await, Claim::Answered(sealed));
    assert_eq!(
        claim(&store, 2, 7, 2).await,
        Claim::Fresh,
        "another key is another matter"
    );
}

async fn another_request_with_the_same_key_is_different(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(claim(&store, 1, 7, 0).await, Claim::Fresh);
    assert_eq!(claim(&store, 1, 8, 1).await, Claim::Different);
    store
        .record_answer(IdempotencyKey(bytes(1)), vec![1])
        .await
        .unwrap();
    assert_eq!(claim(&store, 1, 8, 1).await, Claim::Different);
    assert_eq!(claim(&store, 1, 7, 1).await, Claim::Answered(vec![1]));
}

async fn fresh_of_many(store: &Arc<dyn Store>, key: u64, at: i64) -> usize {
    let works = (0..32).map(|_| {
        let store = Arc::clone(store);
        async move { claim(&store, key, 7, at).await }
    });
    let claims = at_once(works).await;
    claims.iter().filter(|claim| **claim == Claim::Fresh).count()
}

async fn of_many_callers_one_is_given_the_claim(engine: impl Engine) {
    let store = engine.open().await;
    for key in 0..10 {
        assert_eq!(fresh_of_many(&store, key, 0).await, 1);
    }
}

async fn an_expired_claim_counts_as_none(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(claim(&store, 1, 7, 0).await, Claim::Fresh);
    store
        .record_answer(IdempotencyKey(bytes(1)), vec![1])
        .await
        .unwrap();
    assert_eq!(claim(&store, 1, 7, 99).await, Claim::Answered(vec![1]));
    assert_eq!(claim(&store, 1, 8, 100).await, Claim::Fresh);
    let begun = Claim::Begun {
        expires_at: moment(200),
    };
    assert_eq!(claim(&store, 1, 8, 101).await, begun, "the old answer is gone");
    assert_eq!(claim(&store, 1, 7, 101).await, Claim::Different);
}

async fn of_many_callers_one_takes_over_an_expired_claim(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(claim(&store, 1, 6, 0).await, Claim::Fresh);
    assert_eq!(fresh_of_many(&store, 1, 500).await, 1);
}

async fn a_key_that_was_given_back_is_fresh_again(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(claim(&store, 1, 7, 0).await, Claim::Fresh);
    store
        .release_idempotency_key(IdempotencyKey(bytes(1)))
        .await
        .unwrap();
    store
        .release_idempotency_key(IdempotencyKey(bytes(2)))
        .await
        .unwrap();
    assert_eq!(claim(&store, 1, 8, 1).await, Claim::Fresh);
}

async fn an_answer_stays_when_the_key_is_given_back_late(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(claim(&store, 1, 7, 0).await, Claim::Fresh);
    store
        .record_answer(IdempotencyKey(bytes(1)), vec![1])
        .await
        .unwrap();
    store
        .record_answer(IdempotencyKey(bytes(1)), vec![2])
        .await
        .unwrap();
    store
        .release_idempotency_key(IdempotencyKey(bytes(1)))
        .await
        .unwrap();
    assert_eq!(claim(&store, 1, 7, 1).await, Claim::Answered(vec![1]));
}

async fn an_answer_to_no_claim_is_passed_over(engine: impl Engine) {
    let store = engine.open().await;
    store
        .record_answer(IdempotencyKey(bytes(1)), vec![1])
        .await
        .unwrap();
    assert_eq!(claim(&store, 1, 7, 0).await, Claim::Fresh);
}

async fn expired_claims_are_removed_in_portions(engine: impl Engine) {
    let store = engine.open().await;
    for key in 0..10 {
        assert_eq!(
            claim(&store, key, 7, i64::try_from(key).unwrap()).await,
            Claim::Fresh
        );
    }
    let remove = async |limit| store.remove_expired_claims(moment(105), limit).await.unwrap();
    assert_eq!(remove(3).await, 3);
    assert_eq!(remove(100).await, 2);
    assert_eq!(remove(100).await, 0);
    let begun = Claim::Begun {
        expires_at: moment(109),
    };
    assert_eq!(claim(&store, 9, 7, 20).await, begun);
}
