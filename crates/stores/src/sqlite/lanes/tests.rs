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
        Place::Held | Place::Scheduled | Place::Blocked | Place::Asking => panic!("it isn't ready"),
    }
}

fn claim(lanes: &mut Lanes, turn: i64, number: u64) {
    lanes.pass(Priority::Low, turn, owner(number));
    lanes.leave(Place::Ready { turn }, Priority::Low, LANE, owner(number));
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
        claim(&mut lanes, turn, 1);
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
fn a_backlog_that_was_called_off_costs_its_owner_no_turn() {
    let mut lanes = Lanes::default();
    let enter = |lanes: &mut Lanes, number| turn(lanes.enter(READY, Priority::Low, LANE, owner(number)));
    for called_off in 0..100 {
        assert_eq!(enter(&mut lanes, 1), called_off);
    }
    for turn in 0..100 {
        lanes.leave(Place::Ready { turn }, Priority::Low, LANE, owner(1));
    }
    assert_eq!(enter(&mut lanes, 1), 0);
}

#[test]
fn who_calls_off_and_submits_again_does_not_get_ahead_of_who_waits() {
    let mut lanes = Lanes::default();
    let enter = |lanes: &mut Lanes, number| turn(lanes.enter(READY, Priority::Low, LANE, owner(number)));
    enter(&mut lanes, 1);
    claim(&mut lanes, 0, 1);
    assert_eq!(enter(&mut lanes, 2), 0);
    assert_eq!(enter(&mut lanes, 1), 1, "its turn has just been");
    lanes.leave(Place::Ready { turn: 1 }, Priority::Low, LANE, owner(1));
    assert_eq!(enter(&mut lanes, 1), 1);
}

#[test]
fn owners_are_forgotten_when_their_turn_is_past() {
    let mut lanes = Lanes::default();
    for _ in 0..20_000 {
        lanes.enter(READY, Priority::Low, LANE, owner(0));
    }
    for number in 1..10_000 {
        let place = lanes.enter(READY, Priority::Low, LANE, owner(number));
        lanes.pass(Priority::Low, i64::try_from(number).unwrap(), owner(number));
        lanes.leave(place, Priority::Low, LANE, owner(number));
    }
    let line = lanes.line(Priority::Low);
    let remembered = line.owners.len();
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
    /// What is remembered, and could be counted anew.
    pub(in crate::sqlite) fn picture(&self) -> String {
        let mut names: Vec<_> = self.numbers.iter().collect();
        names.sort();
        let waiting = [self.scheduled, self.blocked, self.asking, self.held];
        let mut text = format!("{names:?} {waiting:?}");
        for line in &self.lines {
            let owners = line.owners.iter().map(|(owner, queuer)| (owner, queuer.waiting));
            let mut owners: Vec<_> = owners.filter(|(_, waiting)| *waiting > 0).collect();
            owners.sort();
            text.push_str(&format!(" {:?} {owners:?}", line.ready));
        }
        text
    }

    /// Whether each owner's next turn comes after all that it has by `anew`.
    pub(in crate::sqlite) fn gives_new_turns(&self, anew: &Self) -> bool {
        let mut lines = self.lines.iter().zip(&anew.lines);
        lines.all(|(line, anew)| {
            let mut owners = anew.owners.iter();
            owners.all(|(owner, queuer)| line.next_turn(*owner) > queuer.last)
        })
    }
}

impl TaskLedger {
    /// Whether the queue is counted.
    pub(in crate::sqlite) fn is_counted(&self) -> bool {
        self.lanes.is_some()
    }
}
