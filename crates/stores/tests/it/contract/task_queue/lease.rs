//! Leases: how they last, and what becomes of tasks whose worker is gone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use model::{
    AttemptEnd, ClaimedTask, ErrorCode, Execution, ExecutionOutcome, Failure, Hold, Progress, Released,
    Store, TaskStatus, Timestamp,
};

use super::{claimed, claimed_one, end, found, submit};
use crate::{
    contract::{
        task::code_of,
        user::{at_once, both_at_once},
    },
    engine::Engine,
    make::{LEASE, action, call_of, claim, job, moment, plugin, task_id, worker},
};

crate::on_every_engine![
    a_renewed_lease_lasts,
    a_renewal_leaves_all_else_as_it_is,
    what_a_worker_does_not_hold_is_not_renewed,
    a_lease_is_released_only_after_its_end,
    a_released_task_is_due_again_and_its_call_interrupted,
    the_call_of_an_attempt_is_not_closed_as_interrupted_while_the_attempt_holds_its_task,
    a_task_that_loses_too_many_workers_is_failed,
    at_the_start_of_a_single_process_all_leases_are_void,
    leases_are_released_in_portions,
    of_many_releases_at_once_each_attempt_is_released_by_one,
    of_an_end_and_a_release_at_once_one_counts,
];

async fn two_held(store: &Arc<dyn Store>) -> Vec<ClaimedTask> {
    for number in [1, 2] {
        submit(store, job(number)).await;
    }
    claimed(store, 100, 10).await
}

async fn release(store: &Arc<dyn Store>, expired_before: i64, now: i64) -> Vec<Released> {
    store
        .release_expired(moment(expired_before), moment(now), 100)
        .await
        .unwrap()
}

async fn a_renewed_lease_lasts(engine: impl Engine) {
    let store = engine.open().await;
    let held = two_held(&store).await;
    let until = moment(50_000);
    let lost = store
        .renew_leases(worker(1), &[held[0].hold()], until)
        .await
        .unwrap();
    assert!(lost.is_empty());
    assert_eq!(found(&store, 1).await.standing.lease.unwrap().until, until);
    let released = release(&store, 40_000, 40_000).await;
    assert_eq!(released.len(), 1);
    assert_eq!(released[0].hold, held[1].hold());
    assert!(
        store
            .renew_leases(worker(1), &[], until)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_renewal_leaves_all_else_as_it_is(engine: impl Engine) {
    let store = engine.open().await;
    let held = two_held(&store).await.remove(0);
    let progress = Progress {
        fraction: 0.25,
        message: Some("a quarter".into()),
    };
    store
        .report_progress(held.hold(), progress, moment(150))
        .await
        .unwrap();
    let mut expected = found(&store, 1).await;
    expected.standing.lease.as_mut().unwrap().until = moment(50_000);
    store
        .renew_leases(worker(1), &[held.hold()], moment(50_000))
        .await
        .unwrap();
    assert_eq!(found(&store, 1).await, expected);
}

async fn what_a_worker_does_not_hold_is_not_renewed(engine: impl Engine) {
    let store = engine.open().await;
    let held = two_held(&store).await;
    end(&store, &held[1], AttemptEnd::Succeeded, 200).await.unwrap();
    let (mine, ended) = (held[0].hold(), held[1].hold());
    let absent = Hold {
        task: task_id(404),
        attempt: 1,
    };
    let ahead = Hold { attempt: 2, ..mine };
    let until = moment(50_000);
    let before = found(&store, 1).await;
    let lost = store.renew_leases(worker(2), &[mine], until).await.unwrap();
    assert_eq!(lost, [mine], "it is another's");
    assert_eq!(found(&store, 1).await, before);
    let lost = store
        .renew_leases(worker(1), &[ended, mine, absent, ahead], until)
        .await
        .unwrap();
    assert_eq!(lost, [ended, absent, ahead]);
    release(&store, 60_000, 60_000).await;
    claimed_one(&store, 70_000).await;
    let lost = store
        .renew_leases(worker(1), &[mine], moment(99_000))
        .await
        .unwrap();
    assert_eq!(lost, [mine], "a later attempt holds it");
}

async fn a_lease_is_released_only_after_its_end(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let held = claimed_one(&store, 100).await;
    let until = 100 + LEASE;
    assert!(release(&store, until, until).await.is_empty());
    let released = release(&store, until + 1, until + 1).await;
    let expected = Released {
        hold: held.hold(),
        status: TaskStatus::Pending,
        plugin: plugin("sample"),
        action: action("echo"),
    };
    assert_eq!(released, [expected]);
    assert!(release(&store, until + 1, until + 1).await.is_empty());
}

fn is_interrupted(call: &Execution) -> bool {
    matches!(&call.outcome, ExecutionOutcome::Failure(Failure { code, .. }) if code == "interrupted")
}

async fn the_call_of_an_attempt_is_not_closed_as_interrupted_while_the_attempt_holds_its_task(
    engine: impl Engine,
) {
    let store = engine.open().await;
    let held = two_held(&store).await;
    for held in &held {
        let call = call_of(held, ExecutionOutcome::Running);
        store.record_execution(call).await.unwrap();
    }
    let close = async || {
        store
            .close_interrupted_executions(Timestamp::MAX, 10)
            .await
            .unwrap()
    };
    assert_eq!(close().await, 0);
    let cancelled = held[0].task.id;
    store.cancel_task(cancelled, None, moment(20)).await.unwrap();
    assert_eq!(close().await, 1, "that of the task that it doesn't hold any more");
    let calls = store.list_attempts(cancelled, 10).await.unwrap();
    assert!(is_interrupted(&calls[0]));
}

async fn a_released_task_is_due_again_and_its_call_interrupted(engine: impl Engine) {
    let store = engine.open().await;
    let held = two_held(&store).await;
    // The call of the second is in the history already, that of the first is not.
    let running = Execution {
        duration: Duration::ZERO,
        ..call_of(&held[1], ExecutionOutcome::Running)
    };
    store.record_execution(running.clone()).await.unwrap();
    assert_eq!(release(&store, 30_000, 31_000).await.len(), 2);
    for held in &held {
        let id = held.task.id;
        let task = store.find_task(id, None).await.unwrap().unwrap();
        assert_eq!(task.standing.status, TaskStatus::Pending);
        assert_eq!((task.standing.stall_count, task.standing.retry_count), (1, 0));
        assert_eq!(
            (task.standing.due_at, task.standing.lease),
            (moment(31_000), None)
        );
        let calls = store.list_attempts(id, 10).await.unwrap();
        assert_eq!(calls.len(), 1, "each attempt has one record");
        assert!(is_interrupted(&calls[0]), "{:?}", calls[0]);
        assert_eq!(calls[0].task.unwrap().attempt, 1);
        assert_eq!(
            (calls[0].user_id, calls[0].payload.clone()),
            (task.user_id, task.job.unwrap().payload)
        );
        let late = end(&store, held, AttemptEnd::Succeeded, 32_000).await;
        assert_eq!(code_of(late), ErrorCode::Conflict);
    }
    let kept = store.find_execution(running.id, None).await.unwrap().unwrap();
    assert!(is_interrupted(&kept));
    let again = claimed(&store, 31_000, 10).await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|held| held.ready_at == moment(31_000)));
}

