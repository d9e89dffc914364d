//! The link to the first admin.

use std::time::Duration;

use engine::Registration;
use model::{ErrorCode, Role, Secret};

use crate::fixture::{World, client, code, registration};

#[tokio::test]
async fn a20_the_first_admin_is_made_with_a_token_once() {
    let world = World::new();
    let token = world.engine.setup_token().await.unwrap().unwrap();
    world.engine.check_setup_token(token.expose()).await.unwrap();
    let made = world
        .engine
        .create_first_admin(token.expose(), registration("root"), &client())
        .await;
    let made = made.unwrap();
    assert_eq!(made.user.role, Role::Admin);
    assert!(
        world
            .bearer(made.tokens.access.expose())
            .await
            .unwrap()
            .is_admin()
    );

    assert_eq!(
        code(world.engine.check_setup_token(token.expose()).await),
        ErrorCode::NotFound
    );
    let again = world
        .engine
        .create_first_admin(token.expose(), registration("second"), &client())
        .await;
    assert_eq!(code(again), ErrorCode::NotFound);
    assert!(world.engine.setup_token().await.unwrap().is_none());
}

#[tokio::test]
async fn a20_of_two_who_use_it_at_the_same_instant_one_becomes_admin() {
    let world = World::new();
    let token = world.engine.setup_token().await.unwrap().unwrap();
    let client = client();
    let make = |name| {
        world
            .engine
            .create_first_admin(token.expose(), registration(name), &client)
    };
    let (one, other) = tokio::join!(make("one"), make("two"));
    let (winner, loser) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(winner.is_ok());
    assert_eq!(code(loser), ErrorCode::NotFound);
}

#[tokio::test]
async fn a20_it_dies_after_an_hour_and_outlives_a_restart_before() {
    let world = World::new();
    let token = world.engine.setup_token().await.unwrap().unwrap();
    let world = world.restarted().await;
    world
        .clock
        .advance(Duration::from_secs(3600) - Duration::from_millis(1));
    assert!(world.engine.check_setup_token(token.expose()).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(
        code(world.engine.check_setup_token(token.expose()).await),
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn a20_it_is_worthless_once_an_admin_exists() {
    let world = World::new();
    let token = world.engine.setup_token().await.unwrap().unwrap();
    world.admin("root").await;
    let made = world
        .engine
        .create_first_admin(token.expose(), registration("second"), &client())
        .await;
    assert_eq!(code(made), ErrorCode::NotFound);
}

#[tokio::test]
async fn a20_any_other_text_is_no_token() {
    let world = World::new();
    let token = world.engine.setup_token().await.unwrap().unwrap();
    let mut changed = token.expose().to_owned();
    changed.replace_range(3..4, if &changed[3..4] == "A" { "B" } else { "A" });
    let long = "A".repeat(1_000_000);
    for text in ["", "x", "é", &changed, &long, &token.expose()[1..]] {
        assert_eq!(
            code(world.engine.check_setup_token(text).await),
            ErrorCode::NotFound
        );
    }
}

#[tokio::test]
async fn a_password_outside_the_limits_leaves_the_token_usable() {
    let world = World::new();
    let token = world.engine.setup_token().await.unwrap().unwrap();
    let short = Registration {
        password: Secret::new("short"),
        ..registration("root")
    };
    let refused = world
        .engine
        .create_first_admin(token.expose(), short, &client())
        .await;
    assert_eq!(code(refused), ErrorCode::ValidationFailed);
    assert!(world.engine.check_setup_token(token.expose()).await.is_ok());
}
