//! Which task starts next.

use std::sync::Arc;

use model::{AttemptEnd, NewTask, Priority, Store, TaskChange};

use super::{claimed, end, numbers, submit, submit_all};
use crate::{
    engine::Engine,
    make::{count, job, job_at, job_of, moment, number_of, plugin, task_id},
};

crate::on_every_engine![
    the_more_urgent_start_first,
    what_became_ready_first_starts_first,
    what_is_due_goes_before_what_becomes_ready_after_it,
    what_is_due_and_changed_has_its_place_once,
    owners_take_turns,
    d06_one_task_waits_for_one_of_each_other_owner_however_many_there_are,
    who_comes_late_takes_turns_and_does_not_catch_up,
    of_four_starts_one_is_of_the_longest_ready_whatever_its_priority,
    nothing_ages_before_thirty_seconds,
    the_least_urgent_start_under_a_stream_of_urgent_ones,
    the_order_is_the_same_after_opening_anew,
    who_comes_after_opening_anew_has_the_same_turn,
];

/// The numbers of the tasks in the order in which single claims give them.
async fn one_by_one(store: &Arc<dyn Store>, now: i64, times: usize) -> Vec<u64> {
    let mut order = Vec::new();
    for _ in 0..times {
        order.extend(numbers(&claimed(store, now, 1).await));
    }
    order
}

async fn the_more_urgent_start_first(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=8 {
        let priority = Priority::ALL[usize::try_from(number % 4).unwrap()];
        submit(&store, job_at(priority, number)).await;
    }
    let mut order = one_by_one(&store, 100, 3).await;
    order.extend(numbers(&claimed(&store, 100, 10).await));
    assert_eq!(order, [3, 7, 2, 6, 1, 5, 4, 8]);
}

async fn what_became_ready_first_starts_first(engine: impl Engine) {
    let store = engine.open().await;
    let mut later = job(1);
    later.scheduled_at = Some(moment(50));
    submit(&store, later).await;
    for number in [9, 5, 7] {
        // Ids do not say when a task became ready.
        submit(&store, job(number)).await;
    }
    assert_eq!(numbers(&claimed(&store, 100, 10).await), [9, 5, 7, 1]);
}

async fn what_is_due_goes_before_what_becomes_ready_after_it(engine: impl Engine) {
    let store = engine.open().await;
    let at = |number, millis| NewTask {
        scheduled_at: Some(moment(millis)),
        ..job(number)
    };
    submit(&store, job(9)).await;
    let retried = claimed(&store, 10, 1).await.remove(0);
    submit_all(&store, vec![at(1, 100), at(2, 60), at(3, 900), at(4, 300)]).await;
    submit(&store, job(200)).await;
    let retry_at = moment(250);
    end(&store, &retried, AttemptEnd::Failed { retry_at }, 240)
        .await
        .unwrap();
    submit_all(&store, vec![job(400), job(401)]).await;
    assert_eq!(one_by_one(&store, 500, 9).await, [2, 1, 200, 9, 4, 400, 401]);
    assert_eq!(one_by_one(&store, 900, 2).await, [3]);
}

async fn what_is_due_and_changed_has_its_place_once(engine: impl Engine) {
    let store = engine.open().await;
    for number in [1, 2] {
        let later = NewTask {
            scheduled_at: Some(moment(100)),
            ..job(number)
        };
        submit(&store, later).await;
    }
    let urgent = TaskChange {
        priority: Some(Priority::High),
        ..TaskChange::default()
    };
    store
        .update_task(task_id(2), None, urgent, moment(200))
        .await
        .unwrap();
    store.hasten_task(task_id(1), None, moment(200)).await.unwrap();
    let depth = store.queue_depth().await.unwrap();
    assert_eq!(depth.ready.iter().sum::<u64>() + depth.scheduled, 2);
    assert_eq!(one_by_one(&store, 300, 3).await, [2, 1]);
}

async fn owners_take_turns(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = (1..=30).map(|number| job_of((number - 1) / 10, number));
    submit_all(&store, tasks.collect()).await;
    let mut order = one_by_one(&store, 100, 12).await;
    order.extend(numbers(&claimed(&store, 100, 30).await));
    for turn in order.chunks(3) {
        let mut owners: Vec<u64> = turn.iter().map(|number| (number - 1) / 10).collect();
        owners.sort_unstable();
        assert_eq!(owners, [0, 1, 2], "{order:?}");
    }
    for owner in 0..3 {
        let own: Vec<u64> = order
            .iter()
            .copied()
            .filter(|number| (number - 1) / 10 == owner)
            .collect();
        assert!(
            own.is_sorted(),
            "each owner's in the order of submission: {own:?}"
        );
    }
}

async fn d06_one_task_waits_for_one_of_each_other_owner_however_many_there_are(engine: impl Engine) {
    let store = engine.open().await;
    submit_all(&store, (1..=10_000).map(job).collect()).await;
    for (number, owner) in [(20_001, 2), (20_002, 3)] {
        let mut task = job_of(owner, number);
        if owner == 3 {
            task.job.as_mut().unwrap().plugin = plugin("other");
        }
        submit(&store, task).await;
    }
    let first = one_by_one(&store, 20_100, 3).await;
    assert!(first.contains(&20_001) && first.contains(&20_002), "{first:?}");
    assert_eq!(claimed(&store, 20_100, 500).await.len(), 500);
    submit(&store, job_of(4, 20_003)).await;
    let next = one_by_one(&store, 20_200, 2).await;
    assert!(next.contains(&20_003), "{next:?}");
}

