//! API keys.

use std::time::Duration;

use engine::{CreatedKey, NewKey};
use futures_util::FutureExt as _;
use model::{
    ApiKey, ErrorCode, KeyChange, KeyName, KeySort, Principal, Role, Scope, Scopes, Secret, Timestamp,
    UserChange, UserSort,
};
use rstest::rstest;

use crate::fixture::{Person, World, client, code, first_page, registration};

const HOUR: Duration = Duration::from_secs(3600);

async fn make(world: &World, owner: &Person, new: NewKey) -> CreatedKey {
    world.engine.create_key(&owner.principal, new).await.unwrap()
}

fn scoped(scopes: &[&str]) -> NewKey {
    NewKey {
        scopes: scopes_of(scopes),
        ..NewKey::default()
    }
}

fn scopes_of(scopes: &[&str]) -> Scopes {
    let scopes = scopes.iter().map(|scope| scope.parse::<Scope>().unwrap());
    Scopes::new(scopes.collect()).unwrap()
}

fn expiring(world: &World, after: Duration) -> Timestamp {
    model::Clock::now(&*world.clock).plus(after)
}

async fn listed(world: &World, owner: &Person) -> Vec<ApiKey> {
    let page = world
        .engine
        .list_keys(&owner.principal, first_page(KeySort::CreatedAt));
    page.await.unwrap().items
}

#[tokio::test]
async fn an_empty_wish_makes_a_key_that_acts_as_its_owner() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    let secret = made.secret.expose();
    assert_eq!(made.key.name.as_str(), "Key of 2026-06-01");
    assert!(secret.starts_with(made.key.prefix.as_str()));
    assert_eq!(secret.len(), "mcp_".len() + 12 + 1 + 43);
    for presented in [world.api_key(secret).await, world.bearer(secret).await] {
        let principal = presented.unwrap();
        assert_eq!(principal.subject, ada.principal.subject);
        assert_eq!(principal.role, Role::User);
    }
}

#[tokio::test]
async fn a15_at_rest_there_is_only_a_hash_of_a_key() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    let secret = made.secret.expose().split_at(17).1;
    world.engine.close().await.unwrap();
    for file in std::fs::read_dir(world.directory()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let is_there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!is_there);
    }
}

