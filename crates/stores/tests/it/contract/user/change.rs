//! Changing and deleting accounts.

use std::sync::Arc;

use model::{ErrorCode, FoldedText, PasswordReplacement, Role, UserChange};
use serde_json::json;

use super::at_once;
use crate::{
    engine::Engine,
    make::{
        account, admin, checked, digest, event, execution, key, key_hash, moment, password, password_hash,
        session, user_id,
    },
    walk::first_page,
};

crate::on_every_engine![
    a_change_touches_only_what_it_names,
    a_new_address_is_unverified_and_the_same_one_is_not_new,
    metadata_can_be_replaced_and_removed,
    a_change_of_nobody_changes_nothing,
    a_change_to_a_taken_name_is_refused_and_to_ones_own_is_not,
    a18_the_last_active_admin_can_not_be_removed,
    a18_of_two_admins_who_remove_each_other_at_once_one_stays,
    a_deleted_account_takes_all_but_its_history_with_it,
    a_new_password_ends_the_other_sessions_and_is_told,
    a14_a_password_that_was_replaced_or_asked_for_by_an_ended_session_is_not_set,
    a14_a_new_password_revokes_the_keys_of_its_account,
    a14_an_account_that_is_made_inactive_loses_its_sessions,
    the_overview_counts_by_role_activity_and_day,
];

async fn a_change_touches_only_what_it_names(engine: impl Engine) {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    let change = UserChange {
        username: Some("Neu".parse().unwrap()),
        role: Some(Role::Developer),
        ..UserChange::default()
    };
    let after = store
        .update_user(user_id(1), &change, moment(500))
        .await
        .unwrap()
        .unwrap();
    let mut expected = account(1).user;
    expected.username = "Neu".parse().unwrap();
    expected.role = Role::Developer;
    expected.updated_at = moment(500);
    assert_eq!(after, expected);
    let found = store.find_account(user_id(1)).await.unwrap().unwrap();
    assert_eq!(found.user, expected);
    assert_eq!(found.password_hash, account(1).password_hash);
}

async fn a_new_address_is_unverified_and_the_same_one_is_not_new(engine: impl Engine) {
    let store = engine.open().await;
    let mut verified = account(1);
    verified.user.is_email_verified = true;
    store.create_user(&verified).await.unwrap();
    let to = |email: &str| UserChange {
        email: Some(email.parse().unwrap()),
        ..UserChange::default()
    };
    let same = store
        .update_user(user_id(1), &to("user1@example.org"), moment(5))
        .await;
    assert!(same.unwrap().unwrap().is_email_verified);
    let other = store
        .update_user(user_id(1), &to("new@example.org"), moment(6))
        .await;
    assert!(!other.unwrap().unwrap().is_email_verified);
    let by_old_address = store.find_account_by_email(&verified.user.email.folded()).await;
    assert!(by_old_address.unwrap().is_none());
}

async fn metadata_can_be_replaced_and_removed(engine: impl Engine) {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    let fields = json!({"b": 1, "a": 2}).as_object().cloned();
    for metadata in [fields, None] {
        let change = UserChange {
            metadata: Some(metadata.clone()),
            ..UserChange::default()
        };
        store.update_user(user_id(1), &change, moment(5)).await.unwrap();
        let found = store.find_user(user_id(1)).await.unwrap().unwrap();
        assert_eq!(found.metadata, metadata);
    }
}

async fn a_change_of_nobody_changes_nothing(engine: impl Engine) {
    let store = engine.open().await;
    let changed = store
        .update_user(user_id(1), &UserChange::default(), moment(5))
        .await;
    assert!(changed.unwrap().is_none());
    assert!(store.delete_user(user_id(1)).await.unwrap().is_none());
    let set = store
        .set_password(user_id(1), &password(2), &event(user_id(1), 3))
        .await;
    assert!(!set.unwrap());
}

async fn a_change_to_a_taken_name_is_refused_and_to_ones_own_is_not(engine: impl Engine) {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    store.create_user(&account(2)).await.unwrap();
    let change = |username: &str| UserChange {
        username: Some(username.parse().unwrap()),
        role: Some(Role::Developer),
        ..UserChange::default()
    };
    let error = store
        .update_user(user_id(1), &change("USER2"), moment(5))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::AlreadyExists);
    assert_eq!(error.details()[0].path, "username");
    assert_eq!(store.find_user(user_id(1)).await.unwrap(), Some(account(1).user));
    let own = store.update_user(user_id(1), &change("USER1"), moment(5)).await;
    assert_eq!(own.unwrap().unwrap().username.as_str(), "USER1");
}

fn demotion() -> UserChange {
    UserChange {
        role: Some(Role::User),
        ..UserChange::default()
    }
}

fn deactivation() -> UserChange {
    UserChange {
        is_active: Some(false),
        ..UserChange::default()
    }
}

