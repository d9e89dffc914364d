//! Changes of access, for the other processes on a store.

use model::{AccessMark, ErrorKind};

use crate::{engine::Engine, make::user_id};

crate::on_every_engine![
    a_change_can_be_noted_again_and_again,
    nothing_new_is_found_complete_and_empty,
    a_closed_store_notes_nothing,
];

async fn a_change_can_be_noted_again_and_again(engine: impl Engine) {
    let store = engine.open().await;
    for _ in 0..3 {
        store.note_access_change(user_id(1)).await.unwrap();
    }
}

async fn nothing_new_is_found_complete_and_empty(engine: impl Engine) {
    let store = engine.open().await;
    let first = store.access_changes(&AccessMark::default()).await.unwrap();
    let mut mark = first.mark;
    for _ in 0..3 {
        let next = store.access_changes(&mark).await.unwrap();
        assert!(next.is_complete && next.users.is_empty());
        mark = next.mark;
    }
}

async fn a_closed_store_notes_nothing(engine: impl Engine) {
    let store = engine.open().await;
    if !store.is_shared() {
        return;
    }
    store.close().await.unwrap();
    let noted = store.note_access_change(user_id(1)).await;
    assert_eq!(noted.unwrap_err().kind(), ErrorKind::Unavailable);
    let found = store.access_changes(&AccessMark::default()).await;
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[cfg(feature = "mongodb")]
mod shared {
    use std::{collections::HashSet, sync::Arc};

    use model::{AccessMark, Store, UserId};
    use tokio::task::JoinSet;

    use crate::{
        engine::{Engine, Mongo},
        make::user_id,
    };

    crate::cases_on!(
        mongodb,
        crate::engine::Mongo,
        a14_the_first_reading_tells_that_anybody_s_access_may_have_changed,
        a14_what_one_process_notes_every_other_finds_once,
        a14_of_what_many_processes_note_at_once_nothing_is_missed,
        a14_who_missed_more_than_is_kept_is_told_so_and_goes_on_from_there,
        a14_a_mark_that_the_store_knows_nothing_of_is_told
    );

    async fn read(store: &Arc<dyn Store>, mark: &mut AccessMark) -> (HashSet<UserId>, bool) {
        let changes = store.access_changes(mark).await.unwrap();
        *mark = changes.mark;
        let count = changes.users.len();
        let users: HashSet<UserId> = changes.users.into_iter().collect();
        assert_eq!(users.len(), count, "each once");
        (users, changes.is_complete)
    }

    async fn begin(store: &Arc<dyn Store>) -> AccessMark {
        let mut mark = AccessMark::default();
        assert!(!read(store, &mut mark).await.1);
        mark
    }

    pub(super) async fn a14_the_first_reading_tells_that_anybody_s_access_may_have_changed(
        engine: impl Engine,
    ) {
        let store = engine.open().await;
        let mut empty = begin(&store).await;
        store.note_access_change(user_id(1)).await.unwrap();
        let _later = begin(&store).await;
        assert_eq!(read(&store, &mut empty).await, ([user_id(1)].into(), true));
    }

    pub(super) async fn a14_what_one_process_notes_every_other_finds_once(engine: impl Engine) {
        let (one, other) = (engine.open().await, engine.open().await);
        let mut marks = [begin(&one).await, begin(&other).await];
        for user in [1, 2, 1] {
            one.note_access_change(user_id(user)).await.unwrap();
        }
        for (store, mark) in [&one, &other].into_iter().zip(&mut marks) {
            assert_eq!(read(store, mark).await, ([user_id(1), user_id(2)].into(), true));
            assert_eq!(read(store, mark).await, (HashSet::new(), true));
        }
        other.note_access_change(user_id(1)).await.unwrap();
        assert_eq!(read(&one, &mut marks[0]).await, ([user_id(1)].into(), true));
    }

    pub(super) async fn a14_of_what_many_processes_note_at_once_nothing_is_missed(engine: impl Engine) {
        let (one, other, reader) = (engine.open().await, engine.open().await, engine.open().await);
        let mut mark = begin(&reader).await;
        let mut noting = JoinSet::new();
        for number in 0..120_u64 {
            let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
            noting.spawn(async move { store.note_access_change(user_id(number)).await.unwrap() });
        }
        let mut found = HashSet::new();
        while noting.join_next().await.is_some() {
            let (users, is_complete) = read(&reader, &mut mark).await;
            assert!(is_complete);
            found.extend(users);
        }
        found.extend(read(&reader, &mut mark).await.0);
        assert_eq!(found.len(), 120);
    }

    pub(super) async fn a14_who_missed_more_than_is_kept_is_told_so_and_goes_on_from_there(
        engine: impl Engine,
    ) {
        let store = engine.open().await;
        let mut marks = [begin(&store).await, AccessMark::default()];
        store.note_access_change(user_id(1)).await.unwrap();
        marks[1] = begin(&store).await;
        for number in 0..300 {
            store.note_access_change(user_id(number)).await.unwrap();
        }
        for mark in &mut marks {
            assert!(!read(&store, mark).await.1);
        }
        store.note_access_change(user_id(7)).await.unwrap();
        for mark in &mut marks {
            assert_eq!(read(&store, mark).await, ([user_id(7)].into(), true));
        }
    }

    pub(super) async fn a14_a_mark_that_the_store_knows_nothing_of_is_told(engine: impl Engine) {
        // As after a fail-over that undid what was seen, or on a store that was restored.
        let elsewhere = Mongo::default();
        let foreign = elsewhere.open().await;
        foreign.note_access_change(user_id(1)).await.unwrap();
        let mut mark = begin(&foreign).await;

        let store = engine.open().await;
        store.note_access_change(user_id(2)).await.unwrap();
        assert!(!read(&store, &mut mark).await.1);
        store.note_access_change(user_id(3)).await.unwrap();
        assert_eq!(read(&store, &mut mark).await, ([user_id(3)].into(), true));
    }
}