#[tokio::test]
async fn a15_a_key_with_one_character_changed_is_refused() {
    let world = World::new();
    let ada = world.person("ada").await;
    let (one, other) = (
        make(&world, &ada, NewKey::default()).await,
        make(&world, &ada, NewKey::default()).await,
    );
    let secret = one.secret.expose();
    for position in [0, 4, 15, 16, 17, 40, 59] {
        let mut changed = secret.to_owned().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(code(world.api_key(&changed).await), ErrorCode::InvalidToken);
    }
    let mixed = format!("{}{}", other.key.prefix, &secret[16..]);
    for text in [
        mixed,
        secret[..59].into(),
        format!("{secret}A"),
        secret.to_uppercase(),
    ] {
        assert_eq!(
            code(world.api_key(&text).await),
            ErrorCode::InvalidToken,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a15_a_revoked_key_is_refused_at_the_next_request() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    assert!(world.api_key(made.secret.expose()).await.is_ok());
    let revoked = world
        .engine
        .revoke_key(&ada.principal, made.key.id)
        .await
        .unwrap();
    assert!(!revoked.is_active);
    assert_eq!(
        code(world.api_key(made.secret.expose()).await),
        ErrorCode::InvalidToken
    );
    let renamed = KeyChange {
        name: KeyName::parse("again").ok(),
        ..KeyChange::default()
    };
    let refused = world
        .engine
        .update_key(&ada.principal, made.key.id, renamed)
        .await;
    assert_eq!(code(refused), ErrorCode::Conflict);
}

#[tokio::test]
async fn a15_a_revocation_takes_place_even_when_its_sender_leaves() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    world.api_key(made.secret.expose()).await.unwrap();
    let polled_once = world
        .engine
        .revoke_key(&ada.principal, made.key.id)
        .now_or_never();
    assert!(polled_once.is_none());
    let world = world.restarted().await;
    assert_eq!(
        code(world.api_key(made.secret.expose()).await),
        ErrorCode::InvalidToken
    );
}

#[tokio::test]
async fn a15_an_expired_key_is_refused_to_the_millisecond_even_when_it_was_just_used() {
    let world = World::new();
    let ada = world.person("ada").await;
    let new = NewKey {
        expires_at: Some(expiring(&world, Duration::from_secs(5))),
        ..NewKey::default()
    };
    let made = make(&world, &ada, new).await;
    world.clock.advance(Duration::from_millis(4999));
    assert!(world.api_key(made.secret.expose()).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(
        code(world.api_key(made.secret.expose()).await),
        ErrorCode::InvalidToken
    );
}

#[tokio::test]
async fn a14_a_key_dies_with_its_owners_standing() {
    let world = World::new();
    let admin = world.admin("root").await;
    let other = world.admin("other").await;
    let made = make(&world, &other, NewKey::default()).await;
    assert!(world.api_key(made.secret.expose()).await.unwrap().is_admin());
    let id = other.signed_in.user.id;
    let demoted = UserChange {
        role: Some(Role::User),
        ..UserChange::default()
    };
    world
        .engine
        .update_user(&admin.principal, id, demoted)
        .await
        .unwrap();
    assert!(!world.api_key(made.secret.expose()).await.unwrap().is_admin());
    let inactive = UserChange {
        is_active: Some(false),
        ..UserChange::default()
    };
    world
        .engine
        .update_user(&admin.principal, id, inactive)
        .await
        .unwrap();
    assert_eq!(
        code(world.api_key(made.secret.expose()).await),
        ErrorCode::InvalidToken
    );
    world.engine.delete_user(&admin.principal, id).await.unwrap();
    assert_eq!(
        code(world.api_key(made.secret.expose()).await),
        ErrorCode::InvalidToken
    );
}

#[tokio::test]
async fn a16_a_narrowed_key_is_refused_with_the_scope_needed() {
    let world = World::new();
    let admin = world.admin("root").await;
    let made = make(&world, &admin, scoped(&["tasks:read"])).await;
    let key = world.api_key(made.secret.expose()).await.unwrap();
    let refused = world
        .engine
        .list_users(
            &key,
            model::UserFilter::default(),
            first_page(UserSort::CreatedAt),
        )
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InsufficientScope);
    assert!(refused.message().contains("users:read"), "{refused}");
    let profile = world.engine.profile(&key).await;
    assert_eq!(code(profile), ErrorCode::InsufficientScope);
    let registration = engine::Registration {
        role: Some(Role::Admin),
        ..registration("new")
    };
    let made = world.engine.register(Some(&key), registration, &client()).await;
    assert_eq!(code(made), ErrorCode::InsufficientScope);
}

#[tokio::test]
async fn a16_a_key_that_may_change_accounts_still_gives_no_role() {
    let world = World::new();
    let admin = world.admin("root").await;
    let ada = world.person("ada").await;
    let made = make(&world, &admin, scoped(&["users:read", "users:write"])).await;
    let key = world.api_key(made.secret.expose()).await.unwrap();
    let promotion = UserChange {
        role: Some(Role::Admin),
        ..UserChange::default()
    };
    let promoted = world
        .engine
        .update_user(&key, ada.signed_in.user.id, promotion)
        .await;
    assert_eq!(code(promoted), ErrorCode::InsufficientScope);
    let registration = engine::Registration {
        role: Some(Role::Admin),
        ..registration("new")
    };
    let registered = world.engine.register(Some(&key), registration, &client()).await;
    assert_eq!(code(registered), ErrorCode::InsufficientScope);
}

#[tokio::test]
async fn a17_a_key_makes_no_keys_changes_no_password_and_ends_no_sessions() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    let key: &Principal = &world.api_key(made.secret.expose()).await.unwrap();
    let engine = &world.engine;
    let id = made.key.id;
    let secret = || Secret::new("correct horse battery");
    let codes = [
        code(engine.create_key(key, NewKey::default()).await),
        code(engine.list_keys(key, first_page(KeySort::Name)).await),
        code(engine.update_key(key, id, KeyChange::default()).await),
        code(engine.revoke_key(key, id).await),
        code(engine.change_password(key, secret(), secret(), &client()).await),
        code(engine.sign_out(key).await),
        code(engine.sign_out_everywhere(key).await),
        code(engine.list_security_events(key, first_page(())).await),
    ];
    assert_eq!(codes, [ErrorCode::WrongCredential; 8]);
}

