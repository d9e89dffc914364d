//! What people do with tasks.

mod answer;
mod change;
mod end;
mod list;
mod overview;

use std::{sync::Arc, time::Duration};

use model::{
    AttemptEnd, ClaimedTask, ErrorCode, Failure, NewTask, Patience, Priority, Standing, Store, Submitted,
    Task, TaskChange, TaskDescription, TaskStatus, TaskTitle,
};
use serde_json::{Value, json};

use super::user::at_once;
use crate::{
    engine::Engine,
    make::{
        claim, ending, job, job_after, job_of, moment, number_of, recurring, tags, task_id, to_do,
        unique_key, user_id,
    },
};

crate::on_every_engine![
    a_task_is_found_as_it_was_submitted,
    b01_a_task_is_there_for_its_owner_alone_unless_all_are_asked_for,
    c08_a_payload_comes_back_exactly,
    a_payload_too_deep_to_be_read_again_is_refused,
    a_submission_can_be_repeated,
    b01_anothers_id_is_not_taken_over,
    a_unique_key_holds_until_the_end_of_its_task,
    a_unique_key_is_its_owners_alone,
    of_many_submissions_with_one_unique_key_one_task_comes_to_be,
    many_tasks_are_submitted_all_or_none,
    tasks_submitted_together_know_those_before_them,
    what_a_task_depends_on_must_be_there_and_able_to_complete,
    what_is_completed_already_is_not_waited_for,
    a_task_named_twice_is_waited_for_once,
    many_submissions_at_once_are_all_kept,
];

pub(super) async fn submit(store: &Arc<dyn Store>, task: NewTask) -> Task {
    let submitted = store.submit_task(task).await.unwrap();
    assert!(submitted.is_new);
    submitted.task
}

pub(super) async fn submit_all(store: &Arc<dyn Store>, tasks: Vec<NewTask>) {
    for some in tasks.chunks(NewTask::MOST_AT_ONCE) {
        let submitted = store.submit_tasks(some.to_vec()).await.unwrap();
        assert!(submitted.iter().all(|submitted| submitted.is_new));
    }
}

pub(super) async fn found(store: &Arc<dyn Store>, number: u64) -> Task {
    store.find_task(task_id(number), None).await.unwrap().unwrap()
}

pub(super) async fn status_of(store: &Arc<dyn Store>, number: u64) -> TaskStatus {
    found(store, number).await.standing.status
}

/// Claims up to `limit` tasks for the first worker.
pub(super) async fn claimed(store: &Arc<dyn Store>, now: i64, limit: u16) -> Vec<ClaimedTask> {
    store.claim_tasks(claim(now, limit)).await.unwrap().tasks
}

/// Claims the one task that can be claimed.
pub(super) async fn claimed_one(store: &Arc<dyn Store>, now: i64) -> ClaimedTask {
    let mut tasks = claimed(store, now, 10).await;
    assert_eq!(tasks.len(), 1);
    tasks.remove(0)
}

pub(super) async fn end(
    store: &Arc<dyn Store>,
    claimed: &ClaimedTask,
    end: AttemptEnd,
    now: i64,
) -> model::Result<TaskStatus> {
    let ending = ending(claimed, end, now);
    store.finish_task(claimed.hold(), &ending).await
}

pub(super) fn numbers<'a>(tasks: impl IntoIterator<Item = &'a ClaimedTask>) -> Vec<u64> {
    tasks
        .into_iter()
        .map(|claimed| number_of(claimed.task.id))
        .collect()
}

pub(super) fn code_of<T: std::fmt::Debug>(result: model::Result<T>) -> ErrorCode {
    result.unwrap_err().code()
}

/// What a new task must be like.
fn fresh(task: &NewTask) -> Task {
    let due_at = task.scheduled_at.unwrap_or(task.created_at);
    let limits = (task.patience.max_retries, task.patience.max_stalls);
    let unmet = u32::try_from(task.depends_on.len()).unwrap();
    Task {
        standing: Standing::new(task.kind(), limits, unmet, due_at),
        id: task.id,
        user_id: task.user_id,
        title: task.title.clone(),
        description: task.description.clone(),
        priority: task.priority,
        tags: task.tags.clone(),
        job: task.job.clone(),
        timeout: task.patience.timeout,
        scheduled_at: task.scheduled_at,
        unique_key: task.unique_key.clone(),
        depends_on: task.depends_on.clone(),
        recurrence: task.recurrence.clone(),
        schedule_id: task.schedule_id,
        inquiry: None,
        result: None,
        error: None,
        progress: None,
        started_at: None,
        finished_at: None,
        created_at: task.created_at,
        updated_at: task.created_at,
    }
}

