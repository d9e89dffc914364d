//! From a presented credential to a principal.

use std::{sync::Arc, time::Duration};

use engine::{NewKey, Settings};
use model::{Credential, ErrorCode, Secret, Subject};
use rstest::rstest;

use crate::fixture::{ADMIN_KEY, World, WorldBuilder, code, refusal};

#[tokio::test]
async fn the_operators_key_is_accepted_in_both_places() {
    let world = World::new();
    for principal in [
        world.bearer(ADMIN_KEY).await.unwrap(),
        world.api_key(ADMIN_KEY).await.unwrap(),
    ] {
        assert_eq!(principal.credential, Credential::AdminKey);
        assert_eq!(principal.subject, Subject::BuiltinAdmin);
    }
    assert_eq!(code(world.bearer(&ADMIN_KEY[1..]).await), ErrorCode::InvalidToken);
}

#[rstest]
#[case("")]
#[case("   ")]
#[case("your-admin-api-key")]
#[case("CHANGE-IN-PRODUCTION-please-0123456789")]
#[tokio::test]
async fn a19_an_empty_or_sample_operators_key_is_never_accepted(#[case] key: &str) {
    let builder = WorldBuilder::default();
    let settings = Settings {
        admin_api_key: Some(Secret::new(key)),
        ..builder.settings
    };
    let world = WorldBuilder { settings, ..builder }.build();
    assert_eq!(code(world.bearer(key).await), ErrorCode::InvalidToken);
    assert_eq!(code(world.api_key(key).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn an_access_token_is_no_api_key_even_when_it_was_just_accepted() {
    let world = World::new();
    let ada = world.person("ada").await;
    assert!(world.bearer(ada.token()).await.is_ok());
    assert_eq!(code(world.api_key(ada.token()).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn every_refusal_reads_the_same() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = world
        .engine
        .create_key(&ada.principal, NewKey::default())
        .await
        .unwrap();
    world
        .engine
        .revoke_key(&ada.principal, made.key.id)
        .await
        .unwrap();
    let expected = refusal(world.bearer("").await);
    let long = "a".repeat(1_000_000);
    let unknown = format!("mcp_aaaaaaaaaaaa_{}", "A".repeat(43));
    let texts = [
        "nonsense",
        &long,
        &unknown,
        "..",
        "a.b.c",
        "\0",
        "mcp_é",
        "mcp_aaaaaaaaaaa\u{e9}_x",
        made.secret.expose(),
        ada.refresh_token(),
    ];
    for text in texts {
        assert_eq!(refusal(world.bearer(text).await), expected, "{text:.40}");
        assert_eq!(refusal(world.api_key(text).await), expected, "{text:.40}");
    }
}

#[tokio::test]
async fn a10_an_access_token_expires_even_when_it_was_just_accepted() {
    let world = World::new();
    let ada = world.person("ada").await;
    world.clock.advance(Duration::from_secs(3600));
    assert!(
        world.bearer(ada.token()).await.is_ok(),
        "a second of leeway is left"
    );
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(code(world.bearer(ada.token()).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn a_credential_that_was_just_accepted_costs_no_look_up() {
    let world = World::new();
    let ada = world.person("ada").await;
    let one = world.bearer(ada.token()).await.unwrap();
    let other = world.bearer(ada.token()).await.unwrap();
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!(
        world.seen.count("CredentialChecked { cached: false"),
        1,
        "by the fixture"
    );
    assert_eq!(world.seen.count("CredentialChecked { cached: true"), 2);
    world.clock.advance(Duration::from_secs(30));
    world.bearer(ada.token()).await.unwrap();
    assert_eq!(world.seen.count("CredentialChecked { cached: false"), 2);
}

#[tokio::test]
async fn what_changes_behind_the_engines_back_counts_after_thirty_seconds() {
    let world = World::new();
    let ada = world.person("ada").await;
    world.store.close_sessions(ada.signed_in.user.id).await.unwrap();
    assert!(world.bearer(ada.token()).await.is_ok());
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(code(world.bearer(ada.token()).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn tokens_and_sessions_survive_a_restart() {
    let world = World::new();
    let ada = world.person("ada").await;
    let world = world.restarted().await;
    let principal = world.bearer(ada.token()).await.unwrap();
    assert_eq!(principal, ada.principal);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_refusal() {
    let world = World::new();
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let key = world
        .engine
        .create_key(&ada.principal, NewKey::default())
        .await
        .unwrap();
    world.store.close().await.unwrap();
    assert!(world.bearer(bob.token()).await.is_ok(), "known for a while");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(code(world.bearer(bob.token()).await), ErrorCode::Unavailable);
    assert_eq!(
        code(world.api_key(key.secret.expose()).await),
        ErrorCode::Unavailable
    );
}
