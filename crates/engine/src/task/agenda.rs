//! When the worker looks for due tasks next.

use std::time::{Duration, Instant};

use model::{Error, Result, Timestamp};

/// How long to go without a look when nothing is known to become due: on a store that other processes use too, what
/// they submit isn't announced here.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When to look again for tasks that were passed over, since their plugins took no more calls.
const LOOK_AGAIN_FOR_PASSED_OVER: Duration = Duration::from_millis(100);

/// How long to wait at least after a look that found nothing, whatever the store says is due.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

/// The wait after the first look that failed; each further one doubles it, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What one look for due tasks gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimStep {
    /// How many tasks were begun.
    pub begun: usize,
    /// When the next task becomes due that isn't yet.
    pub next_due: Option<Timestamp>,
    /// Whether there were (probably) more to be begun.
    pub has_more: bool,
    /// Whether tasks were passed over whose plugin took no more calls.
    pub(super) has_passed_over: bool,
}

/// Knows when to look next. The only thing that decides about it.
pub(super) struct Agenda {
    /// Whether a look is wanted as soon as there is a free slot.
    is_wanted: bool,
    /// Whether the last look found more than could be begun.
    has_backlog: bool,
    /// Whether the last look left something behind that could be begun in a slot that becomes free.
    has_left_behind: bool,
    /// When to look at the latest.
    look_at: Instant,
    /// When not to look before.
    not_before: Instant,
    next_due: Option<Timestamp>,
    /// Until when nothing is tried, since the store doesn't work.
    paused_until: Option<Instant>,
    /// How many looks failed in a row.
    failures: u32,
    /// The number of the latest look that was answered.
    answered: u64,
}

impl Agenda {
    /// Begins with a look at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_wanted: true,
            has_backlog: false,
            has_left_behind: false,
            look_at: now,
            not_before: now,
            next_due: None,
            paused_until: None,
            failures: 0,
            answered: 0,
        }
    }

    /// How long to wait for time to pass; `None` when only a free slot is missing.
    pub(super) fn wait(&self, now: Instant, clock: Timestamp) -> Option<Duration> {
        if let Some(until) = self.paused_until {
            return Some(until.saturating_duration_since(now));
        }
        if self.is_wanted {
            return None;
        }
        let look = self.look_at.saturating_duration_since(now);
        let due = self.next_due.map_or(look, |due| due.since(clock));
        let least = self.not_before.saturating_duration_since(now);
        Some(look.min(due).max(least))
    }

    /// Notes that the time was waited.
    pub(super) fn note_waited(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| *until > now);
        self.is_wanted = true;
    }

    /// Notes that there may be something to begin.
    pub(super) fn want_claim(&mut self) {
        self.is_wanted = true;
    }

    /// Notes that a slot has become free. When the last look took all there was, there is nothing to fill it with.
    pub(super) fn note_free_slot(&mut self) {
        self.is_wanted |= self.has_left_behind;
    }

    /// Tells whether to look now, if there is a free slot.
    pub(super) fn is_claim_due(&self) -> bool {
        self.is_wanted && self.paused_until.is_none()
    }

    /// Tells whether there was more to begin than could be.
    pub(super) fn has_backlog(&self) -> bool {
        self.has_backlog
    }

    /// Notes that a look has begun. What is due by now is its to find.
    pub(super) fn begin_claim(&mut self, now: Instant) {
        self.is_wanted = false;
        self.next_due = None;
        self.look_at = now + LOOK_EVERY;
    }

    /// Notes what a look gave: they are numbered in the order in which they began.
    pub(super) fn note_claim(&mut self, number: u64, claimed: Result<ClaimStep>, now: Instant) {
        match claimed {
            Ok(step) => self.note_answer(number, step, now),
            Err(error) => self.note_failure(&error, now),
        }
    }

    fn note_answer(&mut self, number: u64, step: ClaimStep, now: Instant) {
        if self.failures > 0 {
            tracing::info!("due tasks can be claimed again");
        }
        self.failures = 0;
        if number > self.answered {
            self.answered = number;
            self.next_due = step.next_due;
            self.has_backlog = step.has_more && step.begun > 0;
            self.has_left_behind = step.has_more || step.has_passed_over;
        }
        if step.begun == 0 {
            self.not_before = now + SHORTEST_WAIT;
        } else if step.has_more {
            self.is_wanted = true;
        }
        if step.has_passed_over || (step.has_more && step.begun == 0) {
            self.look_at = self.look_at.min(now + LOOK_AGAIN_FOR_PASSED_OVER);
        }
    }

    fn note_failure(&mut self, error: &Error, now: Instant) {
        if self.failures == 0 {
            let cause = std::error::Error::source(error);
            tracing::warn!(%error, cause, "due tasks can't be claimed; it is tried again and again");
        }
        let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.paused_until = Some(now + pause.min(LONGEST_PAUSE));
        self.is_wanted = true;
    }
}

