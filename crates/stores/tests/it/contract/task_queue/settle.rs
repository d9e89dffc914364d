//! Tasks that depend on others.

use std::sync::Arc;

use model::{AttemptEnd, NewTask, Settled, Store, TaskStatus};
use serde_json::json;

use super::{claimed, claimed_one, end, found, numbers, submit, submit_all};
use crate::{
    contract::{
        task::status_of,
        user::{at_once, both_at_once},
    },
    engine::Engine,
    make::{job, job_after, moment, task_id, to_do},
};

crate::on_every_engine![
    a_task_starts_once_all_that_it_depends_on_are_completed,
    a_task_whose_dependency_is_lost_is_cancelled_and_so_on,
    a_task_that_is_due_later_waits_for_its_time_too,
    dependents_are_told_in_portions,
    what_is_to_be_told_is_not_forgotten,
    a_dependency_that_ends_while_a_task_is_submitted_is_not_missed,
    of_many_settlements_at_once_each_dependent_is_told_once,
    nothing_is_told_of_what_nobody_depends_on,
];

/// Tells all that is to be told, and gives how much it was.
async fn settle(store: &Arc<dyn Store>, now: i64) -> u64 {
    let mut told = 0;
    loop {
        let settled = store.settle_dependents(moment(now), 100).await.unwrap();
        told += settled.told;
        if !settled.has_more {
            return told;
        }
    }
}

async fn run(store: &Arc<dyn Store>, now: i64, how: AttemptEnd) {
    let held = claimed_one(store, now).await;
    end(store, &held, how, now + 1).await.unwrap();
}

async fn a_task_starts_once_all_that_it_depends_on_are_completed(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), job(2), job_after(&[2, 1], 3), job_after(&[3], 4)] {
        submit(&store, task).await;
    }
    assert_eq!(found(&store, 3).await.depends_on, [task_id(2), task_id(1)]);
    assert_eq!(store.queue_depth().await.unwrap().blocked, 2);
    let held = claimed(&store, 100, 10).await;
    assert_eq!(numbers(&held), [1, 2]);
    end(&store, &held[0], AttemptEnd::Succeeded, 200).await.unwrap();
    assert_eq!(settle(&store, 300).await, 1);
    assert_eq!(found(&store, 3).await.standing.unmet, 1);
    assert!(claimed(&store, 300, 10).await.is_empty());
    end(&store, &held[1], AttemptEnd::Succeeded, 400).await.unwrap();
    assert_eq!(settle(&store, 500).await, 1);
    let third = claimed_one(&store, 500).await;
    assert_eq!((third.task.id, third.ready_at), (task_id(3), moment(500)));
    assert_eq!(
        found(&store, 1).await.result,
        Some(json!({"task": 1})),
        "what it may refer to"
    );
    end(&store, &third, AttemptEnd::Succeeded, 600).await.unwrap();
    settle(&store, 700).await;
    assert_eq!(claimed_one(&store, 700).await.task.id, task_id(4));
}

async fn a_task_whose_dependency_is_lost_is_cancelled_and_so_on(engine: impl Engine) {
    for (round, base) in [(0, 0), (1, 100)] {
        let store = engine.open().await;
        let tasks = [
            job(base + 1),
            job_after(&[base + 1], base + 2),
            job_after(&[base + 2], base + 3),
            job_after(&[base + 1, base + 3], base + 4),
        ];
        for task in tasks {
            submit(&store, task).await;
        }
        if round == 0 {
            run(&store, 500, AttemptEnd::FailedForGood).await;
        } else {
            store
                .cancel_task(task_id(base + 1), None, moment(500))
                .await
                .unwrap();
        }
        settle(&store, 600).await;
        for number in 2..=4 {
            let task = found(&store, base + number).await;
            assert_eq!(task.standing.status, TaskStatus::Cancelled);
            assert_eq!(task.error.unwrap().code, "dependency_failed");
            assert_eq!((task.finished_at, task.standing.attempt), (Some(moment(600)), 0));
        }
        assert!(claimed(&store, 900, 10).await.is_empty());
        assert_eq!(settle(&store, 700).await, 0);
        assert_eq!(store.queue_depth().await.unwrap().blocked, 0);
        store.close().await.unwrap();
    }
}

async fn a_task_that_is_due_later_waits_for_its_time_too(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let later = NewTask {
        scheduled_at: Some(moment(9_000)),
        ..job_after(&[1], 2)
    };
    submit(&store, later).await;
    run(&store, 100, AttemptEnd::Succeeded).await;
    settle(&store, 200).await;
    let early = store.claim_tasks(crate::make::claim(8_999, 10)).await.unwrap();
    assert_eq!((early.tasks.len(), early.next_due), (0, Some(moment(9_000))));
    assert_eq!(claimed_one(&store, 9_500).await.ready_at, moment(9_000));
}

async fn dependents_are_told_in_portions(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    submit_all(&store, (2..=11).map(|number| job_after(&[1], number)).collect()).await;
    run(&store, 100, AttemptEnd::Succeeded).await;
    let mut steps = Vec::new();
    loop {
        let Settled { told, has_more, .. } = store.settle_dependents(moment(200), 4).await.unwrap();
        assert!(told <= 4);
        steps.push(told);
        if !has_more {
            break;
        }
        assert!(steps.len() < 20, "it comes to an end");
    }
    assert_eq!(steps.iter().sum::<u64>(), 10);
    assert_eq!(claimed(&store, 200, 100).await.len(), 10);
}

async fn what_is_to_be_told_is_not_forgotten(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), job_after(&[1], 2), job_after(&[1], 3)] {
        submit(&store, task).await;
    }
    run(&store, 100, AttemptEnd::Succeeded).await;
    store.settle_dependents(moment(150), 1).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert_eq!(settle(&store, 200).await, 1);
    assert_eq!(claimed(&store, 200, 10).await.len(), 2);
}

async fn a_dependency_that_ends_while_a_task_is_submitted_is_not_missed(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=40 {
        let (first, second) = (2 * number, 2 * number + 1);
        submit(&store, job(first)).await;
        let held = claimed_one(&store, 1_000).await;
        let ended = {
            let store = Arc::clone(&store);
            async move { end(&store, &held, AttemptEnd::Succeeded, 1_100).await }
        };
        let submitted = submit(&store, job_after(&[first], second));
        both_at_once(ended, submitted).await.0.unwrap();
        settle(&store, 1_200).await;
        let held = claimed_one(&store, 1_300).await;
        assert_eq!(held.task.id, task_id(second));
        end(&store, &held, AttemptEnd::Succeeded, 1_400).await.unwrap();
    }
}

async fn of_many_settlements_at_once_each_dependent_is_told_once(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), to_do(2)] {
        submit(&store, task).await;
    }
    submit_all(
        &store,
        (3..=62).map(|number| job_after(&[1, 2], number)).collect(),
    )
    .await;
    run(&store, 100, AttemptEnd::Succeeded).await;
    let works = (0..16).map(|_| {
        let store = Arc::clone(&store);
        async move { settle(&store, 200).await }
    });
    let told: u64 = at_once(works).await.into_iter().sum();
    assert_eq!(told, 60);
    for number in 3..=62 {
        assert_eq!(found(&store, number).await.standing.unmet, 1);
    }
    assert_eq!(status_of(&store, 3).await, TaskStatus::Pending);
}

async fn nothing_is_told_of_what_nobody_depends_on(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    run(&store, 100, AttemptEnd::Succeeded).await;
    let settled = store.settle_dependents(moment(200), 10).await.unwrap();
    assert_eq!(settled, Settled::default());
}