/// A job of which everything is set.
fn full_job(number: u64) -> NewTask {
    NewTask {
        title: TaskTitle::parse("'Ünï' $title; -- \u{1F680} {\"$where\": 1}").unwrap(),
        description: Some(TaskDescription::parse("two\nlines\tand <b>more</b>").unwrap()),
        priority: Priority::Critical,
        tags: tags(&["b", "a", "\"quoted\"", "[1]", "ä,%_"]),
        patience: Patience {
            max_retries: 100,
            max_stalls: 0,
            timeout: Some(Duration::from_millis(86_400_000)),
        },
        scheduled_at: Some(moment(5_000)),
        unique_key: unique_key("k'1\""),
        schedule_id: Some(task_id(9)),
        ..job_after(&[1, 2], number)
    }
}

async fn a_task_is_found_as_it_was_submitted(engine: impl Engine) {
    let store = engine.open().await;
    let mut operators = job(2);
    operators.user_id = None;
    operators.patience.max_retries = 0;
    let mut same_owner = full_job(4);
    same_owner.depends_on.truncate(1);
    let tasks = [to_do(1), operators, recurring(3, 700), same_owner, job(5)];
    for task in &tasks {
        assert_eq!(submit(&store, task.clone()).await, fresh(task));
    }
    for task in &tasks {
        assert_eq!(found(&store, number_of(task.id)).await, fresh(task));
    }
    store.close().await.unwrap();
    drop(store);
    let store = engine.open().await;
    for task in &tasks {
        assert_eq!(found(&store, number_of(task.id)).await, fresh(task));
    }
}

async fn b01_a_task_is_there_for_its_owner_alone_unless_all_are_asked_for(engine: impl Engine) {
    let store = engine.open().await;
    let mut operators = job(2);
    operators.user_id = None;
    let before = [submit(&store, job(1)).await, submit(&store, operators).await];
    for id in before.iter().map(|task| task.id) {
        let foreign = Some(user_id(2));
        let change = TaskChange {
            title: Some(TaskTitle::parse("mine").unwrap()),
            ..TaskChange::default()
        };
        assert!(store.find_task(id, foreign).await.unwrap().is_none());
        let updated = store.update_task(id, foreign, change, moment(9)).await;
        assert!(updated.unwrap().is_none());
        assert!(store.delete_task(id, foreign).await.unwrap().is_none());
        let cancelled = store.cancel_task(id, foreign, moment(9)).await;
        assert!(cancelled.unwrap().is_none());
        let retried = store.retry_task(id, foreign, moment(9)).await;
        assert!(
            retried.unwrap().is_none(),
            "a conflict would tell that it is there"
        );
        let hastened = store.hasten_task(id, foreign, moment(9)).await;
        assert!(hastened.unwrap().is_none());
    }
    let own = store.find_task(task_id(1), Some(user_id(1))).await.unwrap();
    assert_eq!(own.as_ref(), Some(&before[0]));
    assert_eq!(
        [found(&store, 1).await, found(&store, 2).await],
        before,
        "nothing was changed"
    );
    let absent = task_id(404);
    assert!(store.find_task(absent, None).await.unwrap().is_none());
    assert!(store.delete_task(absent, None).await.unwrap().is_none());
}

async fn c08_a_payload_comes_back_exactly(engine: impl Engine) {
    let store = engine.open().await;
    let mut payload = json!({
        "z": {"$fromTask": "x", "a.b": [[], {}, ""]}, "a": null, "__proto__": 1, "": {"": ""},
        "text": "\u{0}\u{7f}\u{202e}\u{1F469}\u{200D}\u{1F680} e\u{301} \\ \" '",
        "numbers": [0, -0.0, 0.1, 1e-300, 1.797_693_134_862_315_7e308, u64::MAX, i64::MIN, 5e-324],
    });
    for number in 0..1_000 {
        payload[format!("k{}.{number}$", number % 7)] = Value::from(number);
    }
    let mut task = job(1);
    task.job.as_mut().unwrap().payload = payload.clone();
    submit(&store, task).await;
    let kept = found(&store, 1).await.job.unwrap().payload;
    assert!(
        serde_json::to_string(&kept).unwrap() == serde_json::to_string(&payload).unwrap(),
        "the order of keys counts too"
    );
}

async fn a_payload_too_deep_to_be_read_again_is_refused(engine: impl Engine) {
    let store = engine.open().await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let deep = |number, levels| {
        let mut task = job(number);
        task.job.as_mut().unwrap().payload = nested(levels);
        task
    };
    submit(&store, deep(1, 127)).await;
    assert_eq!(found(&store, 1).await.job.unwrap().payload, nested(127));
    let error = store.submit_task(deep(2, 128)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ValidationFailed);
    assert_eq!(error.details()[0].path, "payload");
    let error = store.submit_tasks(vec![job(3), deep(4, 128)]).await.unwrap_err();
    assert_eq!(error.details()[0].path, "1.payload");
    assert!(store.find_task(task_id(3), None).await.unwrap().is_none());
}

