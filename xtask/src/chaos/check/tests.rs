//! The checker finds each kind of broken promise.

use std::time::Duration;

use super::all;
use crate::chaos::facts::{Attempt, Facts, Failure, Line, Moment, Task};
use crate::chaos::ledger::{Cancel, Entry, Fate};
use crate::chaos::lives::{Kill, Victim};
use crate::chaos::plan::{Batch, Behaviour, Plan};
use crate::clock;

/// When the only attempt of the plain story begins.
const BEGIN: i64 = 1_000_000;

/// One task that was acknowledged and completed at its first attempt, as everyone agrees.
struct Story {
    batches: Vec<Batch>,
    entries: Vec<Entry>,
    facts: Facts,
    kills: Vec<Kill>,
}

impl Story {
    fn plain() -> Self {
        let plan = Plan {
            title: "one".to_owned(),
            behaviour: Behaviour::Succeed,
            sleep: Duration::ZERO,
            priority: "medium",
            max_retries: 3,
            max_stalls: 3,
            delay: None,
            parents: Vec::new(),
            cancel_after: None,
        };
        let batch = Batch {
            user: 0,
            first: 0,
            plans: vec![plan],
            key: None,
        };
        let entry = Entry {
            fate: Fate::Acknowledged(Some("t1".to_owned())),
            ..Entry::default()
        };
        let mut story = Self {
            batches: vec![batch],
            entries: vec![entry],
            facts: Facts::default(),
            kills: Vec::new(),
        };
        story.facts.tasks.push(task("completed"));
        story.facts.totals = vec![("all", 1), ("completed", 1)];
        story.attempt(1, "success", None, BEGIN);
        story.line(Moment::Begin, 1, BEGIN);
        story.line(Moment::Done, 1, BEGIN + 1);
        story
    }

    fn attempt(&mut self, number: u32, status: &str, code: Option<&str>, began: i64) {
        let attempts = self.facts.attempts.entry("t1".to_owned()).or_default();
        attempts.push(Attempt {
            id: format!("e{number}"),
            attempt: number,
            status: status.to_owned(),
            error: code.map(|code| Failure {
                code: code.to_owned(),
            }),
            created_at: clock::format_millis(began),
        });
        attempts.sort_by_key(|attempt| attempt.attempt);
    }

    fn line(&mut self, what: Moment, attempt: u32, at: i64) {
        self.facts.journal.push(Line {
            at,
            what,
            execution: format!("e{attempt}"),
            task: Some("t1".to_owned()),
            attempt: Some(attempt),
            process: 0,
        });
    }

    /// The violations that are found.
    fn found(&self) -> String {
        all(&self.batches, &self.entries, &self.facts, &self.kills, &[0])
            .violations
            .join("\n")
    }

    fn breaks(&self, promise: &str) {
        assert!(
            self.found().contains(promise),
            "{promise} not found in: {}",
            self.found()
        );
    }
}

fn task(status: &str) -> Task {
    Task {
        id: "t1".to_owned(),
        title: "one".to_owned(),
        status: status.to_owned(),
        error: None,
        retry_count: 0,
        max_retries: 3,
        scheduled_at: None,
        finished_at: None,
        schedule_id: None,
    }
}

#[test]
fn the_plain_story_breaks_nothing() {
    assert_eq!(Story::plain().found(), "");
}

#[test]
fn an_acknowledged_task_that_is_gone_is_found() {
    let mut story = Story::plain();
    story.facts.tasks.clear();
    story.breaks("I1: one was acknowledged and is lost");
}

#[test]
fn a_task_that_is_there_twice_is_found() {
    let mut story = Story::plain();
    story.facts.tasks.push(task("completed"));
    story.breaks("I9: one is there 2 times");
}

#[test]
fn a_second_recorded_success_is_found() {
    let mut story = Story::plain();
    story.attempt(2, "success", None, BEGIN + 10);
    story.breaks("I2: one is completed with 2 recorded successes");
}

#[test]
fn a_recorded_success_without_its_effect_is_found() {
    let mut story = Story::plain();
    story.facts.journal.retain(|line| line.what != Moment::Done);
    story.breaks("had no effect");
}

#[test]
fn a_call_that_the_history_does_not_know_is_found() {
    let mut story = Story::plain();
    story.line(Moment::Begin, 7, BEGIN);
    story.breaks("I5: attempt Some(7)");
}

#[test]
fn a_task_that_was_tried_too_often_is_found() {
    let mut story = Story::plain();
    for number in 2..=6 {
        story.attempt(number, "failure", Some("plugin_unavailable"), BEGIN);
    }
    story.breaks("I5: one failed 5 times");
}

#[test]
fn a_beginning_before_its_time_or_after_its_end_is_found() {
    let mut story = Story::plain();
    story.entries[0].scheduled_at = Some(BEGIN + 1);
    story.breaks("I6: one began before its time");
    story.entries[0].cancel = Cancel::Granted(BEGIN - 1);
    story.breaks("I6: one began after it was called off");
}

#[test]
fn a_final_state_that_was_shown_otherwise_is_found() {
    let mut story = Story::plain();
    story.entries[0].seen = Some("failed".to_owned());
    story.breaks("I2: one was shown as Some(\"failed\") and is completed");
}

#[test]
fn a_task_that_is_left_undone_is_found() {
    let mut story = Story::plain();
    story.facts.tasks[0].status = "pending".to_owned();
    story.breaks("I11: one is still pending");
}

#[test]
fn an_interrupted_attempt_is_to_be_followed_soon() {
    let mut story = Story::plain();
    story.facts.attempts.clear();
    story.facts.journal.clear();
    story.kills = vec![Kill {
        victim: Victim::Process(0),
        back_at: BEGIN + 5,
        at: BEGIN + 5,
        was_starting: false,
    }];
    story.attempt(1, "failure", Some("interrupted"), BEGIN);
    story.breaks("was interrupted, and no other followed");
    story.attempt(2, "success", None, BEGIN + 20_000);
    story.line(Moment::Done, 2, BEGIN + 20_001);
    story.breaks("attempt 1 at one was followed by the next 20.0 s after the kill");
}

#[test]
fn half_a_request_is_found() {
    let mut story = Story::plain();
    let other = Plan {
        title: "two".to_owned(),
        ..story.batches[0].plans[0].clone()
    };
    story.batches[0].plans.push(other);
    story.entries.push(Entry {
        fate: Fate::Unknown,
        ..Entry::default()
    });
    story.breaks("of the 2 tasks from 0 on in one request, 1 are there");
}
