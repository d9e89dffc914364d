//! Accounts.

mod change;
mod list;

use std::sync::Arc;

use model::{Account, ErrorCode, FoldedText, Store};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    engine::Engine,
    make::{account, admin, user_id},
};

crate::on_every_engine![
    an_account_is_found_as_it_was_stored,
    absent_accounts_are_not_found,
    a03_names_that_differ_only_in_form_are_taken,
    both_taken_names_are_told_at_once,
    a04_of_many_callers_with_one_email_one_gets_the_account,
    c08_metadata_comes_back_exactly,
    the_first_admin_is_made_only_while_there_is_none,
    of_many_first_admins_one_is_made,
];

/// Runs many pieces of work at once and gives their results.
pub(super) async fn at_once<R: Send + 'static, W: Future<Output = R> + Send + 'static>(
    works: impl IntoIterator<Item = W>,
) -> Vec<R> {
    let mut set = JoinSet::new();
    for work in works {
        set.spawn(work);
    }
    set.join_all().await
}

/// Runs two pieces of work at once and gives both results.
pub(super) async fn both_at_once<A: Send + 'static, B>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B>,
) -> (A, B) {
    let mut set = JoinSet::new();
    set.spawn(one);
    let second = other.await;
    (set.join_next().await.unwrap().unwrap(), second)
}

async fn an_account_is_found_as_it_was_stored(engine: impl Engine) {
    let store = engine.open().await;
    let stored = account(1);
    store.create_user(&stored).await.unwrap();
    let found = [
        store.find_account(user_id(1)).await.unwrap().unwrap(),
        store
            .find_account_by_email(&FoldedText::of("USER1@example.ORG"))
            .await
            .unwrap()
            .unwrap(),
    ];
    for Account { user, password_hash } in found {
        assert_eq!(user, stored.user);
        assert_eq!(password_hash, stored.password_hash);
    }
    assert_eq!(store.find_user(user_id(1)).await.unwrap(), Some(stored.user));
}

async fn absent_accounts_are_not_found(engine: impl Engine) {
    let store = engine.open().await;
    assert!(store.find_user(user_id(1)).await.unwrap().is_none());
    assert!(store.find_account(user_id(1)).await.unwrap().is_none());
    let by_email = store
        .find_account_by_email(&FoldedText::of("user1@example.org"))
        .await;
    assert!(by_email.unwrap().is_none());
}

async fn refused_details(store: &Arc<dyn Store>, account: &Account) -> Vec<String> {
    let error = store.create_user(account).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AlreadyExists);
    error.details().iter().map(|detail| detail.path.clone()).collect()
}

async fn a03_names_that_differ_only_in_form_are_taken(engine: impl Engine) {
    let store = engine.open().await;
    let mut first = account(1);
    first.user.username = "Café".parse().unwrap();
    store.create_user(&first).await.unwrap();
    let mut same_email = account(2);
    same_email.user.email = "USER1@Example.org".parse().unwrap();
    assert_eq!(refused_details(&store, &same_email).await, ["email"]);
    let mut same_name = account(3);
    same_name.user.username = "CAFE\u{301}".parse().unwrap();
    assert_eq!(refused_details(&store, &same_name).await, ["username"]);
}

async fn both_taken_names_are_told_at_once(engine: impl Engine) {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    let mut other = account(2);
    other.user.email = account(1).user.email;
    other.user.username = account(1).user.username;
    assert_eq!(refused_details(&store, &other).await, ["email", "username"]);
    assert!(store.find_user(user_id(2)).await.unwrap().is_none());
}

async fn a04_of_many_callers_with_one_email_one_gets_the_account(engine: impl Engine) {
    let store = engine.open().await;
    let works = (1..=32).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let mut account = account(number);
            account.user.email = "Same@Example.org".parse().unwrap();
            store.create_user(&account).await
        }
    });
    let results = at_once(works).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(
        store
            .user_overview(account(1).user.created_at, 1)
            .await
            .unwrap()
            .total,
        1
    );
}

async fn c08_metadata_comes_back_exactly(engine: impl Engine) {
    let store = engine.open().await;
    let mut metadata = json!({
        "z": 1, "a": 2, "$set": {"$gt": ""}, "a.b.c": {"": [null, true]}, "__proto__": {"x": 1}, "": "empty",
        "text": "a\u{0}b \u{202e} z\u{335}a\u{335} \u{1F600} 'quoted\" \\",
        "numbers": [0, -0.0, 0.1, 1e300, 9_007_199_254_740_993_i64, u64::MAX, i64::MIN],
    });
    for number in 0..10_000 {
        metadata[format!("key.{number}$")] = Value::from(number);
    }
    let Value::Object(metadata) = metadata else {
        unreachable!()
    };
    let mut account = account(1);
    account.user.metadata = Some(metadata);
    store.create_user(&account).await.unwrap();
    let found = store.find_user(user_id(1)).await.unwrap().unwrap();
    let text = |user: &model::User| serde_json::to_string(&user.metadata).unwrap();
    assert_eq!(text(&found), text(&account.user), "the order of keys counts too");
}

async fn the_first_admin_is_made_only_while_there_is_none(engine: impl Engine) {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    assert!(!store.has_admin().await.unwrap());
    let mut inactive = admin(2);
    inactive.user.is_active = false;
    store.create_first_admin(&inactive).await.unwrap();
    assert!(store.has_admin().await.unwrap(), "an inactive admin is one too");
    let error = store.create_first_admin(&admin(3)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(store.find_user(user_id(3)).await.unwrap().is_none());
}

async fn of_many_first_admins_one_is_made(engine: impl Engine) {
    let store = engine.open().await;
    let works = (1..=32).map(|number| {
        let store = Arc::clone(&store);
        async move { store.create_first_admin(&admin(number)).await }
    });
    let results = at_once(works).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}
