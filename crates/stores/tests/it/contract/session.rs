//! Sessions, failed sign-ins and security events.

use std::sync::Arc;

use model::{
    CheckedPassword, FoldedText, Renewal, Rotation, SecurityEventKind, Session, SignInFailures, Store,
    UserChange,
};

use super::user::at_once;
use crate::{
    engine::Engine,
    make::{account, checked, count, digest, event, moment, password_hash, session, user_id},
    walk::{BOTH, directed, first_page, walk},
};

crate::on_every_engine![
    a_sign_in_begins_a_session_and_is_noted,
    a_sign_in_renews_an_old_hash,
    a_sign_in_without_a_fitting_account_does_nothing,
    the_hundred_newest_sessions_of_an_account_are_kept,
    a_live_token_is_replaced_by_the_next,
    a12_a_dead_token_ends_the_session_and_its_owner_is_told,
    a13_of_two_callers_with_one_token_one_is_given_the_next,
    expired_and_unknown_sessions_can_not_be_renewed,
    sessions_end_one_by_one_and_all_at_once,
    failed_sign_ins_are_counted_until_they_are_forgotten,
    many_failed_sign_ins_at_once_are_all_counted,
    an_event_of_nobody_is_not_kept,
    security_events_are_listed_for_their_owner_alone,
    the_thousand_newest_events_are_kept,
    what_expired_is_removed_in_portions,
];

async fn with_user(engine: &impl Engine) -> Arc<dyn Store> {
    let store = engine.open().await;
    store.create_user(&account(1)).await.unwrap();
    store
}

async fn events(store: &Arc<dyn Store>, owner: u64) -> Vec<model::SecurityEvent> {
    let list = async |request: &_| store.list_security_events(user_id(owner), request).await;
    walk(first_page((), BOTH[0], 100), list).await.0
}

async fn a_sign_in_begins_a_session_and_is_noted(engine: impl Engine) {
    let store = with_user(&engine).await;
    let email = account(1).user.email.folded();
    store
        .record_sign_in_failure(&email, moment(1), moment(0), None)
        .await
        .unwrap();
    let session = session(user_id(1), 7);
    assert!(store.open_session(&session, &checked(1)).await.unwrap());
    assert_eq!(
        store.find_session(session.id).await.unwrap(),
        Some(session.clone())
    );
    let found = store.find_account(user_id(1)).await.unwrap().unwrap();
    assert_eq!(found.user.last_login, Some(session.created_at));
    assert_eq!(
        found.user.updated_at,
        account(1).user.updated_at,
        "a sign-in is no change"
    );
    assert_eq!(found.password_hash, password_hash(1));
    assert_eq!(
        store.sign_in_failures(&email).await.unwrap(),
        SignInFailures::default()
    );
    assert_eq!(
        store.user_overview(session.created_at, 1).await.unwrap().days[0].active,
        1
    );
}

async fn a_sign_in_renews_an_old_hash(engine: impl Engine) {
    let store = with_user(&engine).await;
    let renewing = CheckedPassword {
        renewed: Some(password_hash(9)),
        ..checked(1)
    };
    assert!(
        store
            .open_session(&session(user_id(1), 2), &renewing)
            .await
            .unwrap()
    );
    let found = store.find_account(user_id(1)).await.unwrap().unwrap();
    assert_eq!(found.password_hash, password_hash(9));
}

