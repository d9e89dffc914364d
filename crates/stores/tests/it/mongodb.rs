//! The shared store alone: whose database it is, and what processes that died leave in it.

mod task;

use std::sync::Arc;

use ::mongodb::bson::{Document, doc};
use model::{ErrorCode, ErrorKind, FoldedText, Role, UserChange};
use stores::MongoStore;
use tokio::task::JoinSet;

use crate::{
    engine::{Engine as _, Mongo},
    make::{account, admin, checked, event, moment, session, user_id},
    walk::{BOTH, first_page},
};

/// Makes a test of each case, on a database of its own.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if Mongo::is_there() {
                on::$case(Mongo::default()).await;
            }
        }
    )*};
}

cases![
    g09_a_database_of_a_newer_version_is_refused,
    a_database_of_another_program_is_refused,
    many_processes_open_one_database_at_once,
    g05_a_database_that_can_not_be_reached_is_named_without_its_password,
    g04_what_a_process_that_died_was_to_forget_does_not_count_and_is_forgotten_later,
    g04_an_event_that_a_process_that_died_was_to_hand_over_reaches_its_account,
    g04_a_guard_that_a_process_that_died_left_behind_hinders_nobody,
    a18_of_admins_who_step_down_in_many_processes_at_once_one_stays,
    a_forgotten_count_of_one_account_leaves_those_of_others,
];

mod on {
    use super::*;

    async fn refusal(place: &Mongo) -> model::Error {
        MongoStore::open(place.options()).await.err().unwrap()
    }

