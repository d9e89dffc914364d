//! What was moved is the same, and works.

use std::sync::Arc;

use model::{
    AttemptEnd, Claim, FoldedText, IdempotencyKey, Renewal, RequestDigest, Rotation, Store, TaskOverview,
    TaskStatus, Timestamp,
};
use stores::transfer::{RecordKind, TransferReport};

use super::{End, fill, move_all};
use crate::{
    engine::Sqlite,
    make::{
        bytes, claim, digest, ending, event, job, key_hash, moment, number_of, prefix, session, task_id,
        tool, unique_key, user_id,
    },
};

crate::between_all_engines![
    all_that_was_moved_there_and_back_has_the_digests_that_it_had,
    tasks_that_were_moved_are_claimed_in_the_order_that_they_had,
    a_task_that_was_moved_learns_of_the_end_of_what_it_waits_for,
    what_ended_before_the_move_is_told_to_those_that_wait_still,
    sessions_keys_and_counts_that_were_moved_work,
    what_is_counted_is_the_same_after_the_move,
    a_migration_that_was_complete_is_not_done_again,
    a_source_that_changed_after_the_move_is_told,
];

async fn all_that_was_moved_there_and_back_has_the_digests_that_it_had(from: impl End, to: impl End) {
    fill(&from).await;
    let TransferReport::Complete(there) = move_all(&from, &to, 1).await else {
        panic!("it is not complete");
    };
    let third = Sqlite::default();
    let back = move_all(&to, &third, 2).await;
    assert_eq!(back, TransferReport::Complete(there));
    let counts: Vec<(&str, u64)> = there.iter().map(|(kind, of)| (kind.as_str(), of.count)).collect();
    let expected = [
        ("accounts", 4),
        ("sessions", 6),
        ("keys", 3),
        ("security events", 3),
        ("days of activity", 6),
        ("failed sign-ins", 3),
        ("executions", 22),
        ("attempts", 3),
        ("tasks", 20),
        ("schedules", 1),
        ("questions", 1),
        ("idempotency keys", 2),
    ];
    assert_eq!(counts, expected);
}

async fn moved(from: &impl End, to: &impl End) -> Arc<dyn Store> {
    fill(from).await;
    assert!(matches!(move_all(from, to, 1).await, TransferReport::Complete(_)));
    to.open().await
}

async fn claimed_in_turn(store: &Arc<dyn Store>) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let claimed = store.claim_tasks(claim(2_000, 1)).await.unwrap();
        let Some(held) = claimed.tasks.first() else {
            return numbers;
        };
        numbers.push(number_of(held.task.id));
        let end = ending(held, AttemptEnd::Succeeded, 2_001);
        assert_eq!(
            store.finish_task(held.hold(), &end).await.unwrap(),
            TaskStatus::Completed
        );
    }
}

async fn tasks_that_were_moved_are_claimed_in_the_order_that_they_had(from: impl End, to: impl End) {
    let target = moved(&from, &to).await;
    let source = from.open().await;
    let numbers = claimed_in_turn(&target).await;
    assert_eq!(numbers, claimed_in_turn(&source).await);
    assert_eq!(numbers.len(), 11);
    let new = target.submit_task(job(900)).await.unwrap();
    assert!(new.is_new);
    let claimed = target.claim_tasks(claim(3_000, 10)).await.unwrap();
    assert_eq!(
        claimed.tasks.len(),
        1,
        "what is submitted after the move is claimed too"
    );
}

async fn a_task_that_was_moved_learns_of_the_end_of_what_it_waits_for(from: impl End, to: impl End) {
    let store = moved(&from, &to).await;
    let status = async |number| {
        let task = store.find_task(task_id(number), None).await.unwrap().unwrap();
        (task.standing.status, task.standing.unmet)
    };
    assert_eq!(status(181).await, (TaskStatus::Pending, 1));
    assert_eq!(status(182).await, (TaskStatus::Pending, 3));
    claimed_in_turn(&store).await;
    store.settle_dependents(moment(2_002), 100).await.unwrap();
    assert_eq!(status(181).await, (TaskStatus::Pending, 0));
    assert_eq!(status(182).await, (TaskStatus::Pending, 1));
    assert_eq!(claimed_in_turn(&store).await, [181]);
}

async fn what_ended_before_the_move_is_told_to_those_that_wait_still(from: impl End, to: impl End) {
    fill(&from).await;
    let source = from.open().await;
    source
        .cancel_task(task_id(162), None, moment(1_500))
        .await
        .unwrap();
    source.close().await.unwrap();
    assert!(matches!(
        move_all(&from, &to, 1).await,
        TransferReport::Complete(_)
    ));
    let store = to.open().await;
    store.settle_dependents(moment(2_000), 100).await.unwrap();
    for number in [181, 182] {
        let task = store.find_task(task_id(number), None).await.unwrap().unwrap();
        assert_eq!(task.standing.status, TaskStatus::Cancelled);
    }
}

