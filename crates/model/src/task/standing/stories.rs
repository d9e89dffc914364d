//! The state machine of a task: what holds in every short story, and in many long ones.

use std::collections::HashSet;

use proptest::{collection::vec, prelude::*, sample::select};
use rstest::rstest;

use super::{
    AttemptEnd, Standing, TaskEvent,
    tests::{abandoned, asked, at, claimed, ended, failed, handed_back, lease, told},
};
use crate::task::{TaskKind, TaskStatus};

/// A task's way so far, with all that is counted about it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Way {
    kind: TaskKind,
    standing: [i64; 10],
    /// Attempts, failures, stalls, hand-backs and rounds of questions since a person last asked for it.
    counts: [u32; 5],
}

/// A task with its counts, checked after each event.
#[derive(Clone, Copy, Debug)]
struct Watched {
    standing: Standing,
    attempts: u32,
    failures: u32,
    stalls: u32,
    handed_back: u32,
    asked: u32,
}

impl Watched {
    fn new(standing: Standing) -> Self {
        Self {
            standing,
            attempts: 0,
            failures: 0,
            stalls: 0,
            handed_back: 0,
            asked: 0,
        }
    }

    /// Lets an event happen; a refused one changes nothing.
    fn step(self, event: TaskEvent) -> Self {
        let before = self.standing;
        let Ok(after) = before.after(event) else {
            return self;
        };
        assert_transition(before, event, after);
        let mut watched = Self {
            standing: after,
            ..self
        };
        match event {
            TaskEvent::Claimed { .. } => watched.attempts += 1,
            TaskEvent::Ended {
                end: AttemptEnd::Failed { .. },
                ..
            } => watched.failures += 1,
            TaskEvent::Ended {
                end: AttemptEnd::HandedBack { .. },
                ..
            } => watched.handed_back += 1,
            TaskEvent::Ended {
                end: AttemptEnd::Asked,
                ..
            } => watched.asked += 1,
            TaskEvent::Abandoned { .. } => watched.stalls += 1,
            TaskEvent::Retried { .. } => watched = Self::new(after),
            TaskEvent::Ended { .. }
            | TaskEvent::Renewed { .. }
            | TaskEvent::DependencyCompleted
            | TaskEvent::DependencyLost
            | TaskEvent::Hastened { .. }
            | TaskEvent::Answered
            | TaskEvent::Cancelled
            | TaskEvent::Moved { .. } => {}
        }
        watched.assert_sound();
        watched
    }

    /// What holds at any moment.
    fn assert_sound(&self) {
        let standing = self.standing;
        let is_held_job = standing.kind == TaskKind::Job && standing.status == TaskStatus::InProgress;
        assert_eq!(standing.lease.is_some(), is_held_job, "I4: {standing:?}");
        let is_free = !standing.awaits_input
            || (standing.kind == TaskKind::Job
                && standing.status == TaskStatus::Pending
                && standing.unmet == 0);
        assert!(is_free, "only a pending job awaits answers: {standing:?}");
        let counted = u32::from(standing.retry_count) + u32::from(standing.stall_count);
        let most = counted + self.handed_back + self.asked + 1;
        assert!(self.attempts <= most, "I5: {self:?}");
        assert!(standing.retry_count <= standing.max_retries, "I5: {self:?}");
        assert!(
            self.failures <= u32::from(standing.max_retries) + 1,
            "I5: {self:?}"
        );
        assert_eq!(u32::from(standing.stall_count), self.stalls, "I5: {self:?}");
        let is_over = standing.stall_count > standing.max_stalls;
        assert!(!is_over || standing.status == TaskStatus::Failed, "I5: {self:?}");
        match standing.kind {
            TaskKind::Job => {}
            TaskKind::ToDo => assert_eq!(standing.attempt, 0),
            TaskKind::Recurring => {
                assert_eq!(standing.attempt, 0);
                let statuses = [TaskStatus::Pending, TaskStatus::Cancelled];
                assert!(statuses.contains(&standing.status), "{standing:?}");
            }
        }
    }

    fn way(&self) -> Way {
        let standing = self.standing;
        let lease = standing.lease;
        Way {
            kind: standing.kind,
            standing: [
                TaskStatus::ALL
                    .iter()
                    .position(|status| *status == standing.status)
                    .map_or(-1, |place| i64::try_from(place).unwrap()),
                i64::from(standing.attempt),
                i64::from(standing.retry_count),
                i64::from(standing.stall_count),
                i64::from(standing.unmet),
                standing.due_at.as_millis(),
                lease.map_or(-1, |lease| lease.until.as_millis()),
                lease.map_or(-1, |lease| {
                    i64::try_from(lease.worker.as_uuid().as_u128()).unwrap()
                }),
                i64::from(standing.max_retries) * 100 + i64::from(standing.max_stalls),
                i64::from(standing.awaits_input),
            ],
            counts: [
                self.attempts,
                self.failures,
                self.stalls,
                self.handed_back,
                self.asked,
            ],
        }
    }
}

