//! Signing in, staying signed in, signing out.

use std::time::Duration;

use engine::{Client, SignIn};
use model::{ErrorCode, Secret, SecurityEventKind, UserChange};

use crate::{
    fixture::{PASSWORD, Person, World, WorldBuilder, client, code, first_page, refusal},
    shop::Shop,
};

const SECOND: Duration = Duration::from_secs(1);

async fn fail_to_sign_in(world: &World, name: &str, times: usize) {
    for _ in 0..times {
        let refused = world.try_sign_in(name, "not the password").await;
        assert_eq!(code(refused), ErrorCode::InvalidCredentials);
    }
}

async fn events(world: &World, person: &Person) -> Vec<SecurityEventKind> {
    let page = world
        .engine
        .list_security_events(&person.principal, first_page(()))
        .await
        .unwrap();
    page.items.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn the_right_password_signs_in_whatever_the_case_of_the_address() {
    let world = World::new();
    let ada = world.person("ada").await;
    let attempt = SignIn {
        email: " ADA@Example.org ".into(),
        password: Secret::new(PASSWORD),
    };
    let signed_in = world.engine.sign_in(attempt, &client()).await.unwrap();
    assert_eq!(signed_in.user.id, ada.signed_in.user.id);
    assert!(signed_in.user.last_login.is_some());
    let principal = world.bearer(signed_in.tokens.access.expose()).await.unwrap();
    assert_eq!(principal.user_id(), Some(ada.signed_in.user.id));
}

#[tokio::test]
async fn a06_unknown_inactive_and_wrong_are_refused_alike() {
    let world = World::new();
    let admin = world.admin("root").await;
    world.person("ada").await;
    let bob = world.person("bob").await;
    let inactive = UserChange {
        is_active: Some(false),
        ..UserChange::default()
    };
    let id = bob.signed_in.user.id;
    world
        .engine
        .update_user(&admin.principal, id, inactive)
        .await
        .unwrap();
    let wrong = refusal(world.try_sign_in("ada", "not the password").await);
    assert_eq!(wrong, refusal(world.try_sign_in("bob", PASSWORD).await));
    assert_eq!(wrong, refusal(world.try_sign_in("bob", "not the password").await));
    assert_eq!(wrong, refusal(world.try_sign_in("nobody", PASSWORD).await));
    assert_eq!(wrong, refusal(world.try_sign_in("no address @", PASSWORD).await));
    assert_eq!(
        wrong,
        refusal(world.try_sign_in(&"long".repeat(10_000), PASSWORD).await)
    );
}

#[tokio::test]
async fn a06_every_refusal_costs_one_password_check() {
    let world = World::new();
    world.person("ada").await;
    let before = world.seen.count("PasswordWork {");
    for name in ["ada", "nobody", "no address @"] {
        world.try_sign_in(name, "not the password").await.unwrap_err();
    }
    assert_eq!(world.seen.count("PasswordWork {"), before + 3);
}

#[tokio::test]
async fn a08_after_five_failures_each_attempt_waits_twice_as_long() {
    let world = World::new();
    world.person("ada").await;
    for name in ["ada", "nobody"] {
        fail_to_sign_in(&world, name, 5).await;
        for wait in [1, 2, 4, 8] {
            let refused = world.try_sign_in(name, PASSWORD).await.unwrap_err();
            assert_eq!(
                (refused.code(), refused.wait()),
                (ErrorCode::RateLimited, Some(wait * SECOND)),
                "{name}"
            );
            world.clock.advance(wait * SECOND);
            fail_to_sign_in(&world, name, 1).await;
        }
    }
}

#[tokio::test]
async fn a08_waiting_lets_the_right_password_in_and_ends_the_count() {
    let world = World::new();
    world.person("ada").await;
    fail_to_sign_in(&world, "ada", 5).await;
    world.clock.advance(SECOND);
    world.sign_in("ada").await;
    fail_to_sign_in(&world, "ada", 5).await;
}

#[tokio::test]
async fn a08_failures_survive_a_restart() {
    let world = World::new();
    world.person("ada").await;
    fail_to_sign_in(&world, "ada", 5).await;
    let world = world.restarted().await;
    assert_eq!(
        code(world.try_sign_in("ada", PASSWORD).await),
        ErrorCode::RateLimited
    );
}

#[tokio::test]
async fn a08_failures_are_forgotten_after_a_day() {
    let world = World::new();
    world.person("ada").await;
    fail_to_sign_in(&world, "ada", 5).await;
    world.clock.advance(Duration::from_secs(24 * 3600 + 1));
    fail_to_sign_in(&world, "ada", 5).await;
}

#[tokio::test]
async fn g07_a_clock_that_ran_ahead_locks_nobody_out_until_it_is_reached_again() {
    let world = World::new();
    world.person("ada").await;
    world.clock.advance(3600 * SECOND);
    fail_to_sign_in(&world, "ada", 5).await;
    assert_eq!(
        code(world.try_sign_in("ada", PASSWORD).await),
        ErrorCode::RateLimited
    );
    world.clock.set_back(3600 * SECOND);
    fail_to_sign_in(&world, "ada", 1).await;
    let refused = world.try_sign_in("ada", PASSWORD).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::RateLimited);
    world.clock.advance(refused.wait().unwrap());
    assert!(world.try_sign_in("ada", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a08_a_session_goes_on_while_sign_ins_are_refused_and_its_owner_is_told() {
    let world = World::new();
    let ada = world.person("ada").await;
    fail_to_sign_in(&world, "ada", 5).await;
    for doublings in 0..5 {
        world.clock.advance(2_u32.pow(doublings) * SECOND);
        fail_to_sign_in(&world, "ada", 1).await;
    }
    assert!(world.bearer(ada.token()).await.is_ok());
    assert_eq!(events(&world, &ada).await, [SecurityEventKind::SignInsRefused]);
    let (current, new) = (Secret::new(PASSWORD), Secret::new("another password"));
    let changed = world
        .engine
        .change_password(&ada.principal, current, new, &client())
        .await;
    assert!(changed.is_ok(), "the right password still works in a session");
}

#[tokio::test]
async fn a08_of_many_attempts_at_one_instant_few_are_let_through() {
    let world = World::new();
    world.person("ada").await;
    fail_to_sign_in(&world, "ada", 5).await;
    world.clock.advance(SECOND);
    let attempts = (0..20).map(|_| world.try_sign_in("ada", "not the password"));
    let answers = futures_util::future::join_all(attempts).await;
    let codes: Vec<_> = answers.into_iter().map(code).collect();
    let checked = codes
        .iter()
        .filter(|code| **code == ErrorCode::InvalidCredentials)
        .count();
    assert_eq!(checked, 1, "{codes:?}");
}

#[tokio::test]
async fn a23_d05_what_does_not_fit_into_the_waiting_room_is_turned_away_at_once() {
    /// Two work and 64 wait.
    const ROOM: usize = 66;
    let shop = Shop::open();
    let held = shop.store.hold("sign_in_failures");
    let attempts = (0..200).map(|_| shop.try_sign_in("nobody", PASSWORD));
    let release = async {
        // Those who have a place keep it until all others were turned away.
        while shop.seen.count("PasswordWorkRefused") < 200 - ROOM {
            tokio::task::yield_now().await;
        }
        (0..ROOM).for_each(|_| held.release());
    };
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(attempts), release).await;
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    let overloaded = refused
        .iter()
        .filter(|error| error.code() == ErrorCode::Overloaded)
        .inspect(|error| assert!(error.wait().is_some()));
    assert_eq!((refused.len(), overloaded.count()), (200, 200 - ROOM));
}

#[tokio::test]
async fn a_renewed_session_gets_a_new_pair_and_the_old_refresh_token_dies() {
    let world = World::new();
    let ada = world.person("ada").await;
    let renewed = world
        .engine
        .renew_session(ada.refresh_token(), &client())
        .await
        .unwrap();
    assert_ne!(renewed.tokens.refresh.expose(), ada.refresh_token());
    assert!(world.bearer(renewed.tokens.access.expose()).await.is_ok());
    let again = world
        .engine
        .renew_session(renewed.tokens.refresh.expose(), &client())
        .await;
    assert!(again.is_ok());
}

#[tokio::test]
async fn a12_a_dead_refresh_token_ends_the_whole_family_and_its_owner_is_told() {
    let world = World::new();
    let stolen = world.person("ada").await;
    let other = world.sign_in("ada").await;
    let newest = world
        .engine
        .renew_session(stolen.refresh_token(), &client())
        .await
        .unwrap();
    let (access, refresh) = (newest.tokens.access.expose(), newest.tokens.refresh.expose());
    assert!(world.bearer(access).await.is_ok());

    let reused = world
        .engine
        .renew_session(stolen.refresh_token(), &client())
        .await;
    assert_eq!(code(reused), ErrorCode::InvalidToken);
    assert_eq!(code(world.bearer(access).await), ErrorCode::InvalidToken);
    assert_eq!(code(world.bearer(stolen.token()).await), ErrorCode::InvalidToken);
    let newest = world.engine.renew_session(refresh, &client()).await;
    assert_eq!(code(newest), ErrorCode::InvalidToken);

    assert!(
        world.bearer(other.token()).await.is_ok(),
        "the other session goes on"
    );
    assert_eq!(
        events(&world, &other).await,
        [SecurityEventKind::RefreshTokenReused]
    );
    assert_eq!(world.seen.count("RefreshTokenReused"), 1);
}

#[tokio::test]
async fn a13_of_two_renewals_at_one_instant_one_gets_a_pair_and_the_family_rules_hold() {
    let world = World::new();
    let ada = world.person("ada").await;
    let client = client();
    let renew = || world.engine.renew_session(ada.refresh_token(), &client);
    let (one, other) = tokio::join!(renew(), renew());
    let (winner, loser) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(code(loser), ErrorCode::InvalidToken);
    let pair = winner.unwrap().tokens;
    assert!(
        world.bearer(pair.access.expose()).await.is_err(),
        "reuse ended it"
    );
}

#[tokio::test]
async fn a11_an_access_token_does_not_renew_and_a_refresh_token_does_not_open() {
    let world = World::new();
    let ada = world.person("ada").await;
    let renewed = world.engine.renew_session(ada.token(), &client()).await;
    assert_eq!(code(renewed), ErrorCode::InvalidToken);
    assert_eq!(
        code(world.bearer(ada.refresh_token()).await),
        ErrorCode::InvalidToken
    );
}

#[tokio::test]
async fn a14_an_inactive_account_can_not_renew_its_session() {
    let world = World::new();
    let admin = world.admin("root").await;
    let ada = world.person("ada").await;
    for is_active in [false, true] {
        let change = UserChange {
            is_active: Some(is_active),
            ..UserChange::default()
        };
        let id = ada.signed_in.user.id;
        world
            .engine
            .update_user(&admin.principal, id, change)
            .await
            .unwrap();
        let renewed = world.engine.renew_session(ada.refresh_token(), &client()).await;
        assert_eq!(code(renewed), ErrorCode::InvalidToken, "active: {is_active}");
    }
}

#[tokio::test]
async fn the_hundred_and_first_session_ends_the_oldest_at_once() {
    let world = World::new();
    let oldest = world.person("ada").await;
    for _ in 0..99 {
        world.sign_in("ada").await;
    }
    assert!(world.bearer(oldest.token()).await.is_ok());
    world.sign_in("ada").await;
    assert_eq!(code(world.bearer(oldest.token()).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn an_expired_refresh_token_does_not_renew() {
    let world = World::new();
    let ada = world.person("ada").await;
    world.clock.advance(Duration::from_secs(24 * 3600 + 1));
    let renewed = world.engine.renew_session(ada.refresh_token(), &client()).await;
    assert_eq!(code(renewed), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn signing_out_ends_one_session_at_once_and_everywhere_ends_all() {
    let world = World::new();
    let (one, two, three) = (
        world.person("ada").await,
        world.sign_in("ada").await,
        world.sign_in("ada").await,
    );
    world.engine.sign_out(&one.principal).await.unwrap();
    assert_eq!(code(world.bearer(one.token()).await), ErrorCode::InvalidToken);
    assert!(world.bearer(two.token()).await.is_ok());
    world
        .engine
        .sign_out(&one.principal)
        .await
        .expect("again is no error");

    assert_eq!(world.engine.sign_out_everywhere(&two.principal).await.unwrap(), 2);
    assert_eq!(code(world.bearer(two.token()).await), ErrorCode::InvalidToken);
    assert_eq!(code(world.bearer(three.token()).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn a_hash_of_a_lower_cost_is_renewed_at_the_next_sign_in() {
    let builder = WorldBuilder::default();
    let mut world = builder.build();
    let id = world.person("ada").await.signed_in.user.id;
    let stored = async |world: &World| world.store.find_account(id).await.unwrap().unwrap().password_hash;
    assert!(stored(&world).await.as_str().starts_with("$2b$04$"));
    world = world.restarted_with(|settings| settings.password_cost = 5).await;
    world.sign_in("ada").await;
    assert!(stored(&world).await.as_str().starts_with("$2b$05$"));
    world.sign_in("ada").await;
}

#[tokio::test]
async fn security_events_name_the_address_that_they_came_from() {
    let world = World::new();
    let ada = world.person("ada").await;
    let (current, new) = (Secret::new(PASSWORD), Secret::new("another password"));
    let client = Client {
        ip_address: Some("::ffff:192.0.2.9".parse().unwrap()),
        user_agent: None,
    };
    world
        .engine
        .change_password(&ada.principal, current, new, &client)
        .await
        .unwrap();
    let page = world
        .engine
        .list_security_events(&ada.principal, first_page(()))
        .await
        .unwrap();
    assert_eq!(page.items[0].kind, SecurityEventKind::PasswordChanged);
    assert_eq!(page.items[0].ip_address.as_deref(), Some("192.0.2.9"));
}
