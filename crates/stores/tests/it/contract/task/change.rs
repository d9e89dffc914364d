//! Changes of what a task is, and to-dos on their way.

use std::{sync::Arc, time::Duration};

use model::{
    AttemptEnd, ErrorCode, Priority, Store, Task, TaskChange, TaskDescription, TaskStatus, TaskTitle,
};
use serde_json::json;

use super::{claimed, claimed_one, code_of, end, found, numbers, status_of, submit};
use crate::{
    engine::Engine,
    make::{job, job_after, job_at, moment, recurring, tags, task_id, to_do, user_id},
};

crate::on_every_engine![
    a_change_sets_what_it_names_and_nothing_else,
    what_people_call_a_task_changes_at_any_time,
    a_definition_changes_only_while_the_task_is_pending,
    another_priority_moves_a_ready_task,
    another_time_moves_a_task_between_ready_and_scheduled,
    to_dos_move_along_and_not_back_from_the_end,
    people_move_nothing_but_to_dos,
    a_to_do_that_is_done_frees_what_waits_for_it,
    a_refused_change_changes_nothing_at_all,
];

async fn update(store: &Arc<dyn Store>, number: u64, change: TaskChange, now: i64) -> model::Result<Task> {
    let updated = store
        .update_task(task_id(number), Some(user_id(1)), change, moment(now))
        .await;
    updated.map(Option::unwrap)
}

fn to_status(status: TaskStatus) -> TaskChange {
    TaskChange {
        status: Some(status),
        ..TaskChange::default()
    }
}

fn to_time(millis: Option<i64>) -> TaskChange {
    TaskChange {
        scheduled_at: Some(millis.map(moment)),
        ..TaskChange::default()
    }
}

fn to_priority(priority: Priority) -> TaskChange {
    TaskChange {
        priority: Some(priority),
        ..TaskChange::default()
    }
}

/// Changes of everything that decides what is done, when and how.
fn definitions() -> Vec<TaskChange> {
    let none = TaskChange::default;
    vec![
        to_priority(Priority::Critical),
        to_time(Some(9_000)),
        TaskChange {
            payload: Some(json!({"message": "other"})),
            ..none()
        },
        TaskChange {
            max_retries: Some(7),
            ..none()
        },
        TaskChange {
            max_stalls: Some(7),
            ..none()
        },
        TaskChange {
            timeout: Some(Some(Duration::from_secs(7))),
            ..none()
        },
    ]
}

fn names() -> TaskChange {
    TaskChange {
        title: Some(TaskTitle::parse("another").unwrap()),
        description: Some(Some(TaskDescription::parse("more").unwrap())),
        tags: Some(tags(&["x", "y"])),
        ..TaskChange::default()
    }
}

async fn a_change_sets_what_it_names_and_nothing_else(engine: impl Engine) {
    let store = engine.open().await;
    let before = submit(&store, job(1)).await;
    let change = TaskChange {
        priority: Some(Priority::High),
        payload: Some(json!({"b": 1, "a": 2})),
        max_retries: Some(0),
        max_stalls: Some(9),
        timeout: Some(Some(Duration::from_millis(1_234))),
        ..names()
    };
    let mut expected = Task {
        title: change.title.clone().unwrap(),
        description: change.description.clone().unwrap(),
        tags: change.tags.clone().unwrap(),
        priority: Priority::High,
        timeout: Some(Duration::from_millis(1_234)),
        updated_at: moment(50),
        ..before
    };
    expected.job.as_mut().unwrap().payload = json!({"b": 1, "a": 2});
    expected.standing.max_retries = 0;
    expected.standing.max_stalls = 9;
    assert_eq!(update(&store, 1, change, 50).await.unwrap(), expected);
    assert_eq!(found(&store, 1).await, expected);
    let removal = TaskChange {
        description: Some(None),
        tags: Some(tags(&[])),
        timeout: Some(None),
        ..TaskChange::default()
    };
    let after = update(&store, 1, removal, 60).await.unwrap();
    let expected = Task {
        description: None,
        tags: tags(&[]),
        timeout: None,
        updated_at: moment(60),
        ..expected
    };
    assert_eq!(after, expected);
}

async fn what_people_call_a_task_changes_at_any_time(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), job(2), recurring(3, 900), to_do(4)] {
        submit(&store, task).await;
    }
    let held = claimed(&store, 10, 1).await.remove(0);
    store.cancel_task(task_id(2), None, moment(20)).await.unwrap();
    update(&store, 4, to_status(TaskStatus::Completed), 20)
        .await
        .unwrap();
    for number in 1..=4 {
        let standing = found(&store, number).await.standing;
        let after = update(&store, number, names(), 30).await.unwrap();
        assert_eq!(after.title.as_str(), "another");
        assert_eq!((after.standing, after.updated_at), (standing, moment(30)));
    }
    end(&store, &held, AttemptEnd::Succeeded, 40).await.unwrap();
    assert_eq!(found(&store, 1).await.tags, tags(&["x", "y"]));
}

