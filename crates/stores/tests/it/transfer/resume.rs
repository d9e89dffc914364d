//! Transfers that are interrupted, and targets that hold something else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use model::ErrorCode;
use stores::transfer::{Part, Transfer, TransferProgress, TransferReport, transfer};
use tokio::sync::Notify;

use super::{End, fill, move_all, run};
use crate::{
    engine::Sqlite,
    make::{account, job},
};

crate::between_all_engines![
    g04_an_interrupted_migration_goes_on_where_it_was,
    g04_a_half_filled_store_is_not_opened_for_use,
    a_target_that_holds_something_is_refused,
    a_target_of_another_source_is_refused,
    a_run_that_another_took_over_from_ends,
    a_source_that_changes_between_two_runs_is_told,
];

/// Carries until the target has taken so many pages, and then is gone, as a process that is killed.
async fn carry_pages(from: &impl End, to: &impl End, (number, pages): (u128, usize)) {
    let (source, target) = (from.open_end().await, to.open_end().await);
    let (taken, stop) = (AtomicUsize::new(0), Notify::new());
    let mut tell = |progress| {
        if matches!(progress, TransferProgress::Copied(..))
            && taken.fetch_add(1, Ordering::Relaxed) + 1 == pages
        {
            stop.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = stop.notified() => {}
        report = transfer(source.as_ref(), target.as_ref(), run(number), &mut tell) => {
            panic!("it came to its end: {report:?}");
        }
    }
    source.close().await.unwrap();
    target.close().await.unwrap();
}

async fn g04_an_interrupted_migration_goes_on_where_it_was(from: impl End, to: impl End) {
    fill(&from).await;
    // A part has its records on one page here, and an empty page after it.
    for (number, pages) in [(1, 1), (2, 3), (3, 2)] {
        carry_pages(&from, &to, (number, pages)).await;
    }
    let (source, target) = (from.open_end().await, to.open_end().await);
    let mut first = None;
    let report = transfer(source.as_ref(), target.as_ref(), run(4), &mut |progress| {
        first.get_or_insert(progress);
    })
    .await
    .unwrap();
    assert!(
        matches!(first, Some(TransferProgress::Resumed(part)) if part != Part::Accounts),
        "{first:?}"
    );
    let TransferReport::Complete(digests) = report else {
        panic!("it is not complete: {report:?}");
    };
    for end in [source, target] {
        let found = stores::transfer::digest_all(end.as_ref(), &mut |_| {})
            .await
            .unwrap();
        assert_eq!(found, digests);
    }
}

async fn g04_a_half_filled_store_is_not_opened_for_use(from: impl End, to: impl End) {
    fill(&from).await;
    carry_pages(&from, &to, (1, 1)).await;
    let refusal = to.refusal().await;
    assert!(
        refusal.contains("isn't complete; run the same migration again"),
        "{refusal}"
    );
    let third = Sqlite::default();
    let (source, target) = (to.open_end().await, third.open_end().await);
    let error = transfer(source.as_ref(), target.as_ref(), run(2), &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict, "nor is it a source");
    source.close().await.unwrap();
    assert!(matches!(
        move_all(&from, &to, 3).await,
        TransferReport::Complete(_)
    ));
    to.open().await.ping().await.unwrap();
}

async fn refused(from: &impl End, to: &impl End) -> ErrorCode {
    let (source, target) = (from.open_end().await, to.open_end().await);
    let error = transfer(source.as_ref(), target.as_ref(), run(9), &mut |_| {})
        .await
        .unwrap_err();
    source.close().await.unwrap();
    target.close().await.unwrap();
    error.code()
}

async fn a_target_that_holds_something_is_refused(from: impl End, to: impl End) {
    fill(&from).await;
    let store = to.open().await;
    store.create_user(&account(50)).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(refused(&from, &to).await, ErrorCode::Conflict);
    assert!(
        to.open()
            .await
            .find_user(account(50).user.id)
            .await
            .unwrap()
            .is_some()
    );
}

async fn a_target_of_another_source_is_refused(from: impl End, to: impl End) {
    fill(&from).await;
    carry_pages(&from, &to, (1, 1)).await;
    let other = Sqlite::default();
    fill(&other).await;
    assert_eq!(refused(&other, &to).await, ErrorCode::Conflict);
    assert!(matches!(
        move_all(&from, &to, 2).await,
        TransferReport::Complete(_)
    ));
    assert_eq!(refused(&other, &to).await, ErrorCode::Conflict, "complete or not");
}

async fn a_run_that_another_took_over_from_ends(from: impl End, to: impl End) {
    fill(&from).await;
    carry_pages(&from, &to, (1, 1)).await;
    let target: Arc<dyn Transfer> = to.open_end().await;
    let stale = target.mark().await.unwrap().unwrap();
    let taken = stores::transfer::Mark {
        run: run(2),
        ..stale.clone()
    };
    assert!(target.put_mark(Some(stale.run), &taken).await.unwrap());
    assert!(!target.put_mark(Some(stale.run), &stale).await.unwrap());
    assert!(!target.put_mark(None, &stale).await.unwrap());
    let error = target.write_records(Vec::new(), &stale).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
}

async fn a_source_that_changes_between_two_runs_is_told(from: impl End, to: impl End) {
    fill(&from).await;
    carry_pages(&from, &to, (1, 1)).await;
    let store = from.open().await;
    store.create_user(&account(0)).await.unwrap();
    store.submit_task(job(951)).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(
        move_all(&from, &to, 2).await,
        TransferReport::Differs { .. }
    ));
    assert!(to.refusal().await.contains("isn't complete"));
}