#[rstest]
#[case(&["plugins:execute"], &["plugins:execute:sample"], true)]
#[case(&["plugins:execute", "users:read"], &["users:read"], true)]
#[case(&["users:read"], &["users:read"], true)]
#[case(&[], &["users:read"], true)]
#[case(&["admin"], &["users:write"], true)]
#[case(&["plugins:execute:sample"], &["plugins:execute"], false)]
#[case(&["plugins:execute:sample"], &["plugins:execute:llm"], false)]
#[case(&["users:read"], &["users:read", "users:write"], false)]
#[case(&["users:read"], &[], false)]
#[case(&["users:read"], &["admin"], false)]
#[tokio::test]
async fn a17_scopes_only_get_narrower(#[case] old: &[&str], #[case] new: &[&str], #[case] is_narrower: bool) {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, scoped(old)).await;
    let change = KeyChange {
        scopes: Some(scopes_of(new)),
        ..KeyChange::default()
    };
    let changed = world.engine.update_key(&ada.principal, made.key.id, change).await;
    match changed {
        Ok(key) => assert!(is_narrower && key.scopes == scopes_of(new)),
        Err(error) => assert!(!is_narrower && error.details()[0].path == "scopes", "{error}"),
    }
}

#[tokio::test]
async fn a17_a_narrower_scope_counts_at_the_next_request() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    let secret = made.secret.expose();
    assert!(
        world
            .engine
            .profile(&world.api_key(secret).await.unwrap())
            .await
            .is_ok()
    );
    let change = KeyChange {
        scopes: Some(scopes_of(&["tasks:read"])),
        ..KeyChange::default()
    };
    world
        .engine
        .update_key(&ada.principal, made.key.id, change)
        .await
        .unwrap();
    let refused = world.engine.profile(&world.api_key(secret).await.unwrap()).await;
    assert_eq!(code(refused), ErrorCode::InsufficientScope);
}

#[tokio::test]
async fn a17_a_key_never_lives_longer_than_it_was_meant_to() {
    let world = World::new();
    let ada = world.person("ada").await;
    let ends = |after| Some(expiring(&world, after));
    let mortal = NewKey {
        expires_at: ends(HOUR),
        ..NewKey::default()
    };
    let mortal = make(&world, &ada, mortal).await.key.id;
    let immortal = make(&world, &ada, NewKey::default()).await.key.id;
    let update = async |id, expires_at| {
        let change = KeyChange {
            expires_at,
            ..KeyChange::default()
        };
        let changed = world.engine.update_key(&ada.principal, id, change).await;
        changed.map_err(|error| error.details()[0].path.clone())
    };
    assert_eq!(
        update(mortal, ends(2 * HOUR)).await.unwrap_err(),
        "expiresAt",
        "later"
    );
    assert_eq!(
        update(mortal, ends(Duration::ZERO)).await.unwrap_err(),
        "expiresAt",
        "now"
    );
    assert!(update(mortal, ends(HOUR / 2)).await.is_ok());
    assert_eq!(
        update(mortal, ends(HOUR)).await.unwrap_err(),
        "expiresAt",
        "later again"
    );
    assert!(update(immortal, ends(100 * HOUR)).await.is_ok());
}

