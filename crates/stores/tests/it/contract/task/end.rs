//! Calling off, running again, running now, removing; and the calls that were made.

use std::sync::Arc;

use model::{AttemptEnd, ErrorCode, ExecutionOutcome, Patience, Store, TaskChange, TaskEnding, TaskStatus};

use super::{claimed, claimed_one, code_of, end, found, keyed, numbers, status_of, submit};
use crate::{
    contract::user::{at_once, both_at_once},
    engine::Engine,
    make::{call_of, claim, ending, failure, job, job_after, moment, recurring, task_id, to_do, user_id},
};

crate::on_every_engine![
    a_pending_task_that_is_cancelled_never_starts,
    the_end_of_a_cancelled_attempt_is_refused,
    of_a_cancellation_and_an_end_at_once_one_counts,
    of_a_cancellation_and_a_claim_at_once_nothing_runs_unnoticed,
    a_cancelled_recurring_task_is_over_for_good,
    a_failed_or_cancelled_task_is_tried_anew_with_all_its_retries,
    what_has_not_failed_is_not_tried_anew,
    a_task_whose_unique_key_is_taken_is_not_tried_anew,
    a_task_tried_anew_waits_for_what_it_depends_on,
    a_task_whose_dependency_was_lost_is_tried_anew_once_that_one_is,
    a_task_tried_anew_does_not_wait_for_what_is_gone,
    a_scheduled_job_is_hastened,
    a_hastened_job_still_waits_for_what_it_depends_on,
    a_deleted_task_is_gone_with_its_place_in_the_queue,
    what_is_needed_is_not_deleted,
    each_attempt_is_listed_the_latest_first,
];

async fn cancel(store: &Arc<dyn Store>, number: u64, now: i64) -> model::Result<Option<u32>> {
    let cancelled = store
        .cancel_task(task_id(number), Some(user_id(1)), moment(now))
        .await;
    cancelled.map(|cancelled| {
        let cancelled = cancelled.unwrap();
        assert_eq!(cancelled.task.standing.status, TaskStatus::Cancelled);
        assert_eq!(cancelled.task.standing.lease, None);
        assert_eq!(cancelled.task.finished_at, Some(moment(now)));
        cancelled.running
    })
}

async fn retry(store: &Arc<dyn Store>, number: u64, now: i64) -> model::Result<model::Task> {
    let retried = store
        .retry_task(task_id(number), Some(user_id(1)), moment(now))
        .await;
    retried.map(Option::unwrap)
}

async fn hasten(store: &Arc<dyn Store>, number: u64, now: i64) -> model::Result<model::Task> {
    let hastened = store
        .hasten_task(task_id(number), Some(user_id(1)), moment(now))
        .await;
    hastened.map(Option::unwrap)
}

async fn move_to_do(store: &Arc<dyn Store>, number: u64, to: TaskStatus, now: i64) {
    let change = TaskChange {
        status: Some(to),
        ..TaskChange::default()
    };
    let moved = store
        .update_task(task_id(number), None, change, moment(now))
        .await;
    assert_eq!(moved.unwrap().unwrap().standing.status, to);
}

async fn a_pending_task_that_is_cancelled_never_starts(engine: impl Engine) {
    let store = engine.open().await;
    let mut later = job(2);
    later.scheduled_at = Some(moment(500));
    for task in [job(1), later, job_after(&[1], 3), to_do(4), job(5)] {
        submit(&store, task).await;
    }
    for number in 1..=4 {
        assert_eq!(cancel(&store, number, 10).await.unwrap(), None);
        assert_eq!(code_of(cancel(&store, number, 20).await), ErrorCode::Conflict);
        assert_eq!(found(&store, number).await.finished_at, Some(moment(10)));
    }
    assert_eq!(numbers(&claimed(&store, 9_999, 10).await), [5]);
    let depth = store.queue_depth().await.unwrap();
    assert_eq!((depth.ready, depth.scheduled, depth.blocked), ([0; 4], 0, 0));
}

async fn the_end_of_a_cancelled_attempt_is_refused(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let held = claimed_one(&store, 10).await;
    assert_eq!(cancel(&store, 1, 20).await.unwrap(), Some(1));
    let before = found(&store, 1).await;
    let late = ending(&held, AttemptEnd::Succeeded, 30);
    let call = late.execution.clone().unwrap().id;
    assert_eq!(
        code_of(store.finish_task(held.hold(), &late).await),
        ErrorCode::Conflict
    );
    assert!(store.find_execution(call, None).await.unwrap().is_none());
    assert_eq!(found(&store, 1).await, before);
    let lost = store
        .renew_leases(claim(30, 1).worker, &[held.hold()], moment(99_000))
        .await
        .unwrap();
    assert_eq!(lost, [held.hold()], "so its worker learns of it");
    let released = store.release_expired(moment(99_000), moment(99_000), 10).await;
    assert!(released.unwrap().is_empty());
}