/// What holds of each event that is accepted.
fn assert_transition(before: Standing, event: TaskEvent, after: Standing) {
    assert_eq!(
        (before.kind, before.max_retries, before.max_stalls),
        (after.kind, after.max_retries, after.max_stalls)
    );
    if before.status.is_final() {
        let is_asked_anew = matches!(event, TaskEvent::Retried { .. });
        let is_completed = before.status == TaskStatus::Completed;
        assert!(
            before == after || (is_asked_anew && !is_completed),
            "I2: {before:?} {event:?}"
        );
    }
    match event {
        TaskEvent::Claimed { now, lease } => {
            assert_eq!(after.attempt, before.attempt + 1, "I3");
            assert!(
                before.due_at <= now && before.unmet == 0 && !before.awaits_input,
                "I6: {before:?} {event:?}"
            );
            assert_eq!((before.kind, before.status), (TaskKind::Job, TaskStatus::Pending));
            assert_eq!(after.lease, Some(lease));
        }
        TaskEvent::Renewed { attempt, lease } => {
            assert_eq!((attempt, after.attempt), (before.attempt, before.attempt), "I3");
            assert_eq!(before.lease.map(|held| held.worker), Some(lease.worker), "I3");
            assert_eq!(after.status, before.status);
        }
        TaskEvent::Ended { attempt, .. } => {
            assert_eq!((attempt, after.attempt), (before.attempt, before.attempt), "I3");
            assert!(before.lease.is_some() && after.lease.is_none(), "I3");
        }
        TaskEvent::Abandoned { .. } => assert!(before.lease.is_some() && after.lease.is_none(), "I4"),
        TaskEvent::DependencyCompleted => assert_eq!(after.unmet + 1, before.unmet),
        TaskEvent::DependencyLost | TaskEvent::Cancelled => {
            assert_eq!(after.status, TaskStatus::Cancelled);
        }
        TaskEvent::Hastened { .. } => assert!(after.due_at <= before.due_at),
        TaskEvent::Answered => assert!(before.awaits_input && !after.awaits_input),
        TaskEvent::Retried { unmet, .. } => {
            assert_eq!((after.status, after.unmet), (TaskStatus::Pending, unmet));
        }
        TaskEvent::Moved { to } => assert_eq!((after.kind, after.status), (TaskKind::ToDo, to)),
    }
    let has_asked = matches!(
        event,
        TaskEvent::Ended {
            end: AttemptEnd::Asked,
            ..
        }
    );
    assert!(
        !after.awaits_input || before.awaits_input || has_asked,
        "{event:?}"
    );
    if !matches!(event, TaskEvent::Claimed { .. }) {
        assert_eq!(after.attempt, before.attempt, "I3: {event:?}");
    }
}

/// Everything that can happen to a task that had at most `attempts`, at two moments, with two workers.
fn events(attempts: u32) -> Vec<TaskEvent> {
    let mut events = vec![
        TaskEvent::DependencyCompleted,
        TaskEvent::DependencyLost,
        TaskEvent::Cancelled,
        TaskEvent::Answered,
    ];
    events.extend(TaskStatus::ALL.map(|to| TaskEvent::Moved { to }));
    for moment in [0, 1] {
        let now = at(moment);
        events.extend([claimed(1, moment), claimed(2, moment), abandoned(moment)]);
        events.push(TaskEvent::Hastened { now });
        events.extend([0, 1].map(|unmet| TaskEvent::Retried { now, unmet }));
        for attempt in 0..=attempts {
            events.extend([failed(attempt, moment), handed_back(attempt, moment)]);
        }
    }
    for attempt in 0..=attempts {
        events.push(asked(attempt));
        events.extend([AttemptEnd::Succeeded, AttemptEnd::FailedForGood].map(|end| ended(attempt, end)));
        events.extend([1, 2].map(|worker| TaskEvent::Renewed {
            attempt,
            lease: lease(worker, 15),
        }));
    }
    events
}

/// Tells every story of up to `events_told` events; gives how many different ways there are.
fn explore(start: Standing, events_told: u32) -> usize {
    let mut known = HashSet::new();
    let mut edge = vec![Watched::new(start)];
    let events = events(3);
    for _ in 0..events_told {
        let reached = edge
            .iter()
            .flat_map(|watched| events.iter().map(|event| watched.step(*event)));
        edge = reached.filter(|watched| known.insert(watched.way())).collect();
    }
    known.len()
}