async fn a_sign_in_without_a_fitting_account_does_nothing(engine: impl Engine) {
    let store = with_user(&engine).await;
    let email = account(1).user.email.folded();
    store
        .record_sign_in_failure(&email, moment(1), moment(0), None)
        .await
        .unwrap();
    let opens = async |number, hash| {
        let session = session(user_id(number), 50 + number);
        let is_opened = store.open_session(&session, &hash).await.unwrap();
        assert_eq!(store.find_session(session.id).await.unwrap().is_some(), is_opened);
        is_opened
    };
    assert!(!opens(404, checked(1)).await, "there is no such account");
    let outdated = CheckedPassword {
        hash: password_hash(2),
        renewed: Some(password_hash(3)),
    };
    assert!(!opens(1, outdated).await, "the password was changed meanwhile");
    let deactivation = UserChange {
        is_active: Some(false),
        ..UserChange::default()
    };
    store
        .update_user(user_id(1), &deactivation, moment(2))
        .await
        .unwrap();
    assert!(!opens(1, checked(1)).await, "the account is inactive");
    let found = store.find_account(user_id(1)).await.unwrap().unwrap();
    assert_eq!(
        (found.user.last_login, found.password_hash),
        (None, password_hash(1))
    );
    assert_eq!(store.sign_in_failures(&email).await.unwrap().count, 1);
}

async fn the_hundred_newest_sessions_of_an_account_are_kept(engine: impl Engine) {
    let store = with_user(&engine).await;
    store.create_user(&account(2)).await.unwrap();
    store
        .open_session(&session(user_id(2), 5), &checked(2))
        .await
        .unwrap();
    // The newest comes first: what counts is the moment, not the order of arrival.
    let numbers: Vec<u64> = (1000..1103).rev().collect();
    for number in &numbers {
        assert!(
            store
                .open_session(&session(user_id(1), *number), &checked(1))
                .await
                .unwrap()
        );
    }
    for number in numbers {
        let is_kept = store
            .find_session(session(user_id(1), number).id)
            .await
            .unwrap()
            .is_some();
        assert_eq!(is_kept, number >= 1003, "{number}");
    }
    assert!(
        store
            .find_session(session(user_id(2), 5).id)
            .await
            .unwrap()
            .is_some()
    );
}

fn renewal(session: &Session, presented: u64, next: u64) -> Renewal {
    Renewal {
        id: session.id,
        presented: digest(presented),
        next: digest(next),
        expires_at: moment(2_000_000),
    }
}

async fn a_live_token_is_replaced_by_the_next(engine: impl Engine) {
    let store = with_user(&engine).await;
    let mut session = session(user_id(1), 2);
    store.open_session(&session, &checked(1)).await.unwrap();
    let rotated = store
        .rotate_session(&renewal(&session, 2, 3), &event(user_id(404), 9))
        .await;
    session.refresh_token = digest(3);
    session.expires_at = moment(2_000_000);
    assert_eq!(rotated.unwrap(), Rotation::Rotated(session.clone()));
    assert_eq!(
        store.find_session(session.id).await.unwrap(),
        Some(session.clone())
    );
    let again = store
        .rotate_session(&renewal(&session, 3, 4), &event(user_id(404), 10))
        .await;
    assert!(matches!(again.unwrap(), Rotation::Rotated(_)));
    assert!(events(&store, 1).await.is_empty());
}

async fn a12_a_dead_token_ends_the_session_and_its_owner_is_told(engine: impl Engine) {
    let store = with_user(&engine).await;
    let session = session(user_id(1), 2);
    store.open_session(&session, &checked(1)).await.unwrap();
    store
        .rotate_session(&renewal(&session, 2, 3), &event(user_id(404), 9))
        .await
        .unwrap();
    let mut told = event(user_id(404), 10);
    told.kind = SecurityEventKind::RefreshTokenReused;
    let reused = store
        .rotate_session(&renewal(&session, 2, 4), &told)
        .await
        .unwrap();
    assert_eq!(reused, Rotation::Reused);
    assert!(store.find_session(session.id).await.unwrap().is_none());
    told.user_id = user_id(1);
    assert_eq!(events(&store, 1).await, [told]);
    let live = store
        .rotate_session(&renewal(&session, 3, 5), &event(user_id(1), 11))
        .await;
    assert_eq!(
        live.unwrap(),
        Rotation::Gone,
        "the live token died with its session"
    );
}