async fn a_definition_changes_only_while_the_task_is_pending(engine: impl Engine) {
    let store = engine.open().await;
    for number in [1, 2] {
        submit(&store, job(number)).await;
    }
    let held = claimed(&store, 10, 1).await.remove(0);
    store.cancel_task(task_id(2), None, moment(20)).await.unwrap();
    for change in definitions() {
        for number in [1, 2] {
            let before = found(&store, number).await;
            let refused = update(&store, number, change.clone(), 30).await;
            assert_eq!(code_of(refused), ErrorCode::Conflict, "{change:?}");
            assert_eq!(found(&store, number).await, before);
        }
    }
    let back = AttemptEnd::Failed { retry_at: moment(40) };
    end(&store, &held, back, 30).await.unwrap();
    for change in definitions() {
        update(&store, 1, change, 35).await.unwrap();
    }
    let after = found(&store, 1).await;
    assert_eq!(
        (after.standing.max_retries, after.priority),
        (7, Priority::Critical)
    );
    submit(&store, to_do(3)).await;
    update(&store, 3, to_status(TaskStatus::InProgress), 40)
        .await
        .unwrap();
    for change in [to_priority(Priority::Low), to_time(Some(9_000))] {
        update(&store, 3, change.clone(), 50).await.unwrap();
    }
    update(&store, 3, to_status(TaskStatus::Completed), 60)
        .await
        .unwrap();
    for change in [to_priority(Priority::Low), to_time(None)] {
        assert_eq!(code_of(update(&store, 3, change, 70).await), ErrorCode::Conflict);
    }
}

async fn another_priority_moves_a_ready_task(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=4 {
        submit(&store, job(number)).await;
    }
    update(&store, 3, to_priority(Priority::Critical), 10)
        .await
        .unwrap();
    update(&store, 1, to_priority(Priority::Low), 10).await.unwrap();
    let depth = store.queue_depth().await.unwrap();
    assert_eq!(depth.ready, [1, 2, 0, 1]);
    assert_eq!(numbers(&claimed(&store, 20, 10).await), [3, 2, 4, 1]);
}

async fn another_time_moves_a_task_between_ready_and_scheduled(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let after = update(&store, 1, to_time(Some(500)), 10).await.unwrap();
    assert_eq!(
        (after.scheduled_at, after.standing.due_at),
        (Some(moment(500)), moment(500))
    );
    let none = store.claim_tasks(crate::make::claim(499, 10)).await.unwrap();
    assert_eq!((none.tasks.len(), none.next_due), (0, Some(moment(500))));
    update(&store, 1, to_time(Some(300)), 20).await.unwrap();
    assert_eq!(claimed(&store, 299, 10).await.len(), 0);
    update(&store, 1, to_time(None), 299).await.unwrap();
    let held = claimed_one(&store, 299).await;
    assert_eq!((held.task.scheduled_at, held.ready_at), (None, moment(299)));
}

async fn to_dos_move_along_and_not_back_from_the_end(engine: impl Engine) {
    use TaskStatus::{Cancelled, Completed, Failed, InProgress, Pending};
    let store = engine.open().await;
    submit(&store, to_do(1)).await;
    for (status, started_at, now) in [
        (Pending, None, 10),
        (InProgress, Some(20), 20),
        (Pending, Some(20), 30),
        (InProgress, Some(40), 40),
    ] {
        let after = update(&store, 1, to_status(status), now).await.unwrap();
        assert_eq!(after.standing.status, status);
        assert_eq!(after.started_at, started_at.map(moment), "{status:?}");
        assert_eq!((after.finished_at, after.updated_at), (None, moment(now)));
    }
    for (number, last) in [(2, Completed), (3, Failed), (4, Cancelled)] {
        submit(&store, to_do(number)).await;
        let after = update(&store, number, to_status(last), 50).await.unwrap();
        assert_eq!(
            (after.standing.status, after.finished_at),
            (last, Some(moment(50)))
        );
        assert_eq!(after.standing.lease, None);
        for other in TaskStatus::ALL.into_iter().filter(|other| *other != last) {
            let refused = update(&store, number, to_status(other), 60).await;
            assert_eq!(code_of(refused), ErrorCode::Conflict, "{last:?} to {other:?}");
        }
        assert_eq!(found(&store, number).await, after);
    }
}

async fn people_move_nothing_but_to_dos(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    submit(&store, recurring(2, 900)).await;
    for number in [1, 2] {
        for status in [TaskStatus::InProgress, TaskStatus::Completed, TaskStatus::Failed] {
            let refused = update(&store, number, to_status(status), 10).await;
            assert_eq!(code_of(refused), ErrorCode::Conflict);
        }
        assert_eq!(status_of(&store, number).await, TaskStatus::Pending);
    }
}

async fn a_to_do_that_is_done_frees_what_waits_for_it(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, to_do(1)).await;
    submit(&store, job_after(&[1], 2)).await;
    assert!(claimed(&store, 10, 10).await.is_empty());
    update(&store, 1, to_status(TaskStatus::Completed), 20)
        .await
        .unwrap();
    let settled = store.settle_dependents(moment(30), 100).await.unwrap();
    assert_eq!(settled.told, 1);
    assert_eq!(claimed_one(&store, 40).await.task.id, task_id(2));
}

async fn a_refused_change_changes_nothing_at_all(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job_at(Priority::Low, 1)).await;
    let before = found(&store, 1).await;
    let change = TaskChange {
        priority: Some(Priority::High),
        status: Some(TaskStatus::Completed),
        ..names()
    };
    assert_eq!(code_of(update(&store, 1, change, 10).await), ErrorCode::Conflict);
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let change = TaskChange {
        payload: Some(deep),
        ..names()
    };
    assert_eq!(
        code_of(update(&store, 1, change, 10).await),
        ErrorCode::ValidationFailed
    );
    assert_eq!(found(&store, 1).await, before);
    assert_eq!(store.queue_depth().await.unwrap().ready, [1, 0, 0, 0]);
}
