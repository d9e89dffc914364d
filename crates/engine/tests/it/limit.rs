//! How often someone may ask.

use std::net::IpAddr;

use engine::{NewKey, Settings};
use model::{Principal, Quota};

use crate::fixture::{World, WorldBuilder};

fn world() -> World {
    let builder = WorldBuilder::default();
    let quota = |requests| Quota {
        requests,
        ..builder.settings.anonymous_quota
    };
    let settings = Settings {
        anonymous_quota: quota(2),
        principal_quota: quota(3),
        ..builder.settings.clone()
    };
    WorldBuilder { settings, ..builder }.build()
}

async fn allowed(world: &World, principal: Option<&Principal>, address: &str) -> usize {
    let address: IpAddr = address.parse().unwrap();
    for count in 0..10 {
        if !world
            .engine
            .count_request(principal, address)
            .await
            .unwrap()
            .is_allowed
        {
            return count;
        }
    }
    10
}

#[tokio::test]
async fn d01_strangers_are_counted_by_address_and_accounts_by_themselves() {
    let world = world();
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    assert_eq!(allowed(&world, None, "192.0.2.1").await, 2);
    assert_eq!(allowed(&world, None, "192.0.2.2").await, 2);
    assert_eq!(allowed(&world, Some(&ada.principal), "192.0.2.1").await, 3);
    let again = world.sign_in("ada").await;
    assert_eq!(
        allowed(&world, Some(&again.principal), "192.0.2.9").await,
        0,
        "all its tokens"
    );
    assert_eq!(allowed(&world, Some(&bob.principal), "192.0.2.1").await, 3);
}

#[tokio::test]
async fn a_keys_own_limit_takes_the_place_of_the_general_one() {
    let world = world();
    let ada = world.person("ada").await;
    for (rate_limit, expected) in [(None, 3), (Some(1), 1), (Some(5), 5)] {
        let new = NewKey {
            rate_limit,
            ..NewKey::default()
        };
        let made = world.engine.create_key(&ada.principal, new).await.unwrap();
        let key = world.api_key(made.secret.expose()).await.unwrap();
        assert_eq!(allowed(&world, Some(&key), "192.0.2.1").await, expected);
    }
}

#[tokio::test]
async fn d03_a_used_up_quota_of_an_address_locks_no_account() {
    let world = world();
    let ada = world.person("ada").await;
    allowed(&world, None, "192.0.2.1").await;
    assert_eq!(allowed(&world, Some(&ada.principal), "192.0.2.1").await, 3);
}
