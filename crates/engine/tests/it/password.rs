//! Changing and setting passwords.

use engine::NewKey;
use model::{Email, ErrorCode, Principal, Result, Secret};
use tokio_util::task::TaskTracker;

use crate::{
    fixture::{PASSWORD, Person, World, client, code},
    shop::Shop,
};

async fn change(world: &World, person: &Person, current: &str, new: &str) -> Result<()> {
    let (current, new) = (Secret::new(current), Secret::new(new));
    world
        .engine
        .change_password(&person.principal, current, new, &client())
        .await
}

#[tokio::test]
async fn a_reset_at_the_command_line_ends_the_wait_after_failed_sign_ins() {
    let world = World::new();
    world.person("ada").await;
    for _ in 0..5 {
        let refused = world.try_sign_in("ada", "not the password").await;
        assert_eq!(code(refused), ErrorCode::InvalidCredentials);
    }
    let refused = world.try_sign_in("ada", PASSWORD).await;
    assert_eq!(code(refused), ErrorCode::RateLimited);
    let email = Email::parse("Ada@example.org").unwrap();
    let new = Secret::new("another password");
    let operator = Principal::command_line();
    world.engine.reset_password(&operator, &email, new).await.unwrap();
    assert!(world.try_sign_in("ada", "another password").await.is_ok());
}

#[tokio::test]
async fn a08_the_right_current_password_ends_the_count_of_wrong_ones() {
    let world = World::new();
    let ada = world.person("ada").await;
    let (mut current, mut new) = (PASSWORD, "another password");
    for _ in 0..2 {
        for _ in 0..4 {
            let refused = change(&world, &ada, "not mine", new).await;
            assert_eq!(code(refused), ErrorCode::InvalidCredentials);
        }
        change(&world, &ada, current, new).await.unwrap();
        (current, new) = (new, current);
    }
}

#[tokio::test]
async fn a14_a_change_that_was_under_way_does_not_replace_a_newer_password() {
    let shop = Shop::open();
    let (ada, thief) = (shop.person("ada").await, shop.sign_in("ada").await);
    let held = shop.store.hold("set_password");
    let engine = shop.engine.clone();
    let late = TaskTracker::new().spawn(async move {
        let (current, new) = (Secret::new(PASSWORD), Secret::new("the thief's password"));
        engine
            .change_password(&thief.principal, current, new, &client())
            .await
    });
    held.reached().await;
    shop.store.hold("set_password").release();
    change(&shop, &ada, PASSWORD, "another password").await.unwrap();
    held.release();
    assert_eq!(code(late.await.unwrap()), ErrorCode::InvalidCredentials);
    assert!(shop.bearer(ada.token()).await.is_ok());
    assert!(shop.try_sign_in("ada", "another password").await.is_ok());
    let refused = shop.try_sign_in("ada", "the thief's password").await;
    assert_eq!(code(refused), ErrorCode::InvalidCredentials);
}

#[tokio::test]
async fn a14_a_session_that_was_ended_does_not_set_the_password_any_more() {
    let shop = Shop::open();
    let (ada, thief) = (shop.person("ada").await, shop.sign_in("ada").await);
    let held = shop.store.hold("set_password");
    let engine = shop.engine.clone();
    let late = TaskTracker::new().spawn(async move {
        let (current, new) = (Secret::new(PASSWORD), Secret::new("the thief's password"));
        engine
            .change_password(&thief.principal, current, new, &client())
            .await
    });
    held.reached().await;
    shop.engine.sign_out_everywhere(&ada.principal).await.unwrap();
    held.release();
    assert_eq!(code(late.await.unwrap()), ErrorCode::InvalidCredentials);
    assert!(shop.try_sign_in("ada", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a14_a_new_password_revokes_the_keys_at_once() {
    let world = World::new();
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let mut secrets = Vec::new();
    for owner in [&ada, &bob] {
        let made = world.engine.create_key(&owner.principal, NewKey::default()).await;
        let secret = made.unwrap().secret;
        world.api_key(secret.expose()).await.unwrap();
        secrets.push(secret);
    }
    change(&world, &ada, PASSWORD, "another password").await.unwrap();
    let refused = world.api_key(secrets[0].expose()).await;
    assert_eq!(code(refused), ErrorCode::InvalidToken);
    assert!(world.api_key(secrets[1].expose()).await.is_ok());
}