async fn a_submission_can_be_repeated(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = vec![job(1), keyed(2, "key"), job_after(&[1], 3), recurring(4, 900)];
    for _ in 0..2 {
        for task in &tasks {
            assert_eq!(submit(&store, task.clone()).await, fresh(task));
        }
        submit_all(&store, tasks.clone()).await;
    }
    let held = claimed(&store, 10, 10).await;
    assert_eq!(numbers(&held), [1, 2], "each is there once");
    for held in &held {
        end(&store, held, AttemptEnd::FailedForGood, 20).await.unwrap();
    }
    for task in &tasks {
        let again = store.submit_task(task.clone()).await.unwrap();
        let now = found(&store, number_of(task.id)).await;
        assert_eq!(
            (again.task, again.is_new),
            (now, true),
            "it is given as it is now"
        );
    }
    assert!(claimed(&store, 30, 10).await.is_empty());
    let overview = store.task_overview(None, moment(0), 10).await.unwrap();
    assert_eq!(overview.counts.iter().map(|entry| entry.count).sum::<u64>(), 4);
}

async fn b01_anothers_id_is_not_taken_over(engine: impl Engine) {
    let store = engine.open().await;
    let before = submit(&store, job(1)).await;
    for owner in [Some(user_id(2)), None] {
        let task = NewTask {
            user_id: owner,
            ..job(1)
        };
        assert_eq!(code_of(store.submit_task(task).await), ErrorCode::Conflict);
    }
    assert_eq!(found(&store, 1).await, before);
    assert_eq!(numbers(&claimed(&store, 10, 10).await), [1]);
}

pub(super) fn keyed(number: u64, key: &str) -> NewTask {
    NewTask {
        unique_key: unique_key(key),
        ..job(number)
    }
}

async fn a_unique_key_holds_until_the_end_of_its_task(engine: impl Engine) {
    let store = engine.open().await;
    let first = submit(&store, keyed(1, "nightly")).await;
    let Submitted { task, is_new } = store.submit_task(keyed(2, "nightly")).await.unwrap();
    assert!(!is_new, "one is pending");
    assert_eq!(task, first);
    submit(&store, keyed(3, "Nightly")).await;
    let held = claimed(&store, 10, 1).await.remove(0);
    assert_eq!(held.task.id, first.id);
    let Submitted { task, is_new } = store.submit_task(keyed(4, "nightly")).await.unwrap();
    assert!(!is_new, "one is in progress");
    assert_eq!(task.id, first.id);
    end(&store, &held, AttemptEnd::Succeeded, 20).await.unwrap();
    submit(&store, keyed(5, "nightly")).await;
    store.cancel_task(task_id(5), None, moment(30)).await.unwrap();
    submit(&store, keyed(6, "nightly")).await;
    store.delete_task(task_id(6), None).await.unwrap();
    submit(&store, keyed(7, "nightly")).await;
    for number in [2, 4] {
        assert!(store.find_task(task_id(number), None).await.unwrap().is_none());
    }
}

async fn a_unique_key_is_its_owners_alone(engine: impl Engine) {
    let store = engine.open().await;
    for (number, owner) in [(1, Some(1)), (2, Some(2)), (3, None)] {
        let mut task = keyed(number, "key");
        task.user_id = owner.map(user_id);
        submit(&store, task.clone()).await;
        task.id = task_id(number + 10);
        let again = store.submit_task(task).await.unwrap();
        assert_eq!((again.task.id, again.is_new), (task_id(number), false));
    }
}

async fn of_many_submissions_with_one_unique_key_one_task_comes_to_be(engine: impl Engine) {
    let store = engine.open().await;
    let works = (1..=32).map(|number| {
        let store = Arc::clone(&store);
        async move { store.submit_task(keyed(number, "key")).await.unwrap() }
    });
    let results = at_once(works).await;
    assert_eq!(results.iter().filter(|submitted| submitted.is_new).count(), 1);
    let winner = results.iter().find(|submitted| submitted.is_new).unwrap().task.id;
    assert!(results.iter().all(|submitted| submitted.task.id == winner));
    assert_eq!(claimed(&store, 100, 100).await.len(), 1);
}

