//! Many workers, sweepers and people at once, and what holds all the same.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use model::{AttemptEnd, ClaimRequest, ExecutionOutcome, Store, Task, TaskStatus};

use super::{end, found, submit_all};
use crate::{
    contract::user::at_once,
    engine::Engine,
    make::{claim, count, job_after, job_of, moment, number_of, task_id, worker},
};

crate::on_every_engine![i02_each_success_is_recorded_once_whoever_works_sweeps_and_cancels];

const TASKS: u64 = 240;

/// Claims and ends tasks in different ways until there are none; forgets some, as a worker does that dies.
async fn work(store: Arc<dyn Store>, number: u64) {
    let mut round = number;
    loop {
        let request = ClaimRequest {
            worker: worker(number),
            ..claim(10_000, 5)
        };
        let tasks = store.claim_tasks(request).await.unwrap().tasks;
        if tasks.is_empty() {
            return;
        }
        for held in tasks {
            round += 1;
            let retry_at = moment(10_000);
            let how = match round % 8 {
                0 => AttemptEnd::FailedForGood,
                1 => AttemptEnd::Failed { retry_at },
                2 => AttemptEnd::HandedBack { due_at: retry_at },
                3 => continue,
                _ => AttemptEnd::Succeeded,
            };
            // It is refused when a sweeper or a person was faster.
            drop(end(&store, &held, how, 10_000).await);
        }
    }
}

/// Takes tasks from their workers, however alive they are.
async fn sweep(store: Arc<dyn Store>) {
    for _ in 0..30 {
        let released = store.release_expired(moment(99_000), moment(10_000), 3).await;
        released.unwrap();
        store.settle_dependents(moment(10_000), 7).await.unwrap();
    }
}

async fn cancel(store: Arc<dyn Store>) {
    for number in (1..=TASKS).step_by(9) {
        // It is refused when the task has ended.
        drop(store.cancel_task(task_id(number), None, moment(10_000)).await);
    }
}

async fn check(store: &Arc<dyn Store>, task: &Task) {
    let calls = store.list_attempts(task.id, 1_000).await.unwrap();
    let attempts: BTreeSet<u32> = calls.iter().map(|call| call.task.unwrap().attempt).collect();
    assert_eq!(attempts.len(), calls.len(), "an attempt has one record at most");
    assert!(attempts.last().is_none_or(|last| *last <= task.standing.attempt));
    let successes = calls
        .iter()
        .filter(|call| matches!(call.outcome, ExecutionOutcome::Success(_)));
    let is_completed = task.standing.status == TaskStatus::Completed;
    assert_eq!(successes.count(), usize::from(is_completed), "{task:?}");
    assert_eq!(task.result.is_some(), is_completed);
    let standing = task.standing;
    assert!(standing.retry_count <= standing.max_retries && standing.stall_count <= standing.max_stalls + 1);
}

async fn i02_each_success_is_recorded_once_whoever_works_sweeps_and_cancels(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = (1..=TASKS).map(|number| match number % 6 {
        0 => job_after(&[number - 1], number),
        _ => job_of(1, number),
    });
    submit_all(&store, tasks.collect()).await;
    let mut works: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
    for number in 1..=8 {
        works.push(Box::pin(work(Arc::clone(&store), number)));
    }
    works.push(Box::pin(sweep(Arc::clone(&store))));
    works.push(Box::pin(sweep(Arc::clone(&store))));
    works.push(Box::pin(cancel(Arc::clone(&store))));
    at_once(works).await;
    // The faults are over: what is left must come to an end.
    for round in 1..=count(TASKS) {
        let now = 100_000 * round;
        store
            .release_expired(moment(now), moment(now), 1_000)
            .await
            .unwrap();
        store.settle_dependents(moment(now), 1_000).await.unwrap();
        let held = store.claim_tasks(claim(now, 1_000)).await.unwrap().tasks;
        if held.is_empty() {
            break;
        }
        let ends = held.into_iter().map(|held| {
            let store = Arc::clone(&store);
            async move { end(&store, &held, AttemptEnd::Succeeded, now).await.unwrap() }
        });
        at_once(ends).await;
    }
    for number in 1..=TASKS {
        let task = found(&store, number).await;
        assert!(task.standing.status.is_final(), "{task:?}");
        assert_eq!(number_of(task.id), number);
        check(&store, &task).await;
    }
}
