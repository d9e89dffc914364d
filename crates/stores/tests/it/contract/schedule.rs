//! Recurring tasks.

use std::sync::Arc;

use model::{
    CatchUp, ErrorCode, NewTask, Recurrence, RecurrenceChange, Store, Task, TaskFilter, TaskId, TaskSort,
    Timestamp,
};

use super::{
    task::{claimed_one, code_of, found, keyed, submit},
    user::{at_once, both_at_once},
};
use crate::{
    engine::Engine,
    make::{job, moment, number_of, recurring, task_id, to_do, user_id},
    walk::{BOTH, first_page},
};

crate::on_every_engine![
    due_schedules_are_given_the_earliest_first,
    a_tick_submits_its_job_and_sets_the_next,
    a_tick_without_a_job_sets_the_next,
    i10_of_many_that_fire_one_tick_one_does,
    a_tick_that_is_not_the_next_one_does_nothing,
    of_a_tick_and_a_cancellation_at_once_nothing_is_half_done,
    a_job_whose_unique_key_is_taken_is_left_out,
    a_schedule_changes_as_named,
    a_paused_schedule_does_not_fire,
    of_two_changes_of_one_schedule_at_once_one_is_done,
    b01_a_schedule_is_changed_by_its_owner_alone,
    what_does_not_recur_has_no_schedule_to_change,
];

async fn due(store: &Arc<dyn Store>, now: i64, limit: u16) -> (Vec<u64>, Option<Timestamp>) {
    let (tasks, next) = store.due_schedules(moment(now), limit).await.unwrap();
    (tasks.iter().map(|task| number_of(task.id)).collect(), next)
}

fn of_schedule(schedule: u64, number: u64) -> NewTask {
    NewTask {
        schedule_id: Some(task_id(schedule)),
        ..job(number)
    }
}

fn recurrence(task: &Task) -> Recurrence {
    task.recurrence.clone().unwrap()
}

async fn due_schedules_are_given_the_earliest_first(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(due(&store, 900, 10).await, (vec![], None));
    for (number, at) in [(1, 300), (2, 100), (3, 200), (4, 400)] {
        submit(&store, recurring(number, at)).await;
    }
    let (tasks, _) = store.due_schedules(moment(100), 10).await.unwrap();
    assert_eq!(tasks, [found(&store, 2).await]);
    assert_eq!(due(&store, 99, 10).await, (vec![], Some(moment(100))));
    assert_eq!(due(&store, 300, 10).await, (vec![2, 3, 1], Some(moment(400))));
    assert_eq!(due(&store, 300, 2).await, (vec![2, 3], Some(moment(300))));
    assert_eq!(due(&store, 900, 10).await, (vec![2, 3, 1, 4], None));
}

async fn a_tick_submits_its_job_and_sets_the_next(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, recurring(1, 100)).await;
    let job = of_schedule(1, 150);
    let next = Some(moment(200));
    let fired = store
        .fire_schedule(task_id(1), moment(100), next, Some(job.clone()))
        .await;
    assert!(fired.unwrap());
    let task = found(&store, 1).await;
    let expected = Recurrence {
        next_at: next,
        last_at: Some(moment(100)),
        ..recurring(1, 100).recurrence.unwrap()
    };
    assert_eq!(recurrence(&task), expected);
    let held = claimed_one(&store, 160).await;
    assert_eq!((held.task.id, held.task.schedule_id), (job.id, Some(task_id(1))));
    assert_eq!(due(&store, 199, 10).await, (vec![], next));
    let last = store
        .fire_schedule(task_id(1), moment(200), None, Some(of_schedule(1, 250)))
        .await;
    assert!(last.unwrap());
    assert_eq!(due(&store, 99_000, 10).await, (vec![], None));
    store.close().await.unwrap();
    drop(store);
    let store = engine.open().await;
    let kept = recurrence(&found(&store, 1).await);
    assert_eq!((kept.next_at, kept.last_at), (None, Some(moment(200))));
}

async fn a_tick_without_a_job_sets_the_next(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, recurring(1, 100)).await;
    let next = Some(moment(200));
    let fired = store.fire_schedule(task_id(1), moment(100), next, None).await;
    assert!(fired.unwrap());
    let kept = recurrence(&found(&store, 1).await);
    assert_eq!((kept.next_at, kept.last_at), (next, None), "no job came of it");
    assert!(
        store
            .claim_tasks(crate::make::claim(900, 10))
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
}