async fn a18_the_last_active_admin_can_not_be_removed(engine: impl Engine) {
    let store = engine.open().await;
    let mut inactive = admin(2);
    inactive.user.is_active = false;
    store.create_user(&admin(1)).await.unwrap();
    store.create_user(&inactive).await.unwrap();
    let refusals = [
        store
            .update_user(user_id(1), &demotion(), moment(5))
            .await
            .unwrap_err(),
        store
            .update_user(user_id(1), &deactivation(), moment(5))
            .await
            .unwrap_err(),
        store.delete_user(user_id(1)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), ErrorCode::LastAdmin);
    }
    assert_eq!(store.find_user(user_id(1)).await.unwrap(), Some(admin(1).user));
    store.delete_user(user_id(2)).await.unwrap().unwrap();
    store.create_user(&admin(3)).await.unwrap();
    store
        .update_user(user_id(1), &demotion(), moment(5))
        .await
        .unwrap()
        .unwrap();
}

async fn a18_of_two_admins_who_remove_each_other_at_once_one_stays(engine: impl Engine) {
    let store = engine.open().await;
    store.create_user(&admin(1)).await.unwrap();
    let mut staying = 1;
    for newcomer in 2..40 {
        store.create_user(&admin(newcomer)).await.unwrap();
        let works = [staying, newcomer].map(|number| {
            let store = Arc::clone(&store);
            async move {
                let removed = if newcomer % 2 == 0 {
                    store.delete_user(user_id(number)).await
                } else {
                    store.update_user(user_id(number), &demotion(), moment(5)).await
                };
                removed.map_err(|error| (number, error.code()))
            }
        });
        let refused: Vec<_> = at_once(works).await.into_iter().filter_map(Result::err).collect();
        let [(number, ErrorCode::LastAdmin)] = refused[..] else {
            panic!("one of two was to stay: {refused:?}")
        };
        staying = number;
    }
}

async fn a_deleted_account_takes_all_but_its_history_with_it(engine: impl Engine) {
    let store = engine.open().await;
    let owner = user_id(1);
    store.create_user(&account(1)).await.unwrap();
    let (session, key) = (session(owner, 2), key(owner, 3));
    store.open_session(&session, &checked(1)).await.unwrap();
    store.create_key(&key, &key_hash(3), 10).await.unwrap();
    store.record_execution(execution(4)).await.unwrap();
    let email = FoldedText::of("user1@example.org");
    let told = event(owner, 5);
    let failed = store.record_sign_in_failure(&email, moment(5), moment(0), Some(&told));
    failed.await.unwrap();

    assert_eq!(store.delete_user(owner).await.unwrap().unwrap().id, owner);
    assert!(store.find_user(owner).await.unwrap().is_none());
    assert!(store.find_session(session.id).await.unwrap().is_none());
    assert!(store.find_key(&key.prefix).await.unwrap().is_none());
    assert_eq!(store.sign_in_failures(&email).await.unwrap().count, 0);
    let events = store
        .list_security_events(owner, &first_page((), crate::walk::BOTH[0], 10))
        .await;
    assert_eq!(events.unwrap().total, 0);
    assert!(
        store
            .find_execution(execution(4).id, Some(owner))
            .await
            .unwrap()
            .is_some()
    );
    let overview = store.user_overview(moment(0), 1).await.unwrap();
    assert_eq!((overview.total, overview.days[0].active), (0, 0));
    store.create_user(&account(1)).await.unwrap();
}

async fn a_new_password_ends_the_other_sessions_and_is_told(engine: impl Engine) {
    let store = engine.open().await;
    let owner = user_id(1);
    store.create_user(&account(1)).await.unwrap();
    store.create_user(&account(2)).await.unwrap();
    let (kept, ended, foreign) = (session(owner, 2), session(owner, 3), session(user_id(2), 4));
    store.open_session(&kept, &checked(1)).await.unwrap();
    store.open_session(&ended, &checked(1)).await.unwrap();
    store.open_session(&foreign, &checked(2)).await.unwrap();
    let (told, email) = (event(owner, 9), FoldedText::of("user1@example.org"));
    let failed = store.record_sign_in_failure(&email, moment(5), moment(0), None);
    failed.await.unwrap();
    let new = PasswordReplacement {
        replaced: Some(password_hash(1)),
        kept: Some(kept.id),
        counted_as: email.clone(),
        ..password(7)
    };
    assert!(store.set_password(owner, &new, &told).await.unwrap());
    assert_eq!(store.sign_in_failures(&email).await.unwrap().count, 0);
    let is_there = async |id| store.find_session(id).await.unwrap().is_some();
    assert!(is_there(kept.id).await && !is_there(ended.id).await && is_there(foreign.id).await);
    let found = store.find_account(owner).await.unwrap().unwrap();
    assert_eq!(found.password_hash, password_hash(7));
    let events = store
        .list_security_events(owner, &first_page((), crate::walk::BOTH[0], 10))
        .await;
    assert_eq!(events.unwrap().items, [told]);
    assert!(
        store
            .set_password(owner, &password(8), &event(owner, 10))
            .await
            .unwrap()
    );
    assert!(!is_there(kept.id).await, "without a kept one, all go");
}

