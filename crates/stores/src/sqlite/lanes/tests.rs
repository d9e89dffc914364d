//! Turns.

use uuid::Uuid;

use super::*;

const LANE: i64 = 7;
const READY: Place = Place::Ready { turn: 0 };

fn owner(number: u64) -> Option<UserId> {
    (number > 0).then(|| UserId::from_uuid(Uuid::from_u64_pair(1, number)))
}

fn turn(place: Place) -> i64 {
    match place {
        Place::Ready { turn } => turn,
        Place::Held | Place::Scheduled | Place::Blocked => panic!("it isn't ready"),
    }
}

/// Lets jobs of these owners become ready, and gives the owners in the order in which their jobs are claimed.
fn order(owners: &[u64]) -> Vec<u64> {
    let mut lanes = Lanes::default();
    let enter = |owner_number: &u64| lanes.enter(READY, Priority::Low, LANE, owner(*owner_number));
    let turns: Vec<i64> = owners.iter().map(enter).map(turn).collect();
    let mut order: Vec<usize> = (0..owners.len()).collect();
    order.sort_by_key(|index| (turns[*index], *index));
    order.into_iter().map(|index| owners[index]).collect()
}

#[test]
fn owners_take_turns_however_many_jobs_each_has() {
    assert_eq!(order(&[1, 1, 1, 1, 2, 2, 3]), [1, 2, 3, 1, 2, 1, 1]);
    assert_eq!(order(&[0, 0, 1]), [0, 1, 0], "the operator is one of them");
}

#[test]
fn who_comes_late_takes_the_present_turn_and_who_waits_the_next_one() {
    let mut lanes = Lanes::default();
    for _ in 0..100 {
        lanes.enter(READY, Priority::Low, LANE, owner(1));
    }
    for turn in 0..40 {
        lanes.leave(Place::Ready { turn }, Priority::Low, LANE);
        lanes.pass(Priority::Low, turn);
    }
    let enter = |lanes: &mut Lanes, number| turn(lanes.enter(READY, Priority::Low, LANE, owner(number)));
    assert_eq!(enter(&mut lanes, 2), 39);
    assert_eq!(enter(&mut lanes, 2), 40);
    assert_eq!(enter(&mut lanes, 1), 100);
    assert_eq!(
        turn(lanes.enter(READY, Priority::High, LANE, owner(1))),
        0,
        "each priority has its own"
    );
}

#[test]
fn a_peek_at_a_turn_is_the_turn_that_is_given() {
    let mut lanes = Lanes::default();
    for number in [1, 1, 2, 1, 2, 3] {
        let peeked = lanes.peek(READY, Priority::Low, owner(number));
        assert_eq!(peeked, lanes.enter(READY, Priority::Low, LANE, owner(number)));
    }
}

#[test]
fn owners_are_forgotten_when_their_turn_is_past() {
    let mut lanes = Lanes::default();
    for _ in 0..20_000 {
        lanes.enter(READY, Priority::Low, LANE, owner(0));
    }
    for number in 1..10_000 {
        let place = lanes.enter(READY, Priority::Low, LANE, owner(number));
        lanes.leave(place, Priority::Low, LANE);
        lanes.pass(Priority::Low, i64::try_from(number).unwrap());
    }
    let line = lanes.line(Priority::Low);
    let remembered = line.last_turns.len();
    assert!(remembered <= 2 * Line::FEW, "{remembered}");
    assert_eq!(line.next_turn(owner(0)), 20_000, "but not who still waits");
}

#[test]
fn every_fourth_claim_is_told() {
    let mut lanes = Lanes::default();
    let told: Vec<bool> = (0..8).map(|_| lanes.is_fourth_claim()).collect();
    assert_eq!(told, [false, false, false, true, false, false, false, true]);
}

impl Lanes {
    /// What is remembered, with the last turns of those owners who have ready jobs by `known`.
    pub(in crate::sqlite) fn picture(&self, known: &Self) -> String {
        let mut names: Vec<_> = self.numbers.iter().collect();
        names.sort();
        let mut text = format!("{names:?} {} {} {}", self.scheduled, self.blocked, self.held);
        for (line, known) in self.lines.iter().zip(&known.lines) {
            let owners = known.last_turns.keys();
            let mut turns: Vec<_> = owners.map(|owner| (owner, line.last_turns.get(owner))).collect();
            turns.sort();
            text.push_str(&format!(" {:?} {turns:?}", line.ready));
        }
        text
    }
}

impl TaskLedger {
    /// Whether the queue is counted.
    pub(in crate::sqlite) fn is_counted(&self) -> bool {
        self.lanes.is_some()
    }
}
