//! What is removed with time, and how full the queue is.

use model::{AttemptEnd, NewTask, Priority, QueueDepth, TaskChange, TaskStatus};

use super::{claimed, claimed_one, end, found, submit};
use crate::{
    engine::Engine,
    make::{job, job_after, job_at, moment, recurring, task_id, to_do},
};

crate::on_every_engine![
    what_ended_long_ago_is_removed_and_its_calls_stay,
    what_a_pending_task_depends_on_is_kept_and_holds_nothing_else_up,
    tasks_are_removed_in_portions,
    the_depth_counts_jobs_by_what_they_wait_for,
];

async fn what_ended_long_ago_is_removed_and_its_calls_stay(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), job(2), to_do(3), recurring(4, 900), job(5)] {
        submit(&store, task).await;
    }
    let held = claimed(&store, 100, 10).await;
    end(&store, &held[0], AttemptEnd::Succeeded, 200).await.unwrap();
    end(&store, &held[1], AttemptEnd::FailedForGood, 300)
        .await
        .unwrap();
    for number in [3, 4] {
        store
            .cancel_task(task_id(number), None, moment(200))
            .await
            .unwrap();
    }
    assert_eq!(store.remove_finished_tasks(moment(200), 100).await.unwrap(), 0);
    assert_eq!(store.remove_finished_tasks(moment(300), 100).await.unwrap(), 3);
    for number in [1, 3, 4] {
        assert!(store.find_task(task_id(number), None).await.unwrap().is_none());
    }
    assert_eq!(store.list_attempts(task_id(1), 10).await.unwrap().len(), 1);
    assert_eq!(found(&store, 2).await.standing.status, TaskStatus::Failed);
    assert_eq!(found(&store, 5).await.standing.status, TaskStatus::InProgress);
    let overview = store.task_overview(None, moment(0), 10).await.unwrap();
    assert_eq!(overview.counts.iter().map(|entry| entry.count).sum::<u64>(), 2);
    assert_eq!(store.remove_finished_tasks(moment(99_000), 100).await.unwrap(), 1);
    end(&store, &held[2], AttemptEnd::Succeeded, 400).await.unwrap();
}

async fn what_a_pending_task_depends_on_is_kept_and_holds_nothing_else_up(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), to_do(2), job_after(&[1, 2], 3)] {
        submit(&store, task).await;
    }
    let held = claimed_one(&store, 100).await;
    end(&store, &held, AttemptEnd::Succeeded, 200).await.unwrap();
    assert_eq!(store.remove_finished_tasks(moment(900), 10).await.unwrap(), 0);
    store.settle_dependents(moment(300), 10).await.unwrap();
    submit(&store, to_do(4)).await;
    let change = TaskChange {
        status: Some(TaskStatus::Completed),
        ..TaskChange::default()
    };
    store
        .update_task(task_id(4), None, change, moment(400))
        .await
        .unwrap();
    let removed = store.remove_finished_tasks(moment(900), 1).await.unwrap();
    assert_eq!(removed, 1, "what is kept is passed over");
    assert!(store.find_task(task_id(4), None).await.unwrap().is_none());
    assert!(found(&store, 1).await.result.is_some());
    store.cancel_task(task_id(3), None, moment(500)).await.unwrap();
    assert_eq!(store.remove_finished_tasks(moment(900), 10).await.unwrap(), 2);
    assert_eq!(store.remove_finished_tasks(moment(900), 10).await.unwrap(), 0);
}

async fn tasks_are_removed_in_portions(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=7 {
        submit(&store, to_do(number)).await;
        store
            .cancel_task(task_id(number), None, moment(100))
            .await
            .unwrap();
    }
    for expected in [3, 3, 1, 0] {
        assert_eq!(
            store.remove_finished_tasks(moment(200), 3).await.unwrap(),
            expected
        );
    }
}

async fn the_depth_counts_jobs_by_what_they_wait_for(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.queue_depth().await.unwrap(), QueueDepth::default());
    let later = |number, at| NewTask {
        scheduled_at: Some(moment(at)),
        ..job_at(Priority::High, number)
    };
    let tasks = [
        job_at(Priority::Low, 10),
        job_at(Priority::Critical, 20),
        job_at(Priority::Critical, 30),
        later(40, 500),
        later(41, 9_000),
        to_do(50),
        recurring(60, 9_000),
        job_after(&[50], 70),
    ];
    for task in tasks {
        submit(&store, task).await;
    }
    let expected = QueueDepth {
        ready: [1, 0, 0, 2],
        scheduled: 2,
        blocked: 1,
        awaiting_input: 0,
        in_progress: 0,
        oldest_ready: Some(moment(10)),
    };
    assert_eq!(store.queue_depth().await.unwrap(), expected);
    let held = claimed(&store, 600, 2).await;
    let expected = QueueDepth {
        ready: [1, 0, 1, 0],
        scheduled: 1,
        in_progress: 2,
        ..expected
    };
    assert_eq!(store.queue_depth().await.unwrap(), expected);
    end(&store, &held[0], AttemptEnd::Succeeded, 700).await.unwrap();
    let again = AttemptEnd::Failed {
        retry_at: moment(8_000),
    };
    end(&store, &held[1], again, 700).await.unwrap();
    let expected = QueueDepth {
        scheduled: 2,
        in_progress: 0,
        ..expected
    };
    assert_eq!(store.queue_depth().await.unwrap(), expected);
    store.close().await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.queue_depth().await.unwrap(), expected);
}
