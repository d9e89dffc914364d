//! What is submitted: decided in full before anything begins, by the seed alone.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// How many accounts submit.
pub(super) const USERS: usize = 4;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Has its effect at the first attempt that isn't interrupted.
    Succeed,
    /// Fails at attempts up to this one, in a way that a retry helps.
    FailUpTo(u32),
    /// Fails at every attempt, in a way that a retry may help.
    FailAlways,
    /// Fails in a way that no retry helps.
    FailForGood,
}

/// One task to be submitted.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// No other task has it.
    pub(super) title: String,
    pub(super) behaviour: Behaviour,
    pub(super) sleep: Duration,
    pub(super) priority: &'static str,
    pub(super) max_retries: u16,
    pub(super) max_stalls: u16,
    /// When it may start, from its submission on.
    pub(super) delay: Option<Duration>,
    /// The tasks of the same account that it depends on, by their numbers; all are submitted before it.
    pub(super) parents: Vec<usize>,
    /// When it is called off, from its acknowledgement on.
    pub(super) cancel_after: Option<Duration>,
}

/// What goes into one request.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Which account sends it.
    pub(super) user: usize,
    /// The number of its first task among all.
    pub(super) first: usize,
    pub(super) plans: Vec<Plan>,
    /// Lets the request be repeated when its answer is lost.
    pub(super) key: Option<String>,
}

impl Batch {
    /// The numbers of its tasks.
    pub(super) fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.plans.len()
    }
}

impl Plan {
    /// Tells whether it is meant to be completed, so that others can well depend on it: what depends on a task that
    /// has failed is refused.
    fn is_sound(&self) -> bool {
        let can_succeed = matches!(self.behaviour, Behaviour::Succeed | Behaviour::FailUpTo(_));
        can_succeed && self.cancel_after.is_none() && self.max_stalls > 1
    }

    /// The task as a request says it.
    pub(super) fn body(&self, scheduled_at: Option<String>, parents: &[String]) -> Value {
        let mut payload = Map::new();
        payload.insert("line".to_owned(), json!(self.title));
        if !self.sleep.is_zero() {
            let millis = u64::try_from(self.sleep.as_millis()).unwrap_or_default();
            payload.insert("sleepMs".to_owned(), json!(millis));
        }
        match self.behaviour {
            Behaviour::Succeed => {}
            Behaviour::FailUpTo(last) => {
                payload.insert("fail".to_owned(), json!("retryable"));
                payload.insert("failAttempts".to_owned(), json!(last));
            }
            Behaviour::FailAlways => {
                payload.insert("fail".to_owned(), json!("retryable"));
            }
            Behaviour::FailForGood => {
                payload.insert("fail".to_owned(), json!("permanent"));
            }
        }
        let mut body = json!({
            "title": self.title,
            "plugin": "journal",
            "action": "append",
            "payload": payload,
            "priority": self.priority,
            "maxRetries": self.max_retries,
            "maxStalls": self.max_stalls,
        });
        if let Some(fields) = body.as_object_mut() {
            if let Some(moment) = scheduled_at {
                fields.insert("scheduledAt".to_owned(), json!(moment));
            }
            if !parents.is_empty() {
                fields.insert("dependsOn".to_owned(), json!(parents));
            }
        }
        body
    }
}

/// Decides on `tasks` tasks, in requests of one or of several.
pub(super) fn make(tasks: u32, dice: &mut Dice) -> Vec<Batch> {
    let total = usize::try_from(tasks).unwrap_or(usize::MAX);
    let mut batches: Vec<Batch> = Vec::new();
    let mut owned: Vec<Vec<usize>> = vec![Vec::new(); USERS];
    let mut first = 0;
    while first < total {
        let user = usize::try_from(dice.between(0, 3)).unwrap_or_default();
        let most = if dice.percent(15) { dice.between(2, 25) } else { 1 };
        let count = usize::try_from(most).unwrap_or(1).min(total - first);
        let older = owned.get(user).map(Vec::as_slice).unwrap_or_default();
        let plans: Vec<Plan> = (first..first + count)
            .map(|number| plan(number, older, dice))
            .collect();
        let key = dice.percent(40).then(|| format!("chaos-{first}"));
        if let Some(numbers) = owned.get_mut(user) {
            let all = (first..first + count).zip(&plans);
            numbers.extend(
                all.filter(|(_, plan)| plan.is_sound() || dice.percent(5))
                    .map(|(number, _)| number),
            );
        }
        batches.push(Batch {
            user,
            first,
            plans,
            key,
        });
        first += count;
    }
    batches
}

fn plan(number: usize, older: &[usize], dice: &mut Dice) -> Plan {
    let behaviour = match dice.between(0, 99) {
        0..=79 => Behaviour::Succeed,
        80..=89 => Behaviour::FailUpTo(u32::from(dice.percent(50)) + 1),
        90..=93 => Behaviour::FailAlways,
        _ => Behaviour::FailForGood,
    };
    let sleep = if dice.percent(30) {
        dice.millis(1, 300)
    } else {
        Duration::ZERO
    };
    let recent = older.get(older.len().saturating_sub(40)..).unwrap_or_default();
    let parents = if dice.percent(12) {
        let wanted = dice.between(1, 3);
        let mut found: Vec<usize> = (0..wanted).filter_map(|_| dice.pick(recent).copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    } else {
        Vec::new()
    };
    Plan {
        title: format!("chaos {number}"),
        behaviour,
        sleep,
        priority: dice
            .pick(&["low", "medium", "high", "critical"])
            .copied()
            .unwrap_or("medium"),
        max_retries: match behaviour {
            Behaviour::FailAlways => u16::from(dice.percent(50)),
            Behaviour::FailUpTo(_) | Behaviour::Succeed | Behaviour::FailForGood => 3,
        },
        // Most are to outlive all kills; some are to be given up.
        max_stalls: if dice.percent(20) { 1 } else { 50 },
        delay: (parents.is_empty() && dice.percent(15)).then(|| dice.millis(10, 3_000)),
        parents,
        cancel_after: dice.percent(8).then(|| dice.millis(0, 1_500)),
    }
}