async fn sessions_keys_and_counts_that_were_moved_work(from: impl End, to: impl End) {
    let store = moved(&from, &to).await;
    let session = session(user_id(2), 20);
    let renewal = Renewal {
        id: session.id,
        presented: digest(20),
        next: digest(99),
        expires_at: moment(2_000_000),
    };
    let rotated = store
        .rotate_session(&renewal, &event(user_id(2), 500))
        .await
        .unwrap();
    assert!(matches!(rotated, Rotation::Rotated(rotated) if rotated.user_id == user_id(2)));
    let found = store.find_key(&prefix(3)).await.unwrap().unwrap();
    assert_eq!(
        (found.hash, found.owner.id, found.key.usage_count),
        (key_hash(3), user_id(3), 15)
    );
    let failures = store
        .sign_in_failures(&FoldedText::of("user1@example.org"))
        .await
        .unwrap();
    assert_eq!(failures.count, 1);
    let (key, request) = (IdempotencyKey(bytes(1)), RequestDigest(bytes(2)));
    let claim = store
        .claim_idempotency_key(key, request, moment(50), moment(200))
        .await
        .unwrap();
    assert_eq!(claim, Claim::Answered(vec![7; 300]));
    let mut same = job(901);
    same.unique_key = unique_key("only one");
    let submitted = store.submit_task(same).await.unwrap();
    assert_eq!((submitted.is_new, submitted.task.id), (false, task_id(140)));
    let error = store
        .create_first_admin(&crate::make::admin(77))
        .await
        .unwrap_err();
    assert_eq!(error.code(), model::ErrorCode::Conflict);
    let (due, _) = store.due_schedules(moment(400_000), 10).await.unwrap();
    assert_eq!(due.first().map(|task| task.id), Some(task_id(150)));
}

async fn what_is_counted_is_the_same_after_the_move(from: impl End, to: impl End) {
    let target = moved(&from, &to).await;
    let source = from.open().await;
    for caller in [None, Some(user_id(1))] {
        let tools = [tool("echo")];
        let (one, other) = (
            source.call_statistics(&tools, caller).await.unwrap(),
            target.call_statistics(&tools, caller).await.unwrap(),
        );
        assert_eq!(one, other);
        let since = Timestamp::from_millis(0);
        let (one, other) = (
            source.task_overview(caller, since, 100).await.unwrap(),
            target.task_overview(caller, since, 100).await.unwrap(),
        );
        let sorted = |overview: TaskOverview| {
            let mut counts: Vec<String> = overview.counts.iter().map(|count| format!("{count:?}")).collect();
            counts.sort_unstable();
            counts
        };
        assert_eq!(sorted(one), sorted(other));
    }
    assert_eq!(
        source.queue_depth().await.unwrap(),
        target.queue_depth().await.unwrap()
    );
    for number in [101, 102, 103, 104, 140, 150, 182] {
        let of =
            async |store: &Arc<dyn Store>| store.find_task(task_id(number), None).await.unwrap().unwrap();
        assert_eq!(of(&source).await, of(&target).await);
        let attempts = async |store: &Arc<dyn Store>| store.list_attempts(task_id(number), 10).await.unwrap();
        assert_eq!(attempts(&source).await, attempts(&target).await);
    }
}

async fn a_migration_that_was_complete_is_not_done_again(from: impl End, to: impl End) {
    fill(&from).await;
    let TransferReport::Complete(carried) = move_all(&from, &to, 1).await else {
        panic!("it is not complete");
    };
    let store = to.open().await;
    claimed_in_turn(&store).await;
    store.close().await.unwrap();
    assert_eq!(
        move_all(&from, &to, 2).await,
        TransferReport::WasComplete(carried)
    );
}

async fn a_source_that_changed_after_the_move_is_told(from: impl End, to: impl End) {
    fill(&from).await;
    move_all(&from, &to, 1).await;
    let store = from.open().await;
    store.submit_task(job(950)).await.unwrap();
    store.close().await.unwrap();
    let TransferReport::SourceChanged { source, carried } = move_all(&from, &to, 2).await else {
        panic!("the change was not seen");
    };
    let tasks = |digests: stores::transfer::Digests| digests.of(RecordKind::Tasks).count;
    assert_eq!((tasks(source), tasks(carried)), (21, 20));
}