#[cfg(test)]
mod tests {
    use model::ErrorCode;
    use rstest::rstest;

    use super::*;

    const CLOCK: Timestamp = Timestamp::MAX;

    fn after_answer(step: ClaimStep) -> (Agenda, Instant) {
        let now = Instant::now();
        let mut agenda = Agenda::new(now);
        agenda.begin_claim(now);
        agenda.note_claim(1, Ok(step), now);
        (agenda, now)
    }

    #[test]
    fn the_first_look_is_at_once() {
        assert!(Agenda::new(Instant::now()).is_claim_due());
    }

    #[test]
    fn without_anything_to_come_the_next_look_is_after_a_second() {
        let (agenda, now) = after_answer(ClaimStep::default());
        assert_eq!(agenda.wait(now, CLOCK), Some(LOOK_EVERY));
    }

    #[test]
    fn the_next_look_is_when_a_task_becomes_due() {
        let (agenda, now) = after_answer(ClaimStep {
            next_due: Some(CLOCK),
            ..ClaimStep::default()
        });
        let clock = CLOCK.minus(Duration::from_millis(250));
        assert_eq!(agenda.wait(now, clock), Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_due_and_was_not_begun_is_not_looked_at_again_and_again() {
        let (agenda, now) = after_answer(ClaimStep {
            next_due: Some(CLOCK),
            ..ClaimStep::default()
        });
        assert_eq!(agenda.wait(now, CLOCK), Some(SHORTEST_WAIT));
        let (agenda, now) = after_answer(ClaimStep {
            has_more: true,
            ..ClaimStep::default()
        });
        assert_eq!(agenda.wait(now, CLOCK), Some(LOOK_AGAIN_FOR_PASSED_OVER));
    }

    #[test]
    fn with_more_to_begin_the_next_look_waits_for_a_slot_only() {
        let (agenda, now) = after_answer(ClaimStep {
            begun: 1,
            has_more: true,
            ..ClaimStep::default()
        });
        assert!(agenda.is_claim_due() && agenda.has_backlog());
        assert_eq!(agenda.wait(now, CLOCK), None);
    }

    #[rstest]
    #[case(false, false, false)]
    #[case(true, false, true)]
    #[case(false, true, true)]
    fn a_slot_that_becomes_free_is_filled_only_when_something_was_left_behind(
        #[case] has_more: bool,
        #[case] has_passed_over: bool,
        #[case] is_due: bool,
    ) {
        let (mut agenda, now) = after_answer(ClaimStep {
            begun: 1,
            has_more,
            has_passed_over,
            ..ClaimStep::default()
        });
        agenda.begin_claim(now);
        agenda.note_free_slot();
        assert_eq!(agenda.is_claim_due(), is_due);
    }

    #[test]
    fn a_late_answer_does_not_hide_what_a_later_look_found() {
        let now = Instant::now();
        let mut agenda = Agenda::new(now);
        agenda.begin_claim(now);
        let later = ClaimStep {
            next_due: Some(CLOCK.minus(Duration::from_millis(300))),
            ..ClaimStep::default()
        };
        agenda.note_claim(2, Ok(later), now);
        agenda.note_claim(1, Ok(ClaimStep::default()), now);
        let clock = CLOCK.minus(Duration::from_millis(500));
        assert_eq!(agenda.wait(now, clock), Some(Duration::from_millis(200)));
    }

    #[test]
    fn while_looks_fail_the_waits_between_them_grow_up_to_five_seconds() {
        let now = Instant::now();
        let mut agenda = Agenda::new(now);
        let mut waits = Vec::new();
        for number in 1..=40 {
            agenda.begin_claim(now);
            agenda.note_claim(number, Err(Error::new(ErrorCode::Unavailable, "away")), now);
            agenda.want_claim();
            assert!(!agenda.is_claim_due());
            let wait = agenda.wait(now, CLOCK).unwrap();
            waits.push(wait);
            agenda.note_waited(now + wait);
            assert!(agenda.is_claim_due());
        }
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits[39], LONGEST_PAUSE);
    }
}