async fn jobs_of(store: &Arc<dyn Store>, schedule: u64) -> Vec<TaskId> {
    let filter = TaskFilter {
        schedule_id: Some(task_id(schedule)),
        ..TaskFilter::default()
    };
    let page = store
        .list_tasks(&filter, &first_page(TaskSort::CreatedAt, BOTH[0], 100))
        .await
        .unwrap();
    page.items.iter().map(|task| task.id).collect()
}

async fn i10_of_many_that_fire_one_tick_one_does(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, recurring(1, 100)).await;
    for tick in 1..=10 {
        let works = (0..16).map(|process| {
            let store = Arc::clone(&store);
            async move {
                let job = of_schedule(1, u64::try_from(tick).unwrap() * 1_000 + process);
                let next = Some(moment(100 * (tick + 1)));
                store
                    .fire_schedule(task_id(1), moment(100 * tick), next, Some(job))
                    .await
                    .unwrap()
            }
        });
        let fired = at_once(works).await;
        assert_eq!(fired.iter().filter(|is_done| **is_done).count(), 1);
    }
    assert_eq!(jobs_of(&store, 1).await.len(), 10, "one job for each tick");
}

async fn a_tick_that_is_not_the_next_one_does_nothing(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, recurring(1, 100)).await;
    submit(&store, job(2)).await;
    let before = found(&store, 1).await;
    for (number, tick) in [(1, 99), (1, 101), (404, 100), (2, 100)] {
        let fired = store
            .fire_schedule(
                task_id(number),
                moment(tick),
                Some(moment(900)),
                Some(of_schedule(1, 50)),
            )
            .await;
        assert!(!fired.unwrap());
    }
    assert_eq!(found(&store, 1).await, before);
    assert!(jobs_of(&store, 1).await.is_empty());
    store.delete_task(task_id(1), None).await.unwrap();
    let fired = store.fire_schedule(task_id(1), moment(100), None, None).await;
    assert!(!fired.unwrap(), "it was deleted");
}

async fn of_a_tick_and_a_cancellation_at_once_nothing_is_half_done(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=30 {
        submit(&store, recurring(number, 100)).await;
        let firing = {
            let store = Arc::clone(&store);
            let job = of_schedule(number, 1_000 + number);
            let next = Some(moment(200));
            async move {
                store
                    .fire_schedule(task_id(number), moment(100), next, Some(job))
                    .await
            }
        };
        let cancelling = store.cancel_task(task_id(number), None, moment(150));
        let (fired, cancelled) = both_at_once(firing, cancelling).await;
        assert!(cancelled.unwrap().is_some());
        let has_fired = fired.unwrap();
        assert_eq!(jobs_of(&store, number).await.len(), usize::from(has_fired));
        let kept = recurrence(&found(&store, number).await);
        assert_eq!((kept.next_at, kept.last_at.is_some()), (None, has_fired));
    }
    assert_eq!(due(&store, 900, 10).await, (vec![], None));
}

async fn a_job_whose_unique_key_is_taken_is_left_out(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, recurring(1, 100)).await;
    submit(&store, keyed(2, "key")).await;
    let job = NewTask {
        schedule_id: Some(task_id(1)),
        ..keyed(3, "key")
    };
    let fired = store
        .fire_schedule(task_id(1), moment(100), Some(moment(200)), Some(job))
        .await;
    assert!(fired.unwrap(), "the tick counts all the same");
    assert!(jobs_of(&store, 1).await.is_empty());
    assert_eq!(due(&store, 150, 10).await, (vec![], Some(moment(200))));
}

async fn change(
    store: &Arc<dyn Store>,
    number: u64,
    seen: &Recurrence,
    change: RecurrenceChange,
) -> model::Result<Task> {
    let changed = store
        .change_recurrence(task_id(number), Some(user_id(1)), seen, change, moment(50))
        .await;
    changed.map(Option::unwrap)
}

