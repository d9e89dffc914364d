//! The state machine of a task, by example.

use rstest::rstest;
use uuid::Uuid;

use super::{AttemptEnd, Lease, Standing, TaskEvent};
use crate::{
    error::ErrorCode,
    id::WorkerId,
    task::{TaskKind, TaskStatus},
    time::Timestamp,
};

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn lease(worker: u128, until: i64) -> Lease {
    Lease {
        worker: WorkerId::from_uuid(Uuid::from_u128(worker)),
        until: at(until),
    }
}

pub(super) fn claimed(worker: u128, now: i64) -> TaskEvent {
    TaskEvent::Claimed {
        lease: lease(worker, now + 15),
        now: at(now),
    }
}

pub(super) fn ended(attempt: u32, end: AttemptEnd) -> TaskEvent {
    TaskEvent::Ended { attempt, end }
}

pub(super) fn failed(attempt: u32, retry_at: i64) -> TaskEvent {
    ended(
        attempt,
        AttemptEnd::Failed {
            retry_at: at(retry_at),
        },
    )
}

pub(super) fn handed_back(attempt: u32, due_at: i64) -> TaskEvent {
    ended(attempt, AttemptEnd::HandedBack { due_at: at(due_at) })
}

pub(super) fn asked(attempt: u32) -> TaskEvent {
    ended(attempt, AttemptEnd::Asked)
}

pub(super) fn retried(now: i64) -> TaskEvent {
    TaskEvent::Retried {
        now: at(now),
        unmet: 0,
    }
}

pub(super) fn abandoned(due_at: i64) -> TaskEvent {
    TaskEvent::Abandoned { due_at: at(due_at) }
}

/// A job that is due at 0, with one retry and one stall.
fn job() -> Standing {
    Standing::new(TaskKind::Job, (1, 1), 0, at(0))
}

/// What becomes of a task by a story in which everything can happen.
pub(super) fn told(standing: Standing, story: &[TaskEvent]) -> Standing {
    story
        .iter()
        .fold(standing, |standing, event| standing.after(*event).unwrap())
}

#[track_caller]
fn assert_refused(standing: Standing, event: TaskEvent) {
    assert_eq!(standing.after(event).unwrap_err().code(), ErrorCode::Conflict);
}

#[test]
fn a_job_is_claimed_at_its_time_and_not_before() {
    let later = Standing {
        due_at: at(5),
        ..job()
    };
    assert_refused(later, claimed(1, 4));
    let held = told(later, &[claimed(1, 5)]);
    assert_eq!((held.status, held.attempt), (TaskStatus::InProgress, 1));
    assert_eq!(held.lease, Some(lease(1, 20)));
}

#[test]
fn a_job_that_is_held_is_not_claimed_by_another() {
    assert_refused(told(job(), &[claimed(1, 0)]), claimed(2, 100));
}

#[rstest]
#[case(TaskKind::ToDo)]
#[case(TaskKind::Recurring)]
fn what_isnt_a_job_is_never_claimed(#[case] kind: TaskKind) {
    assert_refused(Standing { kind, ..job() }, claimed(1, 100));
}

#[test]
fn only_the_worker_and_the_attempt_that_hold_a_task_renew_its_lease() {
    let held = told(job(), &[claimed(1, 0)]);
    let renewed = |attempt, worker| TaskEvent::Renewed {
        attempt,
        lease: lease(worker, 40),
    };
    assert_eq!(told(held, &[renewed(1, 1)]).lease, Some(lease(1, 40)));
    assert_refused(held, renewed(1, 2));
    assert_refused(held, renewed(2, 1));
    assert_refused(job(), renewed(0, 1));
}

#[test]
fn the_end_of_an_attempt_that_was_taken_over_is_refused() {
    let taken_over = told(job(), &[claimed(1, 0), abandoned(20), claimed(2, 20)]);
    assert_refused(taken_over, ended(1, AttemptEnd::Succeeded));
    let completed = told(taken_over, &[ended(2, AttemptEnd::Succeeded)]);
    assert_eq!(completed.status, TaskStatus::Completed);
    assert_refused(completed, ended(2, AttemptEnd::Succeeded));
}

