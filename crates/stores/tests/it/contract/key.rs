//! API keys.

use std::sync::Arc;

use model::{ApiKey, ErrorCode, KeyChange, KeyName, KeySort, KeyUsage, Scope, Scopes, SortValue, Store};

use super::user::at_once;
use crate::{
    engine::Engine,
    make::{account, count, key, key_hash, moment, plugin, prefix, user_id},
    walk::{BOTH, directed, first_page, walk},
};

crate::on_every_engine![
    a_key_is_found_with_its_owner_as_it_was_stored,
    a_key_needs_an_owner_and_a_free_prefix,
    live_keys_are_limited_and_dead_ones_do_not_count,
    many_keys_at_once_do_not_pass_the_limit,
    the_hundred_newest_dead_keys_are_kept,
    a_change_needs_the_key_to_be_as_it_was_seen,
    of_two_narrowings_of_one_key_at_once_one_is_done,
    a_revoked_key_stays_revoked,
    b01_foreign_keys_are_not_found_changed_or_revoked,
    uses_are_added_up_and_unknown_keys_passed_over,
    keys_are_listed_once_each_in_every_order_and_page_size,
];

async fn with_user(engine: &impl Engine) -> Arc<dyn Store> {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    store
}

async fn a_key_is_found_with_its_owner_as_it_was_stored(engine: impl Engine) {
    let store = with_user(&engine).await;
    let mut full = key(user_id(1), 2);
    full.name = KeyName::parse("Ключ 'for' $prod; -- \u{1F511}").unwrap();
    let one = Scope::PluginsExecuteOne(plugin("data-processor").to_string());
    full.scopes = Scopes::new(vec![one, Scope::HistoryRead]).unwrap();
    full.expires_at = Some(moment(900));
    full.last_used_at = Some(moment(800));
    full.usage_count = u64::from(u32::MAX) + 7;
    full.rate_limit = Some(u32::MAX);
    store.create_key(&full, &key_hash(2), 10).await.unwrap();
    store
        .create_key(&key(user_id(1), 3), &key_hash(3), 10)
        .await
        .unwrap();
    for stored in [full, key(user_id(1), 3)] {
        let found = store.find_key(&stored.prefix).await.unwrap().unwrap();
        assert_eq!(found.key, stored);
        assert_eq!(found.owner, account(1).user);
        assert_eq!(
            store.find_own_key(user_id(1), stored.id).await.unwrap(),
            Some(stored)
        );
    }
    assert_eq!(
        store.find_key(&prefix(2)).await.unwrap().unwrap().hash,
        key_hash(2)
    );
    assert!(store.find_key(&prefix(404)).await.unwrap().is_none());
}

async fn a_key_needs_an_owner_and_a_free_prefix(engine: impl Engine) {
    let store = with_user(&engine).await;
    store
        .create_key(&key(user_id(1), 2), &key_hash(2), 10)
        .await
        .unwrap();
    let mut taken = key(user_id(1), 3);
    taken.prefix = prefix(2);
    let error = store.create_key(&taken, &key_hash(3), 10).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AlreadyExists);
    let error = store
        .create_key(&key(user_id(404), 4), &key_hash(4), 10)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(
        store.find_key(&prefix(2)).await.unwrap().unwrap().hash,
        key_hash(2)
    );
}

async fn live_keys_are_limited_and_dead_ones_do_not_count(engine: impl Engine) {
    let store = with_user(&engine).await;
    let create = async |key: ApiKey| {
        store
            .create_key(&key, &key_hash(1), 2)
            .await
            .map_err(|error| error.code())
    };
    let mut expiring = key(user_id(1), 10);
    expiring.expires_at = Some(moment(20));
    create(expiring).await.unwrap();
    create(key(user_id(1), 11)).await.unwrap();
    assert_eq!(create(key(user_id(1), 19)).await, Err(ErrorCode::LimitReached));
    create(key(user_id(1), 20)).await.unwrap();
    assert_eq!(create(key(user_id(1), 21)).await, Err(ErrorCode::LimitReached));
    store
        .revoke_key(user_id(1), key(user_id(1), 11).id)
        .await
        .unwrap()
        .unwrap();
    create(key(user_id(1), 22)).await.unwrap();
}