    pub(super) async fn g09_a_database_of_a_newer_version_is_refused(place: Mongo) {
        place.open().await.close().await.unwrap();
        let meta = place.raw().await.collection::<Document>("meta");
        let newer = doc! { "$inc": { "version": 1 } };
        meta.update_one(doc! { "_id": "schema" }, newer).await.unwrap();
        let error = refusal(&place).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("newer version"), "{error}");
    }

    pub(super) async fn a_database_of_another_program_is_refused(place: Mongo) {
        let foreign = place.raw().await.collection::<Document>("orders");
        foreign.insert_one(doc! { "_id": 1 }).await.unwrap();
        let error = refusal(&place).await;
        assert!(error.message().contains("another program"), "{error}");
        let names = place.raw().await.list_collection_names().await.unwrap();
        assert_eq!(names, ["orders"], "nothing was made there");
    }

    pub(super) async fn many_processes_open_one_database_at_once(place: Mongo) {
        let works = (0..4).map(|_| {
            let options = place.options().clone();
            async move { MongoStore::open(&options).await.map(|_| ()) }
        });
        for opened in JoinSet::from_iter(works).join_all().await {
            opened.unwrap();
        }
    }

    pub(super) async fn g05_a_database_that_can_not_be_reached_is_named_without_its_password(place: Mongo) {
        let mut options = place.options().clone();
        // Nothing listens on the port for discarded data.
        options.uri = model::Secret::new("mongodb://mcp:hunter2@127.0.0.1:9/?directConnection=true");
        options.limit = std::time::Duration::from_millis(300);
        let error = MongoStore::open(&options).await.err().unwrap();
        assert!(error.is_retryable());
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        options.uri = model::Secret::new("mongodb://mcp:hunter2@@@/x?y");
        let error = MongoStore::open(&options).await.err().unwrap();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    async fn accounts(place: &Mongo) -> ::mongodb::Collection<Document> {
        place.raw().await.collection("user")
    }

    pub(super) async fn g04_what_a_process_that_died_was_to_forget_does_not_count_and_is_forgotten_later(
        place: Mongo,
    ) {
        let (store, email) = (place.open().await, FoldedText::of("user1@example.org"));
        store.create_user(&account(1)).await.unwrap();
        let fail = async || {
            store
                .record_sign_in_failure(&email, moment(5), moment(0), None)
                .await
        };
        fail().await.unwrap();
        let asking = doc! { "$push": { "forget": email.as_str() } };
        accounts(&place)
            .await
            .update_one(doc! {}, asking.clone())
            .await
            .unwrap();
        assert_eq!(store.sign_in_failures(&email).await.unwrap().count, 0);
        assert_eq!(fail().await.unwrap().count, 1, "it begins anew");
        accounts(&place).await.update_one(doc! {}, asking).await.unwrap();
        let again = place.open().await;
        assert_eq!(again.sign_in_failures(&email).await.unwrap().count, 0);
        let left = accounts(&place)
            .await
            .find_one(doc! { "forget": email.as_str() })
            .await;
        assert!(left.unwrap().is_none());
    }

    pub(super) async fn g04_an_event_that_a_process_that_died_was_to_hand_over_reaches_its_account(
        place: Mongo,
    ) {
        let (store, email) = (place.open().await, FoldedText::of("user1@example.org"));
        store.create_user(&account(1)).await.unwrap();
        let told = event(user_id(1), 7);
        let failed = store.record_sign_in_failure(&email, moment(5), moment(0), Some(&told));
        failed.await.unwrap();
        // The event is back where it was before it was handed over, and not yet there.
        let found = accounts(&place).await.find_one(doc! {}).await.unwrap().unwrap();
        let user = found.get("_id").unwrap().clone();
        let handed = found.get_array("events").unwrap()[0].clone();
        let removing = doc! { "$set": { "events": [] } };
        accounts(&place)
            .await
            .update_one(doc! {}, removing)
            .await
            .unwrap();
        let counts = place.raw().await.collection::<Document>("sign_in_failure");
        let pending = doc! { "$push": { "events": { "user": user, "event": handed } } };
        for _ in 0..2 {
            counts.update_one(doc! {}, pending.clone()).await.unwrap();
            store
                .remove_expired_sessions(moment(6), moment(0), 10)
                .await
                .unwrap();
            let events = store
                .list_security_events(user_id(1), &first_page((), BOTH[0], 10))
                .await;
            assert_eq!(
                events.unwrap().items,
                std::slice::from_ref(&told),
                "once, however often it is handed over"
            );
        }
    }

    fn demotion() -> UserChange {
        UserChange {
            role: Some(Role::User),
            ..UserChange::default()
        }
    }

    pub(super) async fn g04_a_guard_that_a_process_that_died_left_behind_hinders_nobody(place: Mongo) {
        let store = place.open().await;
        for number in [1, 2] {
            store.create_user(&admin(number)).await.unwrap();
        }
        let first = doc! { "email_folded": "user1@example.org" };
        let second = doc! { "email_folded": "user2@example.org" };
        let other = accounts(&place).await.find_one(second).await.unwrap().unwrap();
        let guard = doc! {
            "token": ::mongodb::bson::oid::ObjectId::new(),
            "user": other.get("_id").unwrap(),
            "version": other.get("version").unwrap(),
        };
        let pushing = doc! { "$push": { "guards": guard } };
        accounts(&place).await.update_one(first, pushing).await.unwrap();
        let after = store.update_user(user_id(1), &demotion(), moment(5)).await;
        assert_eq!(after.unwrap().unwrap().role, Role::User);
        let error = store.delete_user(user_id(2)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::LastAdmin);
    }

    pub(super) async fn a18_of_admins_who_step_down_in_many_processes_at_once_one_stays(place: Mongo) {
        let stores = [place.open().await, place.open().await, place.open().await];
        for number in 1..=6 {
            stores[0].create_user(&admin(number)).await.unwrap();
        }
        let works = (1..=6_u64).map(|number| {
            let store = Arc::clone(&stores[usize::try_from(number % 3).unwrap()]);
            async move {
                let removed = if number % 2 == 0 {
                    store.delete_user(user_id(number)).await
                } else {
                    store.update_user(user_id(number), &demotion(), moment(5)).await
                };
                removed.map_err(|error| error.code())
            }
        });
        let results = JoinSet::from_iter(works).join_all().await;
        let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, [ErrorCode::LastAdmin]);
    }

    pub(super) async fn a_forgotten_count_of_one_account_leaves_those_of_others(place: Mongo) {
        let store = place.open().await;
        for number in [1, 2] {
            store.create_user(&account(number)).await.unwrap();
            let email = account(number).user.email.folded();
            let failed = store.record_sign_in_failure(&email, moment(5), moment(0), None);
            failed.await.unwrap();
        }
        assert!(
            store
                .open_session(&session(user_id(1), 9), &checked(1))
                .await
                .unwrap()
        );
        let count = async |number| {
            let email = account(number).user.email.folded();
            store.sign_in_failures(&email).await.unwrap().count
        };
        assert_eq!((count(1).await, count(2).await), (0, 1));
    }
}