async fn of_a_cancellation_and_an_end_at_once_one_counts(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=40 {
        submit(&store, job(number)).await;
        let held = claimed_one(&store, 100).await;
        let ended = {
            let store = Arc::clone(&store);
            async move { end(&store, &held, AttemptEnd::Succeeded, 200).await }
        };
        let cancelled = store.cancel_task(task_id(number), None, moment(200));
        match both_at_once(ended, cancelled).await {
            (Ok(TaskStatus::Completed), Err(error)) => {
                assert_eq!(error.code(), ErrorCode::Conflict);
                assert_eq!(status_of(&store, number).await, TaskStatus::Completed);
            }
            (Err(error), Ok(_)) => {
                assert_eq!(error.code(), ErrorCode::Conflict);
                assert_eq!(status_of(&store, number).await, TaskStatus::Cancelled);
            }
            both => panic!("one counts: {both:?}"),
        }
    }
}

async fn of_a_cancellation_and_a_claim_at_once_nothing_runs_unnoticed(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=40 {
        submit(&store, job(number)).await;
        let claiming = {
            let store = Arc::clone(&store);
            async move { claimed(&store, 100, 10).await }
        };
        let (held, running) = both_at_once(claiming, cancel(&store, number, 100)).await;
        let running = running.unwrap();
        assert_eq!(running.is_some(), !held.is_empty());
        for held in held {
            let late = end(&store, &held, AttemptEnd::Succeeded, 200).await;
            assert_eq!(code_of(late), ErrorCode::Conflict);
        }
    }
}

async fn a_cancelled_recurring_task_is_over_for_good(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, recurring(1, 500)).await;
    assert_eq!(cancel(&store, 1, 10).await.unwrap(), None);
    let (due, next) = store.due_schedules(moment(999), 10).await.unwrap();
    assert!(due.is_empty() && next.is_none());
    let fired = store
        .fire_schedule(task_id(1), moment(500), None, Some(job(2)))
        .await;
    assert!(!fired.unwrap());
    assert!(store.find_task(task_id(2), None).await.unwrap().is_none());
    assert_eq!(code_of(retry(&store, 1, 20).await), ErrorCode::Conflict);
}

async fn a_failed_or_cancelled_task_is_tried_anew_with_all_its_retries(engine: impl Engine) {
    let store = engine.open().await;
    let mut once = job(1);
    once.patience.max_retries = 1;
    submit(&store, once).await;
    let again = AttemptEnd::Failed { retry_at: moment(30) };
    for (now, status) in [(20, TaskStatus::Pending), (40, TaskStatus::Failed)] {
        let held = claimed_one(&store, now).await;
        assert_eq!(end(&store, &held, again, now).await.unwrap(), status);
    }
    let after = retry(&store, 1, 50).await.unwrap();
    let standing = after.standing;
    assert_eq!(
        (standing.status, standing.due_at),
        (TaskStatus::Pending, moment(50))
    );
    assert_eq!(
        (standing.retry_count, standing.attempt),
        (0, 2),
        "attempts only grow"
    );
    assert_eq!((after.finished_at, after.updated_at), (None, moment(50)));
    assert_eq!((after.error.clone(), after.result.clone()), (None, None));
    assert_eq!(found(&store, 1).await, after);
    let held = claimed_one(&store, 50).await;
    assert_eq!((held.task.standing.attempt, held.ready_at), (3, moment(50)));
    end(&store, &held, again, 60).await.unwrap();
    cancel(&store, 1, 70).await.unwrap();
    retry(&store, 1, 80).await.unwrap();
    let held = claimed_one(&store, 80).await;
    end(&store, &held, AttemptEnd::Succeeded, 90).await.unwrap();
    assert_eq!(found(&store, 1).await.error, None);
    submit(&store, to_do(2)).await;
    cancel(&store, 2, 10).await.unwrap();
    assert_eq!(
        retry(&store, 2, 20).await.unwrap().standing.status,
        TaskStatus::Pending
    );
    assert!(claimed(&store, 900, 10).await.is_empty(), "people alone move it");
}

async fn what_has_not_failed_is_not_tried_anew(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    assert_eq!(code_of(retry(&store, 1, 10).await), ErrorCode::Conflict);
    let held = claimed_one(&store, 10).await;
    assert_eq!(code_of(retry(&store, 1, 20).await), ErrorCode::Conflict);
    end(&store, &held, AttemptEnd::Succeeded, 30).await.unwrap();
    let before = found(&store, 1).await;
    assert_eq!(code_of(retry(&store, 1, 40).await), ErrorCode::Conflict);
    assert_eq!(found(&store, 1).await, before);
}