#[rstest]
#[case::no_patience(0, 0)]
#[case::a_retry(1, 0)]
#[case::a_stall(0, 1)]
#[case::both(1, 1)]
fn i2_to_i6_hold_in_every_story_of_nine_events(#[case] max_retries: u16, #[case] max_stalls: u16) {
    let kinds = [
        (TaskKind::Job, 100),
        (TaskKind::ToDo, 5),
        (TaskKind::Recurring, 2),
    ];
    for (kind, fewest_ways) in kinds {
        for unmet in [0, 1] {
            let ways = explore(Standing::new(kind, (max_retries, max_stalls), unmet, at(1)), 9);
            assert!(ways >= fewest_ways, "{kind:?}: {ways}");
        }
    }
}

fn any_end() -> impl Strategy<Value = AttemptEnd> {
    prop_oneof![
        Just(AttemptEnd::Succeeded),
        Just(AttemptEnd::FailedForGood),
        (0i64..100).prop_map(|millis| AttemptEnd::Failed { retry_at: at(millis) }),
        (0i64..100).prop_map(|millis| AttemptEnd::HandedBack { due_at: at(millis) }),
        Just(AttemptEnd::Asked),
    ]
}

fn any_event() -> impl Strategy<Value = TaskEvent> {
    let moment = || (0i64..100).prop_map(at);
    let any_lease = || (1u128..4, 0i64..200).prop_map(|(worker, until)| lease(worker, until));
    prop_oneof![
        6 => (any_lease(), moment()).prop_map(|(lease, now)| TaskEvent::Claimed { lease, now }),
        2 => (0u32..12, any_lease()).prop_map(|(attempt, lease)| TaskEvent::Renewed { attempt, lease }),
        8 => (0u32..12, any_end()).prop_map(|(attempt, end)| ended(attempt, end)),
        2 => moment().prop_map(|due_at| TaskEvent::Abandoned { due_at }),
        2 => Just(TaskEvent::DependencyCompleted),
        1 => Just(TaskEvent::DependencyLost),
        1 => moment().prop_map(|now| TaskEvent::Hastened { now }),
        1 => Just(TaskEvent::Cancelled),
        2 => Just(TaskEvent::Answered),
        2 => (moment(), 0u32..3).prop_map(|(now, unmet)| TaskEvent::Retried { now, unmet }),
        1 => select(TaskStatus::ALL.to_vec()).prop_map(|to| TaskEvent::Moved { to }),
    ]
}

fn any_new_standing() -> impl Strategy<Value = Standing> {
    let kinds = vec![
        TaskKind::Job,
        TaskKind::Job,
        TaskKind::Job,
        TaskKind::ToDo,
        TaskKind::Recurring,
    ];
    (select(kinds), (0u16..4, 0u16..4), 0u32..3, 0i64..100)
        .prop_map(|(kind, patience, unmet, due_at)| Standing::new(kind, patience, unmet, at(due_at)))
}

/// The end of the present attempt, or its abandonment; or a question, which is answered.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Failure,
    Stall,
    Question,
}

proptest! {
    #[test]
    fn i2_to_i6_hold_in_long_stories(new in any_new_standing(), story in vec(any_event(), 0..120)) {
        story.into_iter().fold(Watched::new(new), Watched::step);
    }

    #[test]
    fn i3_an_attempt_ends_once_and_never_after_another_began(
        new in any_new_standing(),
        story in vec(any_event(), 0..120),
    ) {
        let mut standing = new;
        let mut ended_attempts = HashSet::new();
        for event in story {
            let Ok(after) = standing.after(event) else { continue };
            let has_ended = standing.lease.is_some() && after.lease.is_none();
            prop_assert!(!has_ended || ended_attempts.insert(standing.attempt));
            standing = after;
        }
    }

    #[test]
    fn i11_a_job_that_meets_only_mishaps_ends(
        patience in (0u16..6, 0u16..6),
        mishaps in vec(select(vec![Mishap::Failure, Mishap::Stall]), 12),
        questions in 0usize..12,
    ) {
        let mut standing = Standing::new(TaskKind::Job, patience, 0, at(0));
        let asked_first = vec![Mishap::Question; questions];
        for mishap in asked_first.into_iter().chain(mishaps) {
            if standing.status.is_final() {
                break;
            }
            let held = told(standing, &[claimed(1, 0)]);
            standing = match mishap {
                Mishap::Failure => told(held, &[failed(held.attempt, 0)]),
                Mishap::Stall => told(held, &[abandoned(0)]),
                Mishap::Question => told(held, &[asked(held.attempt), TaskEvent::Answered]),
            };
        }
        let (max_retries, max_stalls) = patience;
        prop_assert_eq!(standing.status, TaskStatus::Failed);
        let rounds = u32::try_from(questions).unwrap();
        prop_assert!(standing.attempt <= u32::from(max_retries + max_stalls) + 1 + rounds);
    }
}