#[test]
fn a_failure_is_retried_until_no_retries_are_left() {
    let waiting = told(job(), &[claimed(1, 0), failed(1, 7)]);
    assert_eq!((waiting.status, waiting.retry_count), (TaskStatus::Pending, 1));
    assert_refused(waiting, claimed(1, 6));
    let dead = told(waiting, &[claimed(1, 7), failed(2, 9)]);
    assert_eq!((dead.status, dead.retry_count), (TaskStatus::Failed, 1));
}

#[test]
fn a_failure_for_good_is_not_retried() {
    let dead = told(job(), &[claimed(1, 0), ended(1, AttemptEnd::FailedForGood)]);
    assert_eq!((dead.status, dead.retry_count), (TaskStatus::Failed, 0));
}

#[test]
fn a_task_that_takes_its_worker_down_once_too_often_is_failed_apart_from_its_retries() {
    let story = [
        claimed(1, 0),
        abandoned(1),
        claimed(2, 1),
        failed(2, 2),
        claimed(2, 2),
    ];
    let held = told(job(), &story);
    assert_eq!((held.retry_count, held.stall_count), (1, 1));
    assert_eq!(told(held, &[abandoned(3)]).status, TaskStatus::Failed);
}

#[test]
fn a_task_that_is_handed_back_has_nothing_counted_but_its_attempt() {
    let back = told(job(), &[claimed(1, 0), handed_back(1, 3)]);
    assert_eq!((back.attempt, back.retry_count, back.stall_count), (1, 0, 0));
    assert_eq!((back.status, back.due_at), (TaskStatus::Pending, at(3)));
    assert_refused(back, abandoned(4));
}

#[test]
fn a_task_that_asks_is_claimed_when_it_is_answered_and_not_before() {
    let asking = told(job(), &[claimed(1, 0), asked(1)]);
    assert_eq!(
        (asking.status, asking.awaits_input, asking.lease),
        (TaskStatus::Pending, true, None)
    );
    assert_eq!(
        (asking.attempt, asking.retry_count, asking.stall_count),
        (1, 0, 0)
    );
    assert_refused(asking, claimed(2, 100));
    assert_refused(asking, abandoned(100));
    assert_refused(
        told(asking, &[TaskEvent::Hastened { now: at(50) }]),
        claimed(2, 100),
    );
    let answered = told(asking, &[TaskEvent::Answered]);
    assert!(answered.is_claimable(at(0)));
    assert_refused(answered, TaskEvent::Answered);
    assert_eq!(told(answered, &[claimed(2, 5)]).attempt, 2);
}

#[test]
fn only_who_asked_is_answered() {
    assert_refused(job(), TaskEvent::Answered);
    assert_refused(told(job(), &[claimed(1, 0)]), TaskEvent::Answered);
    assert_refused(
        told(job(), &[claimed(1, 0), asked(1), TaskEvent::Cancelled]),
        TaskEvent::Answered,
    );
}

#[test]
fn a_task_that_asked_and_was_called_off_is_asked_for_anew_from_its_beginning() {
    let cancelled = told(job(), &[claimed(1, 0), asked(1), TaskEvent::Cancelled]);
    assert!(!cancelled.awaits_input);
    assert!(told(cancelled, &[retried(9)]).is_claimable(at(9)));
}

#[test]
fn a_task_asked_for_anew_waits_for_what_it_depends_on() {
    let lost = told(Standing { unmet: 2, ..job() }, &[TaskEvent::DependencyLost]);
    let anew = TaskEvent::Retried { now: at(9), unmet: 1 };
    let waiting = told(lost, &[anew]);
    assert_refused(waiting, claimed(1, 100));
    assert!(told(waiting, &[TaskEvent::DependencyCompleted]).is_claimable(at(9)));
}

#[test]
fn a_cancelled_task_is_neither_claimed_nor_finished() {
    let waiting = told(job(), &[TaskEvent::Cancelled]);
    assert_refused(waiting, claimed(1, 100));
    assert_refused(waiting, TaskEvent::Cancelled);
    let running = told(job(), &[claimed(1, 0), TaskEvent::Cancelled]);
    assert_eq!((running.status, running.lease), (TaskStatus::Cancelled, None));
    assert_refused(running, ended(1, AttemptEnd::Succeeded));
}

