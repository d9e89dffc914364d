//! What workers do with tasks.

mod finish;
mod lease;
mod order;
mod race;
mod settle;
mod sweep;

use std::{collections::BTreeSet, sync::Arc};

use model::{ClaimRequest, Lease, NewTask, Priority, TaskId, TaskStatus};

use super::{
    task::{claimed, claimed_one, end, found, numbers, submit, submit_all},
    user::at_once,
};
use crate::{
    engine::Engine,
    make::{
        LEASE, action, claim, job, job_after, job_of, moment, plugin, recurring, task_id, to_do, user_id,
        worker,
    },
};

crate::on_every_engine![
    a_claimed_job_is_in_progress_with_a_lease,
    what_no_worker_does_is_not_claimed,
    a_task_is_claimed_once_at_a_time,
    of_many_claims_at_once_each_task_goes_to_one_caller,
    no_more_is_claimed_than_asked_for,
    a_scheduled_job_is_claimed_when_it_is_due_and_not_before,
    the_next_due_time_is_the_earliest_that_is_still_to_come,
    tasks_of_plugins_without_room_are_passed_over,
    no_more_of_a_plugins_tasks_are_claimed_than_it_has_room_for,
    a_claim_finds_little_among_much_that_is_scheduled,
    of_much_that_becomes_due_at_once_the_urgent_goes_first,
    g07_a_clock_that_was_set_back_loses_nothing,
];

async fn a_claimed_job_is_in_progress_with_a_lease(engine: impl Engine) {
    let store = engine.open().await;
    let before = submit(&store, job(1)).await;
    let held = claimed_one(&store, 10).await;
    let lease = Lease {
        worker: worker(1),
        until: moment(10 + LEASE),
    };
    let standing = held.task.standing;
    assert_eq!(
        (standing.status, standing.attempt, standing.lease),
        (TaskStatus::InProgress, 1, Some(lease))
    );
    assert_eq!(held.task.started_at, Some(moment(10)));
    assert_eq!(held.ready_at, moment(1));
    assert_eq!(held.task.job, before.job);
    assert_eq!(found(&store, 1).await, held.task);
}

async fn what_no_worker_does_is_not_claimed(engine: impl Engine) {
    let store = engine.open().await;
    for task in [to_do(1), recurring(2, 5), job_after(&[1], 3)] {
        submit(&store, task).await;
    }
    let nothing = store.claim_tasks(claim(900, 10)).await.unwrap();
    assert!(nothing.tasks.is_empty() && !nothing.has_more && nothing.next_due.is_none());
}

async fn a_task_is_claimed_once_at_a_time(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    claimed_one(&store, 10).await;
    assert!(claimed(&store, 10, 10).await.is_empty());
    assert!(
        claimed(&store, 10 + 2 * LEASE, 10).await.is_empty(),
        "a lease that ended must be released first"
    );
}

async fn of_many_claims_at_once_each_task_goes_to_one_caller(engine: impl Engine) {
    const TASKS: u64 = 300;
    let store = engine.open().await;
    submit_all(
        &store,
        (1..=TASKS).map(|number| job_of(number % 5, number)).collect(),
    )
    .await;
    let works = (1..=32).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let mut mine: Vec<TaskId> = Vec::new();
            loop {
                let request = ClaimRequest {
                    worker: worker(number),
                    ..claim(1_000, 7)
                };
                let claimed = store.claim_tasks(request).await.unwrap();
                if claimed.tasks.is_empty() {
                    return mine;
                }
                for held in claimed.tasks {
                    let lease = held.task.standing.lease.unwrap();
                    assert_eq!((lease.worker, held.task.standing.attempt), (worker(number), 1));
                    mine.push(held.task.id);
                }
            }
        }
    });
    let given: Vec<TaskId> = at_once(works).await.into_iter().flatten().collect();
    assert_eq!(given.len(), 300);
    let different: BTreeSet<TaskId> = given.into_iter().collect();
    assert_eq!(different.len(), 300);
}

async fn no_more_is_claimed_than_asked_for(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=5 {
        submit(&store, job(number)).await;
    }
    let some = store.claim_tasks(claim(10, 3)).await.unwrap();
    assert_eq!((numbers(&some.tasks), some.has_more), (vec![1, 2, 3], true));
    let rest = store.claim_tasks(claim(10, 3)).await.unwrap();
    assert_eq!((numbers(&rest.tasks), rest.has_more), (vec![4, 5], false));
}

fn scheduled(number: u64, at: i64) -> NewTask {
    NewTask {
        scheduled_at: Some(moment(at)),
        ..job(number)
    }
}

async fn a_scheduled_job_is_claimed_when_it_is_due_and_not_before(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, scheduled(1, 500)).await;
    submit(&store, scheduled(20, 10)).await;
    let held = claimed_one(&store, 20).await;
    assert_eq!(
        (held.task.id, held.ready_at),
        (task_id(20), moment(20)),
        "past means now"
    );
    assert!(claimed(&store, 499, 10).await.is_empty());
    let held = claimed_one(&store, 700).await;
    assert_eq!((held.task.id, held.ready_at), (task_id(1), moment(500)));
}