async fn a13_of_two_callers_with_one_token_one_is_given_the_next(engine: impl Engine) {
    let store = with_user(&engine).await;
    for round in 0..30 {
        let session = session(user_id(1), 100 + round);
        store.open_session(&session, &checked(1)).await.unwrap();
        let works = [1, 2].map(|caller| {
            let (store, session) = (Arc::clone(&store), session.clone());
            let renewal = renewal(&session, 100 + round, 1000 + round * 2 + caller);
            async move {
                let event = event(user_id(1), 5000 + round * 2 + caller);
                store.rotate_session(&renewal, &event).await.unwrap()
            }
        });
        let results = at_once(works).await;
        let rotated = results
            .iter()
            .filter(|result| matches!(result, Rotation::Rotated(_)));
        assert_eq!(rotated.count(), 1);
        assert!(results.contains(&Rotation::Reused));
    }
    assert_eq!(events(&store, 1).await.len(), 30);
}

async fn expired_and_unknown_sessions_can_not_be_renewed(engine: impl Engine) {
    let store = with_user(&engine).await;
    let mut expired = session(user_id(1), 2);
    expired.expires_at = moment(9);
    store.open_session(&expired, &checked(1)).await.unwrap();
    for (session, presented) in [(&expired, 2), (&expired, 77), (&session(user_id(1), 3), 3)] {
        let rotation = store
            .rotate_session(&renewal(session, presented, 4), &event(user_id(1), 9))
            .await;
        assert_eq!(rotation.unwrap(), Rotation::Gone);
    }
    assert!(
        store.find_session(expired.id).await.unwrap().is_some(),
        "it is found, expired or not"
    );
    assert!(events(&store, 1).await.is_empty());
}

async fn sessions_end_one_by_one_and_all_at_once(engine: impl Engine) {
    let store = with_user(&engine).await;
    store.create_user(&account(2)).await.unwrap();
    for number in 2..6 {
        store
            .open_session(&session(user_id(1), number), &checked(1))
            .await
            .unwrap();
    }
    store
        .open_session(&session(user_id(2), 6), &checked(2))
        .await
        .unwrap();
    assert!(store.close_session(session(user_id(1), 2).id).await.unwrap());
    assert!(!store.close_session(session(user_id(1), 2).id).await.unwrap());
    assert_eq!(store.close_sessions(user_id(1)).await.unwrap(), 3);
    assert_eq!(store.close_sessions(user_id(1)).await.unwrap(), 0);
    assert!(
        store
            .find_session(session(user_id(2), 6).id)
            .await
            .unwrap()
            .is_some()
    );
}

async fn failed_sign_ins_are_counted_until_they_are_forgotten(engine: impl Engine) {
    let store = engine.open().await;
    let email = FoldedText::of("nobody@example.org");
    assert_eq!(
        store.sign_in_failures(&email).await.unwrap(),
        SignInFailures::default()
    );
    let fail = async |at, forgotten_before| {
        let failed = store.record_sign_in_failure(&email, moment(at), moment(forgotten_before), None);
        failed.await.unwrap().count
    };
    assert_eq!(fail(10, 0).await, 1);
    assert_eq!(fail(20, 0).await, 2);
    assert_eq!(fail(30, 20).await, 3, "the last one was not before that moment");
    assert_eq!(fail(90, 31).await, 1, "all were before that moment");
    assert_eq!(fail(70, 31).await, 2, "the clock was set back");
    assert_eq!(store.sign_in_failures(&email).await.unwrap().last_at, moment(70));
    assert_eq!(fail(90, 80).await, 1);
    let expected = SignInFailures {
        count: 1,
        last_at: moment(90),
    };
    assert_eq!(store.sign_in_failures(&email).await.unwrap(), expected);
    let other = FoldedText::of("other@example.org");
    assert_eq!(store.sign_in_failures(&other).await.unwrap().count, 0);
}