async fn many_keys_at_once_do_not_pass_the_limit(engine: impl Engine) {
    let store = with_user(&engine).await;
    let works = (10..50).map(|number| {
        let store = Arc::clone(&store);
        async move {
            store
                .create_key(&key(user_id(1), number), &key_hash(number), 5)
                .await
        }
    });
    let results = at_once(works).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    let page = store
        .list_keys(user_id(1), &first_page(KeySort::CreatedAt, BOTH[0], 10))
        .await;
    assert_eq!(page.unwrap().total, 5);
}

async fn the_hundred_newest_dead_keys_are_kept(engine: impl Engine) {
    let store = with_user(&engine).await;
    store
        .create_key(&key(user_id(1), 2), &key_hash(2), 10)
        .await
        .unwrap();
    for number in 1000..1103 {
        let mut dead = key(user_id(1), number);
        if number % 2 == 0 {
            dead.is_active = false;
        } else {
            dead.expires_at = Some(dead.created_at);
        }
        store.create_key(&dead, &key_hash(number), 10).await.unwrap();
    }
    let list = async |request: &_| store.list_keys(user_id(1), request).await;
    let (kept, total) = walk(first_page(KeySort::CreatedAt, BOTH[0], 100), list).await;
    assert_eq!(total, 101, "the live one and a hundred dead ones");
    assert_eq!(
        (kept[0].id, kept[1].id),
        (key(user_id(1), 2).id, key(user_id(1), 1003).id)
    );
}

fn narrowing(scope: Scope) -> KeyChange {
    KeyChange {
        scopes: Some(Scopes::new(vec![scope]).unwrap()),
        ..KeyChange::default()
    }
}

async fn a_change_needs_the_key_to_be_as_it_was_seen(engine: impl Engine) {
    let store = with_user(&engine).await;
    let seen = key(user_id(1), 2);
    store.create_key(&seen, &key_hash(2), 10).await.unwrap();
    let change = KeyChange {
        name: Some(KeyName::parse("new").unwrap()),
        expires_at: Some(moment(99)),
        rate_limit: Some(7),
        ..narrowing(Scope::TasksRead)
    };
    let after = store.update_key(&seen, &change).await.unwrap().unwrap();
    assert_eq!(
        (after.name.as_str(), after.expires_at, after.rate_limit),
        ("new", Some(moment(99)), Some(7))
    );
    assert_eq!(after.scopes, change.scopes.clone().unwrap());
    assert_eq!(
        store.find_own_key(user_id(1), seen.id).await.unwrap(),
        Some(after.clone())
    );
    let error = store.update_key(&seen, &KeyChange::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    let same = store.update_key(&after, &KeyChange::default()).await.unwrap();
    assert_eq!(same, Some(after.clone()), "nothing named, nothing changed");
    store.revoke_key(user_id(1), seen.id).await.unwrap();
    let error = store.update_key(&after, &change).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict, "it was revoked meanwhile");
    assert!(
        store
            .update_key(&key(user_id(1), 404), &change)
            .await
            .unwrap()
            .is_none()
    );
}

async fn of_two_narrowings_of_one_key_at_once_one_is_done(engine: impl Engine) {
    let store = with_user(&engine).await;
    for number in 10..30 {
        let seen = key(user_id(1), number);
        store.create_key(&seen, &key_hash(number), 100).await.unwrap();
        let works = [Scope::TasksRead, Scope::HistoryRead].map(|scope| {
            let (store, seen) = (Arc::clone(&store), seen.clone());
            async move { store.update_key(&seen, &narrowing(scope)).await }
        });
        let results = at_once(works).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    }
}