#[test]
fn a_task_asked_for_anew_has_all_its_retries_and_keeps_its_fence() {
    let story = [claimed(1, 0), failed(1, 1), claimed(1, 1), failed(2, 2)];
    let anew = told(job(), &[&story[..], &[retried(9)]].concat());
    assert_eq!((anew.status, anew.due_at), (TaskStatus::Pending, at(9)));
    assert_eq!((anew.attempt, anew.retry_count, anew.stall_count), (2, 0, 0));
    assert_refused(anew, ended(2, AttemptEnd::Succeeded));
}

#[rstest]
#[case(Standing { status: TaskStatus::Pending, ..job() })]
#[case(Standing { status: TaskStatus::InProgress, lease: Some(lease(1, 9)), ..job() })]
#[case(Standing { status: TaskStatus::Completed, ..job() })]
#[case(Standing { kind: TaskKind::Recurring, status: TaskStatus::Cancelled, ..job() })]
fn only_a_failed_or_cancelled_task_is_asked_for_anew(#[case] standing: Standing) {
    assert_refused(standing, retried(9));
}

#[test]
fn a_task_waits_for_all_that_it_depends_on() {
    let blocked = Standing { unmet: 2, ..job() };
    assert_refused(blocked, claimed(1, 100));
    let one_left = told(blocked, &[TaskEvent::DependencyCompleted]);
    assert_refused(one_left, claimed(1, 100));
    let free = told(one_left, &[TaskEvent::DependencyCompleted]);
    assert!(free.is_claimable(at(0)));
    assert_refused(free, TaskEvent::DependencyCompleted);
    assert_refused(free, TaskEvent::DependencyLost);
}

#[test]
fn a_task_is_cancelled_with_what_it_depends_on() {
    let lost = told(Standing { unmet: 2, ..job() }, &[TaskEvent::DependencyLost]);
    assert_eq!(lost.status, TaskStatus::Cancelled);
    assert_refused(lost, TaskEvent::DependencyCompleted);
}

#[test]
fn hastening_brings_a_start_forward_and_never_puts_it_off() {
    let hastened = |due_at, now| {
        let standing = Standing {
            due_at: at(due_at),
            ..job()
        };
        told(standing, &[TaskEvent::Hastened { now: at(now) }]).due_at
    };
    assert_eq!(hastened(50, 10), at(10));
    assert_eq!(hastened(5, 10), at(5));
}

#[test]
fn hastening_skips_no_task_that_it_depends_on() {
    let hastened = told(
        Standing { unmet: 1, ..job() },
        &[TaskEvent::Hastened { now: at(10) }],
    );
    assert_refused(hastened, claimed(1, 10));
}

#[rstest]
#[case(TaskStatus::Pending, TaskStatus::InProgress, true)]
#[case(TaskStatus::Pending, TaskStatus::Completed, true)]
#[case(TaskStatus::InProgress, TaskStatus::Pending, true)]
#[case(TaskStatus::InProgress, TaskStatus::Failed, true)]
#[case(TaskStatus::Completed, TaskStatus::Completed, true)]
#[case(TaskStatus::Completed, TaskStatus::Pending, false)]
#[case(TaskStatus::Cancelled, TaskStatus::InProgress, false)]
fn people_move_to_dos_until_their_end(
    #[case] from: TaskStatus,
    #[case] to: TaskStatus,
    #[case] is_possible: bool,
) {
    let to_do = Standing {
        kind: TaskKind::ToDo,
        status: from,
        ..job()
    };
    let moved = to_do.after(TaskEvent::Moved { to });
    assert_eq!(moved.map(|moved| moved.status).ok(), is_possible.then_some(to));
}

#[rstest]
#[case(TaskKind::Job)]
#[case(TaskKind::Recurring)]
fn people_move_nothing_that_moves_by_itself(#[case] kind: TaskKind) {
    for to in TaskStatus::ALL {
        assert_refused(Standing { kind, ..job() }, TaskEvent::Moved { to });
    }
}