async fn a_schedule_changes_as_named(engine: impl Engine) {
    let store = engine.open().await;
    let before = submit(&store, recurring(1, 100)).await;
    let named = RecurrenceChange {
        cron: Some("0 0 1 * *".into()),
        timezone: Some("America/New_York".into()),
        catch_up: Some(CatchUp::Skip),
        is_paused: None,
        next_at: Some(moment(700)),
    };
    let expected = Recurrence {
        cron: "0 0 1 * *".into(),
        timezone: "America/New_York".into(),
        catch_up: CatchUp::Skip,
        is_paused: false,
        next_at: Some(moment(700)),
        last_at: None,
    };
    let after = change(&store, 1, &recurrence(&before), named).await.unwrap();
    assert_eq!(
        (recurrence(&after), after.updated_at),
        (expected.clone(), moment(50))
    );
    assert_eq!(found(&store, 1).await, after);
    let nothing = RecurrenceChange::default();
    let after = change(&store, 1, &expected, nothing).await.unwrap();
    let without = Recurrence {
        next_at: None,
        ..expected
    };
    assert_eq!(recurrence(&after), without, "the next tick is set whatever it is");
    assert_eq!(due(&store, 900, 10).await, (vec![], None));
}

fn pause(is_paused: bool, next_at: Option<i64>) -> RecurrenceChange {
    RecurrenceChange {
        is_paused: Some(is_paused),
        next_at: next_at.map(moment),
        ..RecurrenceChange::default()
    }
}

async fn a_paused_schedule_does_not_fire(engine: impl Engine) {
    let store = engine.open().await;
    let before = submit(&store, recurring(1, 100)).await;
    let paused = change(&store, 1, &recurrence(&before), pause(true, None))
        .await
        .unwrap();
    assert!(recurrence(&paused).is_paused);
    assert_eq!(due(&store, 900, 10).await, (vec![], None));
    let fired = store
        .fire_schedule(
            task_id(1),
            moment(100),
            Some(moment(200)),
            Some(of_schedule(1, 110)),
        )
        .await;
    assert!(!fired.unwrap());
    let paused = change(&store, 1, &recurrence(&paused), pause(true, Some(200)))
        .await
        .unwrap();
    assert_eq!(
        due(&store, 900, 10).await,
        (vec![], None),
        "whatever its next tick is"
    );
    let fired = store.fire_schedule(task_id(1), moment(200), None, None).await;
    assert!(!fired.unwrap());
    let resumed = change(&store, 1, &recurrence(&paused), pause(false, Some(300)))
        .await
        .unwrap();
    assert!(!recurrence(&resumed).is_paused);
    assert_eq!(due(&store, 300, 10).await, (vec![1], None));
}

async fn of_two_changes_of_one_schedule_at_once_one_is_done(engine: impl Engine) {
    let store = engine.open().await;
    for number in 1..=20 {
        let seen = recurrence(&submit(&store, recurring(number, 100)).await);
        let works = ["0 1 * * *", "0 2 * * *"].map(|cron| {
            let (store, seen) = (Arc::clone(&store), seen.clone());
            async move {
                let named = RecurrenceChange {
                    cron: Some(cron.into()),
                    next_at: Some(moment(900)),
                    ..RecurrenceChange::default()
                };
                change(&store, number, &seen, named).await
            }
        });
        let results = at_once(works).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let refused = results.into_iter().find(Result::is_err).unwrap();
        assert_eq!(code_of(refused), ErrorCode::Conflict);
    }
    let seen = recurrence(&submit(&store, recurring(30, 100)).await);
    store
        .fire_schedule(task_id(30), moment(100), Some(moment(200)), None)
        .await
        .unwrap();
    let late = change(&store, 30, &seen, pause(true, None)).await;
    assert_eq!(code_of(late), ErrorCode::Conflict, "or a tick could count twice");
}

async fn b01_a_schedule_is_changed_by_its_owner_alone(engine: impl Engine) {
    let store = engine.open().await;
    let before = submit(&store, recurring(1, 100)).await;
    let seen = recurrence(&before);
    let of = async |owner, number| {
        store
            .change_recurrence(task_id(number), owner, &seen, pause(true, None), moment(50))
            .await
            .unwrap()
    };
    assert!(of(Some(user_id(2)), 1).await.is_none());
    assert!(of(None, 404).await.is_none());
    assert_eq!(found(&store, 1).await, before);
    assert!(of(None, 1).await.is_some());
}

async fn what_does_not_recur_has_no_schedule_to_change(engine: impl Engine) {
    let store = engine.open().await;
    for task in [job(1), to_do(2), recurring(3, 100)] {
        submit(&store, task).await;
    }
    store.cancel_task(task_id(3), None, moment(10)).await.unwrap();
    let seen = recurring(3, 100).recurrence.unwrap();
    for number in 1..=3 {
        let refused = change(&store, number, &seen, pause(true, None)).await;
        assert_eq!(code_of(refused), ErrorCode::Conflict);
    }
}