async fn a_task_whose_unique_key_is_taken_is_not_tried_anew(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, keyed(1, "key")).await;
    cancel(&store, 1, 10).await.unwrap();
    submit(&store, keyed(2, "key")).await;
    let before = found(&store, 1).await;
    assert_eq!(code_of(retry(&store, 1, 20).await), ErrorCode::Conflict);
    assert_eq!(found(&store, 1).await, before);
    cancel(&store, 2, 30).await.unwrap();
    retry(&store, 1, 40).await.unwrap();
    let again = store.submit_task(keyed(3, "key")).await.unwrap();
    assert_eq!((again.task.id, again.is_new), (task_id(1), false));
}

async fn a_task_tried_anew_waits_for_what_it_depends_on(engine: impl Engine) {
    let store = engine.open().await;
    for task in [to_do(1), to_do(2), job_after(&[1, 2], 3)] {
        submit(&store, task).await;
    }
    assert_eq!(cancel(&store, 3, 10).await.unwrap(), None);
    move_to_do(&store, 1, TaskStatus::Completed, 20).await;
    store.settle_dependents(moment(30), 100).await.unwrap();
    let after = retry(&store, 3, 40).await.unwrap();
    assert_eq!(after.standing.unmet, 1);
    assert_eq!(claimed(&store, 40, 5).await.len(), 0);
    assert_eq!(store.queue_depth().await.unwrap().blocked, 1);
    move_to_do(&store, 2, TaskStatus::Completed, 50).await;
    store.settle_dependents(moment(60), 100).await.unwrap();
    assert_eq!(claimed_one(&store, 70).await.task.id, task_id(3));
}

async fn a_task_whose_dependency_was_lost_is_tried_anew_once_that_one_is(engine: impl Engine) {
    let store = engine.open().await;
    for task in [to_do(1), to_do(2), job_after(&[1, 2], 3)] {
        submit(&store, task).await;
    }
    cancel(&store, 1, 10).await.unwrap();
    store.settle_dependents(moment(20), 100).await.unwrap();
    assert_eq!(status_of(&store, 3).await, TaskStatus::Cancelled);
    let refused = retry(&store, 3, 30).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    assert!(
        refused.message().contains(&task_id(1).to_string()),
        "{}",
        refused.message()
    );
    assert_eq!(status_of(&store, 3).await, TaskStatus::Cancelled);
    retry(&store, 1, 40).await.unwrap();
    assert_eq!(retry(&store, 3, 50).await.unwrap().standing.unmet, 2);
    move_to_do(&store, 2, TaskStatus::Failed, 60).await;
    store.settle_dependents(moment(70), 100).await.unwrap();
    assert_eq!(status_of(&store, 3).await, TaskStatus::Cancelled);
}

async fn a_task_tried_anew_does_not_wait_for_what_is_gone(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, to_do(1)).await;
    submit(&store, job_after(&[1], 2)).await;
    cancel(&store, 1, 10).await.unwrap();
    store.settle_dependents(moment(20), 100).await.unwrap();
    store.delete_task(task_id(1), None).await.unwrap().unwrap();
    assert_eq!(retry(&store, 2, 30).await.unwrap().standing.unmet, 0);
    assert_eq!(claimed_one(&store, 40).await.task.id, task_id(2));
}

async fn a_scheduled_job_is_hastened(engine: impl Engine) {
    let store = engine.open().await;
    let mut later = job(1);
    later.scheduled_at = Some(moment(5_000));
    submit(&store, later).await;
    submit(&store, to_do(2)).await;
    submit(&store, recurring(3, 5_000)).await;
    let after = hasten(&store, 1, 100).await.unwrap();
    assert_eq!(
        (after.standing.due_at, after.scheduled_at),
        (moment(100), Some(moment(5_000)))
    );
    let held = claimed_one(&store, 100).await;
    assert_eq!(held.ready_at, moment(100));
    let before = found(&store, 1).await;
    let after = hasten(&store, 1, 200).await.unwrap();
    assert_eq!(after.standing, before.standing, "it runs already");
    end(&store, &held, AttemptEnd::Succeeded, 300).await.unwrap();
    for number in [1, 2, 3] {
        assert_eq!(code_of(hasten(&store, number, 400).await), ErrorCode::Conflict);
    }
}

async fn a_hastened_job_still_waits_for_what_it_depends_on(engine: impl Engine) {
    let store = engine.open().await;
    let mut later = job_after(&[1], 2);
    later.scheduled_at = Some(moment(5_000));
    submit(&store, to_do(1)).await;
    submit(&store, later).await;
    assert_eq!(hasten(&store, 2, 100).await.unwrap().standing.unmet, 1);
    assert!(claimed(&store, 9_999, 10).await.is_empty());
    let change = TaskChange {
        status: Some(TaskStatus::Completed),
        ..TaskChange::default()
    };
    store
        .update_task(task_id(1), None, change, moment(200))
        .await
        .unwrap();
    store.settle_dependents(moment(300), 10).await.unwrap();
    assert_eq!(claimed_one(&store, 300).await.ready_at, moment(300));
}