#[tokio::test]
async fn a_key_that_would_be_dead_or_dumb_from_the_start_is_refused() {
    let world = World::new();
    let ada = world.person("ada").await;
    let dead = NewKey {
        expires_at: Some(expiring(&world, Duration::ZERO)),
        ..NewKey::default()
    };
    let dumb = NewKey {
        rate_limit: Some(0),
        ..NewKey::default()
    };
    for (new, path) in [(dead, "expiresAt"), (dumb, "rateLimit")] {
        let refused = world.engine.create_key(&ada.principal, new).await.unwrap_err();
        assert_eq!(refused.details()[0].path, path);
    }
}

#[tokio::test]
async fn b01_another_persons_key_is_as_if_it_were_not_there() {
    let world = World::new();
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let made = make(&world, &ada, NewKey::default()).await;
    let id = made.key.id;
    let change = KeyChange::default();
    assert_eq!(
        code(world.engine.update_key(&bob.principal, id, change).await),
        ErrorCode::NotFound
    );
    assert_eq!(
        code(world.engine.revoke_key(&bob.principal, id).await),
        ErrorCode::NotFound
    );
    assert!(listed(&world, &bob).await.is_empty());
    assert!(world.api_key(made.secret.expose()).await.is_ok());
}

#[tokio::test]
async fn an_account_has_a_hundred_live_keys_at_most() {
    let world = World::new();
    let ada = world.person("ada").await;
    let mut last = None;
    for _ in 0..100 {
        last = Some(make(&world, &ada, NewKey::default()).await.key.id);
    }
    let another = || world.engine.create_key(&ada.principal, NewKey::default());
    assert_eq!(code(another().await), ErrorCode::LimitReached);
    world
        .engine
        .revoke_key(&ada.principal, last.unwrap())
        .await
        .unwrap();
    assert!(another().await.is_ok());
}

#[tokio::test]
async fn uses_are_counted_at_once_and_survive_a_restart() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    let secret = made.secret.expose();
    for _ in 0..3 {
        world.api_key(secret).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(1));
    let key = world.api_key(secret).await.unwrap();
    let used_at = expiring(&world, Duration::ZERO);
    let presented = world.engine.presented_key(&key).await.unwrap();
    assert_eq!(
        (presented.usage_count, presented.last_used_at),
        (4, Some(used_at))
    );

    world.engine.flush_key_usage().await.unwrap();
    world.engine.flush_key_usage().await.unwrap();
    world.bearer(secret).await.unwrap();
    assert_eq!(listed(&world, &ada).await[0].usage_count, 5);
    let world = world.restarted().await;
    let key = &listed(&world, &ada).await[0];
    assert_eq!((key.usage_count, key.last_used_at), (5, Some(used_at)));
}

#[tokio::test]
async fn only_a_key_can_ask_which_key_it_is() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, scoped(&["tasks:read"])).await;
    let key = world.api_key(made.secret.expose()).await.unwrap();
    assert_eq!(world.engine.presented_key(&key).await.unwrap().id, made.key.id);
    assert_eq!(
        code(world.engine.presented_key(&ada.principal).await),
        ErrorCode::WrongCredential
    );
}

#[tokio::test]
async fn keys_are_renamed_and_given_other_limits() {
    let world = World::new();
    let ada = world.person("ada").await;
    let made = make(&world, &ada, NewKey::default()).await;
    let change = KeyChange {
        name: KeyName::parse("build server").ok(),
        rate_limit: Some(7),
        ..KeyChange::default()
    };
    world
        .engine
        .update_key(&ada.principal, made.key.id, change)
        .await
        .unwrap();
    let key = &listed(&world, &ada).await[0];
    assert_eq!((key.name.as_str(), key.rate_limit), ("build server", Some(7)));
    let principal = world.api_key(made.secret.expose()).await.unwrap();
    assert_eq!(principal.rate_limit, Some(7));
}