async fn a_revoked_key_stays_revoked(engine: impl Engine) {
    let store = with_user(&engine).await;
    let stored = key(user_id(1), 2);
    store.create_key(&stored, &key_hash(2), 10).await.unwrap();
    for _ in 0..2 {
        let revoked = store.revoke_key(user_id(1), stored.id).await.unwrap().unwrap();
        assert!(!revoked.is_active);
    }
    assert!(
        !store
            .find_key(&stored.prefix)
            .await
            .unwrap()
            .unwrap()
            .key
            .is_active
    );
    assert!(
        store
            .revoke_key(user_id(1), key(user_id(1), 404).id)
            .await
            .unwrap()
            .is_none()
    );
}

async fn b01_foreign_keys_are_not_found_changed_or_revoked(engine: impl Engine) {
    let store = with_user(&engine).await;
    store.create_user(&account(2)).await.unwrap();
    let stored = key(user_id(1), 3);
    store.create_key(&stored, &key_hash(3), 10).await.unwrap();
    let mut as_if_own = stored.clone();
    as_if_own.user_id = user_id(2);
    assert!(store.find_own_key(user_id(2), stored.id).await.unwrap().is_none());
    assert!(
        store
            .update_key(&as_if_own, &narrowing(Scope::Admin))
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.revoke_key(user_id(2), stored.id).await.unwrap().is_none());
    assert_eq!(
        store.find_own_key(user_id(1), stored.id).await.unwrap(),
        Some(stored)
    );
}

async fn uses_are_added_up_and_unknown_keys_passed_over(engine: impl Engine) {
    let store = with_user(&engine).await;
    store
        .create_key(&key(user_id(1), 2), &key_hash(2), 10)
        .await
        .unwrap();
    let usage = |number: u64, times: u64, at: i64| KeyUsage {
        id: key(user_id(1), number).id,
        user_id: user_id(1),
        count: times,
        last_used_at: moment(at),
    };
    let reports = [usage(404, 9, 50), usage(2, 3, 40), usage(2, 4, 30)];
    store.record_key_usage(&reports).await.unwrap();
    store.record_key_usage(&[usage(2, 1, 20)]).await.unwrap();
    store.record_key_usage(&[]).await.unwrap();
    let found = store
        .find_own_key(user_id(1), key(user_id(1), 2).id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.usage_count, found.last_used_at), (8, Some(moment(40))));
    assert_eq!(store.user_overview(moment(0), 1).await.unwrap().days[0].active, 1);
}

async fn keys_are_listed_once_each_in_every_order_and_page_size(engine: impl Engine) {
    let store = with_user(&engine).await;
    store.create_user(&account(2)).await.unwrap();
    store
        .create_key(&key(user_id(2), 5), &key_hash(5), 10)
        .await
        .unwrap();
    let mut keys = Vec::new();
    for number in 10..27 {
        // Names repeat, so that ties are broken by id.
        let stored = key(user_id(1), number);
        store.create_key(&stored, &key_hash(number), 100).await.unwrap();
        keys.push(stored);
    }
    for (sort, direction) in [KeySort::CreatedAt, KeySort::Name]
        .into_iter()
        .flat_map(|sort| BOTH.map(|direction| (sort, direction)))
    {
        keys.sort_by_key(|key| match sort {
            KeySort::CreatedAt => (String::new(), key.id),
            KeySort::Name => (key.name.as_str().to_owned(), key.id),
        });
        for limit in [1, 3, 17, 100] {
            let list = async |request: &_| store.list_keys(user_id(1), request).await;
            let (found, total) = walk(first_page(sort, direction, limit), list).await;
            assert_eq!(
                found,
                directed(keys.clone(), direction),
                "{sort:?} {direction:?} {limit}"
            );
            assert_eq!(count(total), 17);
        }
    }
    let mut request = first_page(KeySort::Name, BOTH[0], 3);
    let mut position = store.list_keys(user_id(1), &request).await.unwrap().next.unwrap();
    position.value = SortValue::Id;
    request.after = Some(position);
    assert!(store.list_keys(user_id(1), &request).await.is_err());
}