async fn delete(store: &Arc<dyn Store>, number: u64) -> model::Result<Option<model::Task>> {
    store.delete_task(task_id(number), Some(user_id(1))).await
}

async fn a_deleted_task_is_gone_with_its_place_in_the_queue(engine: impl Engine) {
    let store = engine.open().await;
    let mut later = job(2);
    later.scheduled_at = Some(moment(500));
    let mut of_three = job(4);
    of_three.schedule_id = Some(task_id(3));
    for task in [job(1), later, recurring(3, 500), of_three, to_do(5)] {
        submit(&store, task).await;
    }
    let change = TaskChange {
        status: Some(TaskStatus::InProgress),
        ..TaskChange::default()
    };
    store
        .update_task(task_id(5), None, change, moment(10))
        .await
        .unwrap();
    for number in [1, 2, 3, 5] {
        let before = found(&store, number).await;
        assert_eq!(delete(&store, number).await.unwrap(), Some(before));
        assert!(store.find_task(task_id(number), None).await.unwrap().is_none());
        assert!(delete(&store, number).await.unwrap().is_none());
    }
    let rest = store.claim_tasks(claim(900, 10)).await.unwrap();
    assert_eq!((numbers(&rest.tasks), rest.next_due), (vec![4], None));
    let (due, next) = store.due_schedules(moment(900), 10).await.unwrap();
    assert!(due.is_empty() && next.is_none());
    let overview = store.task_overview(None, moment(0), 10).await.unwrap();
    assert_eq!(overview.counts.iter().map(|entry| entry.count).sum::<u64>(), 1);
    assert_eq!(found(&store, 4).await.schedule_id, Some(task_id(3)));
}

async fn what_is_needed_is_not_deleted(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), to_do(2), job_after(&[1, 2], 3)] {
        submit(&store, task).await;
    }
    let held = claimed_one(&store, 10).await;
    assert_eq!(
        code_of(delete(&store, 1).await),
        ErrorCode::Conflict,
        "a worker is at it"
    );
    end(&store, &held, AttemptEnd::Succeeded, 20).await.unwrap();
    assert_eq!(code_of(delete(&store, 1).await), ErrorCode::Conflict);
    store.settle_dependents(moment(30), 10).await.unwrap();
    for number in [1, 2] {
        let refused = delete(&store, number).await;
        assert_eq!(
            code_of(refused),
            ErrorCode::Conflict,
            "its result may be asked for"
        );
    }
    cancel(&store, 3, 40).await.unwrap();
    for number in [1, 2, 3] {
        assert!(delete(&store, number).await.unwrap().is_some());
    }
    assert!(!store.settle_dependents(moment(50), 10).await.unwrap().has_more);
}

async fn each_attempt_is_listed_the_latest_first(engine: impl Engine) {
    let store = engine.open().await;
    let patient = Patience {
        max_retries: 9,
        ..Patience::default()
    };
    for number in [1, 2] {
        let mut task = job(number);
        task.patience = patient;
        submit(&store, task).await;
    }
    let mut calls = Vec::new();
    for now in [10, 20, 30] {
        for held in claimed(&store, now, 10).await {
            let again = AttemptEnd::Failed {
                retry_at: moment(now),
            };
            let execution = call_of(&held, failure());
            if held.task.id == task_id(1) {
                calls.insert(0, execution.clone());
            }
            let ending = TaskEnding {
                execution: Some(execution),
                ..ending(&held, again, now)
            };
            store.finish_task(held.hold(), &ending).await.unwrap();
        }
    }
    assert_eq!(store.list_attempts(task_id(1), 10).await.unwrap(), calls);
    let attempts: Vec<_> = calls.iter().map(|call| call.task.unwrap().attempt).collect();
    assert_eq!(attempts, [3, 2, 1]);
    assert!(calls.iter().all(|call| call.outcome == failure()));
    assert_ne!(calls[0].outcome, ExecutionOutcome::Running);
    assert_eq!(store.list_attempts(task_id(1), 2).await.unwrap(), calls[..2]);
    assert!(store.list_attempts(task_id(404), 10).await.unwrap().is_empty());
    let works = (0..4).map(|_| {
        let store = Arc::clone(&store);
        async move { store.delete_task(task_id(1), None).await.unwrap().is_some() }
    });
    let deleted = at_once(works).await;
    assert_eq!(deleted.iter().filter(|is_done| **is_done).count(), 1);
    assert_eq!(
        store.list_attempts(task_id(1), 2).await.unwrap().len(),
        2,
        "the history outlives it"
    );
}