async fn the_next_due_time_is_the_earliest_that_is_still_to_come(engine: impl Engine) {
    let store = engine.open().await;
    for (number, at) in [(1, 900), (2, 700), (3, 800), (4, 600)] {
        submit(&store, scheduled(number, at)).await;
    }
    store.cancel_task(task_id(4), None, moment(10)).await.unwrap();
    for (now, given, next_due) in [
        (100, vec![], Some(700)),
        (700, vec![2], Some(800)),
        (899, vec![3], Some(900)),
        (900, vec![1], None),
    ] {
        let claimed = store.claim_tasks(claim(now, 10)).await.unwrap();
        assert_eq!(numbers(&claimed.tasks), given, "{now}");
        assert_eq!(claimed.next_due, next_due.map(moment), "{now}");
    }
}

fn of_other(number: u64) -> NewTask {
    let mut task = job_of(number % 2, number);
    let job = task.job.as_mut().unwrap();
    (job.plugin, job.action) = (plugin("other"), action("run"));
    task
}

async fn tasks_of_plugins_without_room_are_passed_over(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=6 {
        let task = if number % 3 == 0 {
            job(number)
        } else {
            of_other(number)
        };
        submit(&store, task).await;
    }
    let full = |name: &str| ClaimRequest {
        room: vec![(plugin(name), 0), (plugin("absent"), 0)],
        ..claim(60_000, 10)
    };
    let others = store.claim_tasks(full("other")).await.unwrap();
    assert_eq!(numbers(&others.tasks), [3, 6]);
    let nothing = store.claim_tasks(full("other")).await.unwrap();
    assert!(
        nothing.tasks.is_empty() && !nothing.has_more,
        "or a worker would ask without end"
    );
    let rest = store.claim_tasks(full("sample")).await.unwrap();
    assert_eq!(rest.tasks.len(), 4);
}

async fn no_more_of_a_plugins_tasks_are_claimed_than_it_has_room_for(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=8 {
        let mut task = if number % 4 == 0 {
            job(number)
        } else {
            of_other(number)
        };
        task.user_id = Some(user_id(1));
        task.priority = Priority::ALL[usize::from(number > 2)];
        submit(&store, task).await;
    }
    let with_room = |room, now| ClaimRequest {
        room: vec![(plugin("other"), room)],
        ..claim(now, 10)
    };
    // Urgent ones first, whatever the plugin; the room is one for all priorities.
    let some = store.claim_tasks(with_room(4, 10)).await.unwrap();
    assert_eq!(numbers(&some.tasks), [3, 4, 5, 6, 7, 8]);
    assert!(!some.has_more, "what is left is beyond the room");
    let one = store.claim_tasks(with_room(1, 60_000)).await.unwrap();
    assert_eq!((one.tasks.len(), one.has_more), (1, false));
    let rest = store.claim_tasks(with_room(2, 60_000)).await.unwrap();
    assert_eq!((rest.tasks.len(), rest.has_more), (1, false));
    for number in 20..=22 {
        submit(&store, of_other(number)).await;
    }
    let limited = ClaimRequest {
        limit: 1,
        ..with_room(2, 60_000)
    };
    let limited = store.claim_tasks(limited).await.unwrap();
    assert_eq!((limited.tasks.len(), limited.has_more), (1, true), "room is left");
}

async fn a_claim_finds_little_among_much_that_is_scheduled(engine: impl Engine) {
    let store = engine.open().await;
    let waiting = (1..=5_000).map(|number| {
        let mut task = scheduled(number, 100_000 + i64::try_from(number % 100).unwrap());
        task.user_id = Some(user_id(number % 7));
        task
    });
    submit_all(&store, waiting.collect()).await;
    submit(&store, job(6_000)).await;
    let first = store.claim_tasks(claim(50_000, 10)).await.unwrap();
    assert_eq!(
        (numbers(&first.tasks), first.next_due),
        (vec![6_000], Some(moment(100_000)))
    );
    let mut taken = 0;
    loop {
        let claimed = store.claim_tasks(claim(100_049, 100)).await.unwrap();
        assert!(
            claimed
                .tasks
                .iter()
                .all(|held| held.task.standing.due_at <= moment(100_049))
        );
        taken += claimed.tasks.len();
        if !claimed.has_more {
            assert_eq!(claimed.next_due, Some(moment(100_050)));
            break;
        }
    }
    assert_eq!(taken, 2_500);
}

async fn of_much_that_becomes_due_at_once_the_urgent_goes_first(engine: impl Engine) {
    let store = engine.open().await;
    let low = (1..=900).map(|number| NewTask {
        priority: Priority::Low,
        ..scheduled(number, 2_000)
    });
    submit_all(&store, low.collect()).await;
    let urgent = NewTask {
        priority: Priority::Critical,
        ..scheduled(1_000, 2_500)
    };
    submit(&store, urgent).await;
    let waiting = store.claim_tasks(claim(1_999, 1)).await.unwrap();
    assert_eq!((waiting.tasks.len(), waiting.next_due), (0, Some(moment(2_000))));
    let first = store.claim_tasks(claim(3_000, 1)).await.unwrap();
    assert_eq!((numbers(&first.tasks), first.has_more), (vec![1_000], true));
}

async fn g07_a_clock_that_was_set_back_loses_nothing(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(5_000)).await;
    submit(&store, scheduled(4_000, 9_000)).await;
    // What was ready stays so: it has been due once.
    let early = store.claim_tasks(claim(100, 10)).await.unwrap();
    assert_eq!(
        (numbers(&early.tasks), early.next_due),
        (vec![5_000], Some(moment(9_000)))
    );
    let held = &early.tasks[0].task;
    assert_eq!(held.started_at, Some(moment(5_000)), "never before its time");
    assert_eq!(claimed_one(&store, 9_000).await.task.id, task_id(4_000));
}
