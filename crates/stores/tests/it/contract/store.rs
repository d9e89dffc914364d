//! The store as a whole.

use model::ErrorKind;

use crate::{
    engine::Engine,
    make::{account, claim, execution, job, key, key_hash, session, task_id, tool, user_id},
};

crate::on_every_engine![
    ping_answers_while_the_store_is_open,
    a_closed_store_refuses_everything,
    what_was_written_is_there_after_opening_anew,
];

async fn ping_answers_while_the_store_is_open(engine: impl Engine) {
    let store = engine.open().await;
    store.ping().await.unwrap();
    assert!(!store.kind().is_empty());
}

async fn a_closed_store_refuses_everything(engine: impl Engine) {
    let store = engine.open().await;
    store.close().await.unwrap();
    let refusals = [
        store.ping().await.unwrap_err(),
        store.has_admin().await.unwrap_err(),
        store.create_user(&account(1)).await.unwrap_err(),
        store.record_execution(execution(1)).await.unwrap_err(),
        store.submit_task(job(1)).await.unwrap_err(),
        store.claim_tasks(claim(10, 1)).await.unwrap_err(),
        store.find_task(task_id(1), None).await.unwrap_err(),
        store.close().await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), ErrorKind::Unavailable);
    }
}

async fn what_was_written_is_there_after_opening_anew(engine: impl Engine) {
    let store = engine.open().await;
    let owner = user_id(1);
    store.create_user(&account(1)).await.unwrap();
    let (session, key) = (session(owner, 2), key(owner, 3));
    store
        .open_session(&session, &crate::make::checked(1))
        .await
        .unwrap();
    store.create_key(&key, &key_hash(3), 10).await.unwrap();
    store.record_execution(execution(4)).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = engine.open().await;
    assert!(
        store
            .find_user(owner)
            .await
            .unwrap()
            .unwrap()
            .last_login
            .is_some()
    );
    assert_eq!(store.find_session(session.id).await.unwrap(), Some(session));
    assert_eq!(store.find_own_key(owner, key.id).await.unwrap(), Some(key));
    assert_eq!(
        store.find_execution(execution(4).id, None).await.unwrap(),
        Some(execution(4))
    );
    assert_eq!(
        store.call_statistics(&[tool("echo")], None).await.unwrap()[0].successes,
        1
    );
}
