//! The tasks on which others depend.

use std::collections::HashSet;

use model::TaskId;
use parking_lot::Mutex;

/// How many are remembered at least.
const FEWEST: usize = 8_192;

/// The tasks whose ends are to be told to others at once, as far as others were submitted here, and lately. Of those
/// that are forgotten the others are told a little later.
#[derive(Default)]
pub(super) struct Awaited(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashSet<TaskId>,
    /// Forgotten when there are too many young ones.
    old: HashSet<TaskId>,
}

impl Awaited {
    pub(super) fn add(&self, tasks: &[TaskId]) {
        if tasks.is_empty() {
            return;
        }
        let mut generations = self.0.lock();
        if generations.young.len().saturating_add(tasks.len()) > FEWEST {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.extend(tasks);
    }

    /// Forgets a task; tells whether it was awaited.
    pub(super) fn take(&self, task: TaskId) -> bool {
        let mut generations = self.0.lock();
        let is_young = generations.young.remove(&task);
        generations.old.remove(&task) || is_young
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn task(number: usize) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(number.try_into().unwrap()))
    }

    #[test]
    fn what_is_awaited_is_told_once_and_nothing_else_is() {
        let awaited = Awaited::default();
        awaited.add(&[task(1), task(2)]);
        assert!(!awaited.take(task(3)));
        assert!(awaited.take(task(1)));
        assert!(!awaited.take(task(1)));
        assert!(awaited.take(task(2)));
    }

    #[test]
    fn of_tasks_that_never_end_only_the_latest_are_remembered() {
        let awaited = Awaited::default();
        let last = FEWEST * 3;
        for number in 0..=last {
            awaited.add(&[task(number)]);
        }
        let generations = awaited.0.lock();
        assert!(generations.young.len() + generations.old.len() <= FEWEST * 2);
        drop(generations);
        assert!(!awaited.take(task(0)));
        assert!(awaited.take(task(last)) && awaited.take(task(last - FEWEST + 1)));
    }
}