async fn who_comes_late_takes_turns_and_does_not_catch_up(engine: impl Engine) {
    let store = engine.open().await;
    submit_all(&store, (1..=100).map(job).collect()).await;
    assert_eq!(claimed(&store, 200, 40).await.len(), 40);
    submit_all(&store, (201..=240).map(|number| job_of(2, number)).collect()).await;
    let order = one_by_one(&store, 300, 40).await;
    for (index, pair) in order.chunks(2).enumerate() {
        let late = pair.iter().filter(|number| **number > 200).count();
        assert_eq!(late, 1, "pair {index} of {order:?}");
    }
}

async fn of_four_starts_one_is_of_the_longest_ready_whatever_its_priority(engine: impl Engine) {
    for portion in [1, 4] {
        let store = engine.open().await;
        let base = 1_000 * u64::from(portion);
        for number in 1..=5 {
            submit(&store, job_at(Priority::Low, base + number)).await;
        }
        for number in 11..=40 {
            submit(&store, job_at(Priority::Critical, base + number)).await;
        }
        let mut order = Vec::new();
        for _ in 0..16 / portion {
            let some = claimed(&store, count(base) + 40_000, portion).await;
            order.extend(some.iter().map(|held| number_of(held.task.id) - base));
        }
        let mut old = Vec::new();
        for four in order.chunks(4) {
            let low: Vec<u64> = four.iter().copied().filter(|number| *number <= 5).collect();
            assert_eq!(low.len(), 1, "{order:?}");
            old.extend(low);
        }
        assert_eq!(old, [1, 2, 3, 4], "the longest ready first");
        while !claimed(&store, count(base) + 40_000, 100).await.is_empty() {}
        store.close().await.unwrap();
    }
}

async fn nothing_ages_before_thirty_seconds(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job_at(Priority::Low, 1)).await;
    for number in 2..=40 {
        submit(&store, job_at(Priority::Critical, number)).await;
    }
    let mut order = one_by_one(&store, 30_000, 8).await;
    order.extend(numbers(&claimed(&store, 30_000, 12).await));
    assert!(!order.contains(&1), "29.999 s are not enough: {order:?}");
    assert!(one_by_one(&store, 30_001, 4).await.contains(&1));
}

async fn the_least_urgent_start_under_a_stream_of_urgent_ones(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=10 {
        submit(&store, job_at(Priority::Low, number)).await;
    }
    let mut begun = Vec::new();
    for second in 1..=100 {
        let now = 1_000 * second;
        for part in 0..2 {
            submit(&store, job_at(Priority::Critical, now + part)).await;
        }
        // One worker that does one task a second: half of what comes in.
        let held = claimed(&store, count(now) + 10, 1).await.remove(0);
        end(&store, &held, AttemptEnd::Succeeded, count(now) + 900)
            .await
            .unwrap();
        if number_of(held.task.id) <= 10 {
            begun.push(second);
        }
    }
    assert_eq!(begun.len(), 10, "all of them: {begun:?}");
    assert!(begun[0] >= 30 && begun[9] <= 80, "{begun:?}");
}

/// A mix of owners and priorities, of which nothing is ready long.
fn mixed() -> Vec<NewTask> {
    (1..=90)
        .map(|number| NewTask {
            priority: Priority::ALL[usize::try_from(number % 7 % 4).unwrap()],
            ..job_of(number % 10 % 4, number)
        })
        .collect()
}

async fn drained(engine: &impl Engine, opens_anew: bool) -> Vec<u64> {
    let mut store = engine.open().await;
    submit_all(&store, mixed()).await;
    let mut order = numbers(&claimed(&store, 100, 30).await);
    if opens_anew {
        store.close().await.unwrap();
        drop(store);
        store = engine.open().await;
    }
    order.extend(one_by_one(&store, 200, 60).await);
    store.close().await.unwrap();
    order
}

async fn the_order_is_the_same_after_opening_anew<E: Engine>(engine: E) {
    let order = drained(&engine, true).await;
    assert_eq!(order.len(), 90);
    assert_eq!(order, drained(&E::default(), false).await);
}

async fn who_comes_after_opening_anew_has_the_same_turn(engine: impl Engine) {
    let store = engine.open().await;
    submit_all(&store, (1..=100).map(job).collect()).await;
    submit_all(&store, (101..=130).map(|number| job_of(2, number)).collect()).await;
    claimed(&store, 200, 40).await;
    store.close().await.unwrap();
    drop(store);
    let store = engine.open().await;
    submit_all(&store, (500..520).map(|number| job_of(3, number)).collect()).await;
    submit(&store, job_of(2, 601)).await;
    let next = one_by_one(&store, 700, 12).await;
    assert!(
        next[..3].contains(&500),
        "one of each other owner, at most, is before it: {next:?}"
    );
    let late = next.iter().filter(|number| **number >= 500).count();
    assert!((3..=5).contains(&late), "and it doesn't catch up: {next:?}");
    let rest = one_by_one(&store, 700, 120).await;
    let place = |wanted: u64| rest.iter().position(|number| *number == wanted).unwrap();
    assert!(place(601) > place(130), "behind its owner's own");
}