async fn a14_a_password_that_was_replaced_or_asked_for_by_an_ended_session_is_not_set(engine: impl Engine) {
    let store = engine.open().await;
    let (owner, email) = (user_id(1), FoldedText::of("user1@example.org"));
    store.create_user(&account(1)).await.unwrap();
    store.create_user(&account(2)).await.unwrap();
    let (own, foreign) = (session(owner, 3), session(user_id(2), 4));
    store.open_session(&own, &checked(1)).await.unwrap();
    store.open_session(&foreign, &checked(2)).await.unwrap();
    store.create_key(&key(owner, 5), &key_hash(5), 10).await.unwrap();
    let failed = store.record_sign_in_failure(&email, moment(5), moment(0), None);
    failed.await.unwrap();
    for (replaced, kept) in [
        (Some(password_hash(2)), Some(own.id)),
        (Some(password_hash(1)), Some(session(owner, 404).id)),
        (Some(password_hash(1)), Some(foreign.id)),
    ] {
        let new = PasswordReplacement {
            replaced,
            kept,
            counted_as: email.clone(),
            ..password(7)
        };
        assert!(!store.set_password(owner, &new, &event(owner, 9)).await.unwrap());
    }
    let found = store.find_account(owner).await.unwrap().unwrap();
    assert_eq!(found.password_hash, password_hash(1));
    assert!(store.find_session(own.id).await.unwrap().is_some());
    assert_eq!(store.sign_in_failures(&email).await.unwrap().count, 1);
    let kept = store.find_own_key(owner, key(owner, 5).id).await.unwrap();
    assert!(kept.unwrap().is_active);
}

async fn a14_a_new_password_revokes_the_keys_of_its_account(engine: impl Engine) {
    let store = engine.open().await;
    let is_live = async |owner: u64| {
        let id = key(user_id(owner), owner).id;
        let found = store.find_own_key(user_id(owner), id).await.unwrap();
        found.unwrap().is_active
    };
    for owner in [1, 2] {
        store.create_user(&account(owner)).await.unwrap();
        let key = key(user_id(owner), owner);
        store.create_key(&key, &key_hash(owner), 10).await.unwrap();
    }
    let told = event(user_id(1), 9);
    assert!(store.set_password(user_id(1), &password(7), &told).await.unwrap());
    assert!(!is_live(1).await && is_live(2).await);
}

async fn a14_an_account_that_is_made_inactive_loses_its_sessions(engine: impl Engine) {
    let store = engine.open().await;
    let (ended, foreign) = (session(user_id(1), 3), session(user_id(2), 4));
    for (owner, session) in [(1, &ended), (2, &foreign)] {
        store.create_user(&account(owner)).await.unwrap();
        store.open_session(session, &checked(owner)).await.unwrap();
    }
    store
        .update_user(user_id(1), &deactivation(), moment(5))
        .await
        .unwrap();
    assert!(store.find_session(ended.id).await.unwrap().is_none());
    assert!(store.find_session(foreign.id).await.unwrap().is_some());
}

async fn the_overview_counts_by_role_activity_and_day(engine: impl Engine) {
    const DAY: i64 = 86_400_000;
    let store = engine.open().await;
    for (number, role, is_active, day) in [
        (1, Role::Admin, true, 0),
        (2, Role::User, true, 0),
        (3, Role::User, false, -1),
        (4, Role::Developer, true, -40),
    ] {
        let mut account = account(number);
        (account.user.role, account.user.is_active) = (role, is_active);
        account.user.created_at = moment(day * DAY);
        store.create_user(&account).await.unwrap();
    }
    let mut yesterday = session(user_id(1), 5);
    yesterday.created_at = moment(-DAY);
    store.open_session(&yesterday, &checked(1)).await.unwrap();
    store
        .open_session(&session(user_id(1), 6), &checked(1))
        .await
        .unwrap();
    store
        .open_session(&session(user_id(2), 7), &checked(2))
        .await
        .unwrap();

    let overview = store.user_overview(moment(0), 3).await.unwrap();
    assert_eq!(
        (overview.total, overview.active, overview.by_role),
        (4, 3, [2, 1, 1])
    );
    let days: Vec<_> = overview
        .days
        .iter()
        .map(|day| (day.day, day.new, day.active))
        .collect();
    let today = moment(0).start_of_day().as_millis();
    let day = |ago: i64| model::Timestamp::from_millis(today - ago * DAY);
    assert_eq!(days, [(day(2), 0, 0), (day(1), 1, 1), (day(0), 2, 2)]);
    assert!(store.user_overview(moment(0), 0).await.unwrap().days.is_empty());
    let renewal = model::Renewal {
        id: yesterday.id,
        presented: digest(5),
        next: digest(50),
        expires_at: moment(DAY),
    };
    store
        .rotate_session(&renewal, &event(user_id(1), 8))
        .await
        .unwrap();
    let again = store.user_overview(moment(0), 3).await.unwrap();
    assert_eq!(again, overview, "twice on one day is once");
}