async fn many_failed_sign_ins_at_once_are_all_counted(engine: impl Engine) {
    let store = with_user(&engine).await;
    let email = account(1).user.email.folded();
    let works = (1..=40).map(|number| {
        let (store, email) = (Arc::clone(&store), email.clone());
        async move {
            let event = event(user_id(1), number);
            let failed = store.record_sign_in_failure(&email, moment(5), moment(0), Some(&event));
            failed.await.unwrap().count
        }
    });
    let mut counts = at_once(works).await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=40).collect::<Vec<u32>>());
    assert_eq!(events(&store, 1).await.len(), 40);
}

async fn an_event_of_nobody_is_not_kept(engine: impl Engine) {
    let store = with_user(&engine).await;
    let email = FoldedText::of("nobody@example.org");
    let told = event(user_id(404), 7);
    let failed = store
        .record_sign_in_failure(&email, moment(5), moment(0), Some(&told))
        .await;
    assert_eq!(failed.unwrap().count, 1);
    assert!(events(&store, 404).await.is_empty());
}

async fn security_events_are_listed_for_their_owner_alone(engine: impl Engine) {
    let store = with_user(&engine).await;
    store.create_user(&account(2)).await.unwrap();
    let mut expected = Vec::new();
    for number in 10..35 {
        let mut told = event(user_id(1 + number % 2), number);
        told.kind = SecurityEventKind::ALL[usize::try_from(number % 3).unwrap()];
        told.ip_address = (number % 4 > 0).then(|| format!("2001:db8::{number}"));
        let email = FoldedText::of("x@example.org");
        store
            .record_sign_in_failure(&email, moment(1), moment(0), Some(&told))
            .await
            .unwrap();
        if told.user_id == user_id(1) {
            expected.push(told);
        }
    }
    for direction in BOTH {
        for limit in [1, 5, 13, 100] {
            let list = async |request: &_| store.list_security_events(user_id(1), request).await;
            let (found, total) = walk(first_page((), direction, limit), list).await;
            assert_eq!(found, directed(expected.clone(), direction));
            assert_eq!(count(total), count(u64::try_from(expected.len()).unwrap()));
        }
    }
}

async fn the_thousand_newest_events_are_kept(engine: impl Engine) {
    let store = with_user(&engine).await;
    let works = (1..=1010).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let email = FoldedText::of("x@example.org");
            let told = event(user_id(1), number);
            store
                .record_sign_in_failure(&email, moment(1), moment(0), Some(&told))
                .await
                .unwrap();
        }
    });
    at_once(works).await;
    let kept = events(&store, 1).await;
    assert_eq!(kept.len(), 1000);
    assert_eq!(kept[0].id, event(user_id(1), 11).id);
}

async fn what_expired_is_removed_in_portions(engine: impl Engine) {
    let store = with_user(&engine).await;
    for number in 10..20 {
        let mut session = session(user_id(1), number);
        session.expires_at = moment(count(number));
        store.open_session(&session, &checked(1)).await.unwrap();
        let email = FoldedText::of(&format!("x{number}@example.org"));
        store
            .record_sign_in_failure(&email, moment(count(number)), moment(0), None)
            .await
            .unwrap();
    }
    let remove = async |limit| {
        store
            .remove_expired_sessions(moment(16), moment(13), limit)
            .await
            .unwrap()
    };
    assert_eq!(remove(2).await, 4, "two of each");
    assert_eq!(remove(100).await, 4 + 1);
    assert_eq!(remove(100).await, 0);
    for number in 10..20 {
        let is_there = store
            .find_session(session(user_id(1), number).id)
            .await
            .unwrap()
            .is_some();
        assert_eq!(is_there, number >= 16);
        let email = FoldedText::of(&format!("x{number}@example.org"));
        let failures = store.sign_in_failures(&email).await.unwrap().count;
        assert_eq!(failures, u32::from(number >= 13));
    }
}