async fn a_task_that_loses_too_many_workers_is_failed(engine: impl Engine) {
    let store = engine.open().await;
    let mut task = job(1);
    task.patience.max_stalls = 2;
    submit(&store, task).await;
    for (round, status) in [
        (1, TaskStatus::Pending),
        (2, TaskStatus::Pending),
        (3, TaskStatus::Failed),
    ] {
        let now = 100_000 * round;
        claimed_one(&store, now).await;
        let released = release(&store, now + LEASE + 1, now + LEASE + 1).await;
        assert_eq!(released[0].status, status);
    }
    let task = found(&store, 1).await;
    assert_eq!(task.error.unwrap().code, "worker_lost");
    assert_eq!(task.finished_at, Some(moment(300_000 + LEASE + 1)));
    assert!(claimed(&store, 900_000, 10).await.is_empty());
    let calls = store.list_attempts(task_id(1), 10).await.unwrap();
    assert_eq!(calls.iter().filter(|call| is_interrupted(call)).count(), 3);
}

async fn at_the_start_of_a_single_process_all_leases_are_void(engine: impl Engine) {
    let store = engine.open().await;
    two_held(&store).await;
    store.close().await.unwrap();
    drop(store);
    let store = engine.open().await;
    let depth = store.queue_depth().await.unwrap();
    assert_eq!((depth.in_progress, depth.ready), (2, [0; 4]));
    let released = store
        .release_expired(Timestamp::MAX, moment(200), 100)
        .await
        .unwrap();
    assert_eq!(released.len(), 2);
    assert_eq!(claimed(&store, 200, 10).await.len(), 2);
}

async fn leases_are_released_in_portions(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=5 {
        submit(&store, job(number)).await;
    }
    claimed(&store, 100, 10).await;
    let mut released = BTreeSet::new();
    for expected in [2, 2, 1, 0] {
        let some = store
            .release_expired(moment(30_000), moment(30_000), 2)
            .await
            .unwrap();
        assert_eq!(some.len(), expected);
        released.extend(some.into_iter().map(|released| released.hold.task));
    }
    assert_eq!(released.len(), 5);
}

async fn of_many_releases_at_once_each_attempt_is_released_by_one(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=50 {
        submit(&store, job(number)).await;
    }
    claimed(&store, 100, 100).await;
    let works = (0..16).map(|_| {
        let store = Arc::clone(&store);
        async move { release(&store, 30_000, 30_000).await }
    });
    let released: Vec<Released> = at_once(works).await.into_iter().flatten().collect();
    assert_eq!(released.len(), 50);
    let different: BTreeSet<_> = released.iter().map(|released| released.hold.task).collect();
    assert_eq!(different.len(), 50);
}

async fn of_an_end_and_a_release_at_once_one_counts(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=40 {
        submit(&store, job(number)).await;
        let held = store.claim_tasks(claim(100, 1)).await.unwrap().tasks.remove(0);
        let ended = {
            let (store, held) = (Arc::clone(&store), held.clone());
            async move { end(&store, &held, AttemptEnd::Succeeded, 30_000).await }
        };
        let (ended, released) = both_at_once(ended, release(&store, 30_000, 30_000)).await;
        let task = store.find_task(held.task.id, None).await.unwrap().unwrap();
        if ended.is_ok() {
            assert!(released.is_empty(), "its end was recorded");
        } else {
            assert_eq!((released.len(), task.standing.status), (1, TaskStatus::Pending));
            store
                .cancel_task(held.task.id, None, moment(40_000))
                .await
                .unwrap();
        }
        assert_eq!(store.list_attempts(held.task.id, 10).await.unwrap().len(), 1);
    }
}