async fn many_tasks_are_submitted_all_or_none(engine: impl Engine) {
    let store = engine.open().await;
    let mut wrong = job_after(&[404], 3);
    wrong.depends_on.insert(0, task_id(1));
    let error = store
        .submit_tasks(vec![job(1), to_do(2), wrong])
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ValidationFailed);
    assert_eq!(error.details()[0].path, "2.dependsOn.1");
    for number in 1..=3 {
        assert!(store.find_task(task_id(number), None).await.unwrap().is_none());
    }
    let overview = store.task_overview(None, moment(0), 10).await.unwrap();
    assert!(overview.counts.is_empty(), "what was taken back isn't counted");
    let depth = store.queue_depth().await.unwrap();
    assert_eq!((depth.ready, depth.blocked), ([0; 4], 0));
    assert!(claimed(&store, 100, 10).await.is_empty());
    let tasks: Vec<_> = (1..=1_000).map(job).collect();
    let submitted = store.submit_tasks(tasks.clone()).await.unwrap();
    assert!(submitted.iter().all(|submitted| submitted.is_new));
    let kept: Vec<Task> = submitted.into_iter().map(|submitted| submitted.task).collect();
    assert_eq!(kept, tasks.iter().map(fresh).collect::<Vec<_>>());
    assert!(store.submit_tasks(Vec::new()).await.unwrap().is_empty());
}

async fn tasks_submitted_together_know_those_before_them(engine: impl Engine) {
    let store = engine.open().await;
    let tasks = vec![
        keyed(1, "key"),
        keyed(2, "key"),
        job_after(&[1], 3),
        job_after(&[1, 3], 4),
    ];
    let submitted = store.submit_tasks(tasks).await.unwrap();
    let given: Vec<_> = submitted
        .iter()
        .map(|submitted| (number_of(submitted.task.id), submitted.is_new))
        .collect();
    assert_eq!(given, [(1, true), (1, false), (3, true), (4, true)]);
    assert_eq!(numbers(&claimed(&store, 100, 10).await), [1]);
    let error = store
        .submit_tasks(vec![job_after(&[6], 5), job(6)])
        .await
        .unwrap_err();
    assert_eq!(error.details()[0].path, "0.dependsOn.0", "it comes after");
}

async fn what_a_task_depends_on_must_be_there_and_able_to_complete(engine: impl Engine) {
    let store = engine.open().await;
    let mut operators = job(2);
    operators.user_id = None;
    submit(&store, operators).await;
    for task in [job(1), job_of(2, 3), recurring(4, 900), to_do(5), to_do(6)] {
        submit(&store, task).await;
    }
    let failed = TaskChange {
        status: Some(TaskStatus::Failed),
        ..TaskChange::default()
    };
    store
        .update_task(task_id(5), None, failed, moment(9))
        .await
        .unwrap();
    store.cancel_task(task_id(6), None, moment(9)).await.unwrap();
    let refused = [
        (404, "absent"),
        (2, "the operator's"),
        (3, "another's"),
        (4, "recurring"),
        (5, "failed"),
        (6, "cancelled"),
        (10, "itself"),
    ];
    for (number, why) in refused {
        let error = store.submit_task(job_after(&[1, number], 10)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ValidationFailed, "{why}");
        assert_eq!(error.details()[0].path, "dependsOn.1", "{why}");
    }
    assert!(store.find_task(task_id(10), None).await.unwrap().is_none());
}

async fn what_is_completed_already_is_not_waited_for(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let held = claimed_one(&store, 10).await;
    end(&store, &held, AttemptEnd::Succeeded, 20).await.unwrap();
    let task = submit(&store, job_after(&[1], 30)).await;
    assert_eq!((task.standing.unmet, task.depends_on), (0, vec![task_id(1)]));
    let held = claimed_one(&store, 40).await;
    assert_eq!((held.task.id, held.ready_at), (task_id(30), moment(30)));
    assert_eq!(
        held.task.error.map(|Failure { code, .. }| code),
        None,
        "it begins without an error"
    );
}

async fn a_task_named_twice_is_waited_for_once(engine: impl Engine) {
    let store = engine.open().await;
    submit(&store, job(1)).await;
    let task = submit(&store, job_after(&[1, 1], 2)).await;
    assert_eq!((task.standing.unmet, task.depends_on), (1, vec![task_id(1)]));
    let held = claimed_one(&store, 10).await;
    end(&store, &held, AttemptEnd::Succeeded, 20).await.unwrap();
    store.settle_dependents(moment(30), 10).await.unwrap();
    assert_eq!(claimed_one(&store, 30).await.task.id, task_id(2));
}

async fn many_submissions_at_once_are_all_kept(engine: impl Engine) {
    const CALLERS: u64 = 32;
    const EACH: u64 = 20;
    let store = engine.open().await;
    let works = (0..CALLERS).map(|caller| {
        let store = Arc::clone(&store);
        async move {
            for number in 1..=EACH {
                let task = job_of(caller % 3, caller * EACH + number);
                let kept = submit(&store, task.clone()).await;
                let found = store.find_task(task.id, None).await.unwrap();
                assert_eq!(found, Some(kept), "what was acknowledged is there");
            }
        }
    });
    at_once(works).await;
    let depth = store.queue_depth().await.unwrap();
    assert_eq!(depth.ready, [0, CALLERS * EACH, 0, 0]);
    assert_eq!(claimed(&store, 1_000, 1_000).await.len(), 640);
}
