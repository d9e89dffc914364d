//! The checker finds what it is there to find.

use std::collections::BTreeMap;

use model::{
    ActionName, Answers, Inquiry, Job, Lease, PluginName, Priority, QuestionKind, Questions, Standing, Tags,
    Task, TaskId, TaskKind, TaskStatus, TaskTitle, Timestamp, UniqueKey, WorkerId,
};
use serde_json::{Map, json};
use uuid::Uuid;

use super::checker::Checker;
use crate::faulty::Method;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn id(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

/// A job that is due at 100.
fn job(number: u128) -> Task {
    Task {
        id: id(number),
        user_id: None,
        title: TaskTitle::parse("task").unwrap(),
        description: None,
        priority: Priority::Medium,
        tags: Tags::default(),
        job: Some(Job {
            plugin: PluginName::parse("wide").unwrap(),
            action: ActionName::parse("read").unwrap(),
            payload: json!({}),
        }),
        standing: Standing::new(TaskKind::Job, (1, 0), 0, at(100)),
        timeout: None,
        scheduled_at: Some(at(100)),
        unique_key: None,
        depends_on: Vec::new(),
        recurrence: None,
        schedule_id: None,
        inquiry: None,
        result: None,
        error: None,
        progress: None,
        started_at: None,
        finished_at: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

/// The same, held for its first attempt since 100.
fn held(number: u128) -> Task {
    let mut task = job(number);
    task.standing.status = TaskStatus::InProgress;
    task.standing.attempt = 1;
    task.standing.lease = Some(Lease {
        worker: WorkerId::from_uuid(Uuid::from_u128(1)),
        until: at(15_100),
    });
    task.started_at = Some(at(100));
    task
}

/// The same, pending again after its first attempt.
fn tried(number: u128) -> Task {
    let mut task = job(number);
    task.standing.attempt = 1;
    task.started_at = Some(at(100));
    task
}

/// The same, ended.
fn ended(status: TaskStatus, number: u128) -> Task {
    let mut task = tried(number);
    task.standing.status = status;
    task.finished_at = Some(at(200));
    task.result = (status == TaskStatus::Completed).then(|| json!({}));
    task
}

/// The same, asking something after its first attempt.
fn asking(number: u128) -> Task {
    let mut task = tried(number);
    task.standing.awaits_input = true;
    let questions = Questions::one("key", QuestionKind::Roots, Map::new());
    task.inquiry = Some(Inquiry::after(None, questions).unwrap());
    task
}

/// The same, answered.
fn answered(number: u128) -> Task {
    let mut task = asking(number);
    task.standing.awaits_input = false;
    let answers = [("key".to_owned(), json!({}))].into_iter().collect();
    task.inquiry.as_mut().unwrap().take(&answers);
    task
}

fn all(tasks: impl IntoIterator<Item = Task>) -> BTreeMap<TaskId, Task> {
    tasks.into_iter().map(|task| (task.id, task)).collect()
}

/// A checker at a late hour, which knows that tasks are promised and how they stand.
fn checker(tasks: impl IntoIterator<Item = Task>) -> Checker {
    let mut checker = Checker::knowing(all(tasks));
    checker.latest = at(100_000);
    checker.is_shared = true;
    checker
}

/// Checks that one task may become another by a call of `method`.
fn becomes(before: Task, method: Method, after: Task) {
    checker([before]).compare(all([after]), method);
}

#[test]
fn what_may_happen_is_not_complained_of() {
    becomes(job(1), "claim_tasks", held(1));
    becomes(held(1), "finish_task", ended(TaskStatus::Completed, 1));
    becomes(held(1), "cancel_task", ended(TaskStatus::Cancelled, 1));
    becomes(held(1), "finish_task", asking(1));
    becomes(asking(1), "answer_task", answered(1));
}

#[test]
#[should_panic(expected = "I1")]
fn i1_an_acknowledged_task_that_is_gone_is_found() {
    checker([job(1)]).compare(BTreeMap::new(), "delete_task");
}

#[test]
#[should_panic(expected = "may not change")]
fn i2_a_completed_task_that_becomes_another_is_found() {
    becomes(ended(TaskStatus::Completed, 1), "retry_task", tried(1));
}

#[test]
#[should_panic(expected = "may not change")]
fn i2_a_cancelled_task_that_completes_is_found() {
    becomes(
        ended(TaskStatus::Cancelled, 1),
        "finish_task",
        ended(TaskStatus::Completed, 1),
    );
}

#[test]
#[should_panic(expected = "may not change")]
fn i3_a_fence_that_does_not_grow_is_found() {
    becomes(tried(1), "claim_tasks", held(1));
}

#[test]
#[should_panic(expected = "I3")]
fn i3_an_attempt_that_begins_twice_is_found() {
    let mut checker = checker([held(1)]);
    checker.has_begun(id(1), (1, &Answers::default()), 1);
    checker.has_begun(id(1), (1, &Answers::default()), 1);
}

#[test]
#[should_panic(expected = "I4")]
fn i4_a_task_in_progress_without_a_lease_is_found() {
    let mut unheld = held(1);
    unheld.standing.lease = None;
    checker([]).compare(all([unheld]), "submit_task");
}

#[test]
#[should_panic(expected = "I4")]
fn i4_a_task_that_is_taken_over_too_early_is_found() {
    let mut generous = held(1);
    generous.standing.max_stalls = 1;
    let mut taken = tried(1);
    taken.standing.max_stalls = 1;
    taken.standing.stall_count = 1;
    let mut checker = checker([generous]);
    checker.latest = at(15_099);
    checker.compare(all([taken]), "release_expired");
}

#[test]
#[should_panic(expected = "may not change")]
fn i5_a_retry_too_many_is_found() {
    let mut last = held(1);
    last.standing.retry_count = 1;
    let mut again = tried(1);
    again.standing.retry_count = 2;
    becomes(last, "finish_task", again);
}

#[test]
#[should_panic(expected = "I6")]
fn i6_a_task_that_starts_before_its_time_is_found() {
    let mut checker = checker([job(1)]);
    checker.latest = at(99);
    checker.compare(all([held(1)]), "claim_tasks");
}

#[test]
#[should_panic(expected = "may not change")]
fn i6_a_cancelled_task_that_starts_is_found() {
    let mut cancelled = job(1);
    cancelled.standing.status = TaskStatus::Cancelled;
    cancelled.finished_at = Some(at(50));
    becomes(cancelled, "claim_tasks", held(1));
}

#[test]
#[should_panic(expected = "may not change")]
fn i6_a_task_that_starts_before_it_is_answered_is_found() {
    let mut second = held(1);
    second.standing.attempt = 2;
    second.inquiry = answered(1).inquiry;
    becomes(asking(1), "claim_tasks", second);
}

#[test]
#[should_panic(expected = "I6")]
fn i6_a_task_that_starts_before_what_it_depends_on_is_found() {
    let waiting = Task {
        depends_on: vec![id(2)],
        ..job(1)
    };
    let started = Task {
        depends_on: vec![id(2)],
        ..held(1)
    };
    checker([waiting, job(2)]).compare(all([started, job(2)]), "claim_tasks");
}

#[test]
#[should_panic(expected = "I6")]
fn i6_a_task_asked_for_anew_that_skips_what_it_depends_on_is_found() {
    let depending = |task: Task| Task {
        depends_on: vec![id(2)],
        ..task
    };
    let cancelled = depending(ended(TaskStatus::Cancelled, 1));
    let again = depending(tried(1));
    checker([cancelled, job(2)]).compare(all([again, job(2)]), "retry_task");
}

#[test]
#[should_panic(expected = "told something else")]
fn an_attempt_that_is_not_told_what_was_answered_is_found() {
    let mut second = held(1);
    second.standing.attempt = 2;
    second.inquiry = answered(1).inquiry;
    checker([second]).has_begun(id(1), (2, &Answers::default()), 1);
}

#[test]
#[should_panic(expected = "I6")]
fn i6_a_call_for_a_task_whose_cancel_was_acknowledged_there_is_found() {
    let mut checker = checker([ended(TaskStatus::Cancelled, 1)]);
    checker.called_off(id(1), 1);
    checker.has_begun(id(1), (1, &Answers::default()), 1);
}

#[test]
#[should_panic(expected = "may not change")]
fn a_call_that_does_what_another_is_for_is_found() {
    becomes(held(1), "renew_leases", ended(TaskStatus::Completed, 1));
}

#[test]
#[should_panic(expected = "I9")]
fn i9_a_unique_key_that_is_there_twice_is_found() {
    let alike = [1, 2].map(|number| Task {
        unique_key: Some(UniqueKey::parse("key").unwrap()),
        ..job(number)
    });
    checker([]).compare(all(alike), "submit_tasks");
}

#[test]
#[should_panic(expected = "I10")]
fn i10_two_jobs_of_one_tick_are_found() {
    let alike = [1, 2].map(|number| Task {
        schedule_id: Some(id(9)),
        ..job(number)
    });
    checker([]).compare(all(alike), "fire_schedule");
}
