//! The attempts that run in this process.

use std::collections::{HashMap, HashSet, VecDeque};

use model::{Error, ErrorCode, Hold, WorkerId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::QueueHandle;

/// How many stops are remembered of attempts that haven't begun here: their claim is durable, but the worker
/// hasn't heard of it yet. Most are of attempts that run elsewhere.
const MOST_AHEAD: usize = 1_024;

/// The attempts that run here.
#[derive(Default)]
pub(super) struct RunningAttempts(Mutex<Attempts>);

#[derive(Default)]
struct Attempts {
    running: HashMap<Hold, Running>,
    /// Stopped before they began, the latest last.
    ahead: VecDeque<Hold>,
    /// Workers that stop: what they begin ends at once.
    stopping: HashSet<WorkerId>,
}

struct Running {
    worker: WorkerId,
    stop: CancellationToken,
    /// Whether the call has ended and its end is being written.
    is_ending: bool,
}

impl RunningAttempts {
    /// Stops an attempt, and those before it that don't know yet that they were superseded.
    pub(super) fn stop(&self, hold: Hold) {
        let mut attempts = self.0.lock();
        let of_task = attempts
            .running
            .iter()
            .filter(|(other, _)| other.task == hold.task);
        for (_, running) in of_task.filter(|(other, _)| other.attempt <= hold.attempt) {
            running.stop.cancel();
        }
        if attempts.running.contains_key(&hold) {
            return;
        }
        if attempts.ahead.len() >= MOST_AHEAD {
            attempts.ahead.pop_front();
        }
        attempts.ahead.push_back(hold);
    }

    pub(super) fn stop_superseded(&self, hold: Hold) -> bool {
        let attempts = self.0.lock();
        let Some(running) = attempts.running.get(&hold) else {
            return false;
        };
        // What becomes of one that is ending, it hears from the store itself.
        if !running.is_ending {
            running.stop.cancel();
        }
        !running.is_ending
    }

    pub(super) fn stop_worker(&self, worker: WorkerId) {
        let mut attempts = self.0.lock();
        attempts.stopping.insert(worker);
        for running in attempts.running.values() {
            if running.worker == worker {
                running.stop.cancel();
            }
        }
    }

    pub(super) fn of(&self, worker: WorkerId) -> Vec<Hold> {
        let attempts = self.0.lock();
        let own = attempts
            .running
            .iter()
            .filter(|(_, running)| running.worker == worker);
        own.map(|(hold, _)| *hold).collect()
    }

    /// Notes an attempt; gives what stops it, and whether its worker stops.
    fn begin(&self, hold: Hold, worker: WorkerId) -> CancellationToken {
        let stop = CancellationToken::new();
        let mut attempts = self.0.lock();
        let stopped_ahead = attempts.ahead.iter().position(|ahead| *ahead == hold);
        if let Some(place) = stopped_ahead {
            attempts.ahead.remove(place);
        }
        if stopped_ahead.is_some() || attempts.stopping.contains(&worker) {
            stop.cancel();
        }
        let running = Running {
            worker,
            stop: stop.clone(),
            is_ending: false,
        };
        attempts.running.insert(hold, running);
        stop
    }
}

/// An attempt that runs here.
pub(crate) struct RunningAttempt {
    handle: QueueHandle,
    hold: Hold,
    worker: WorkerId,
    stop: CancellationToken,
}

impl RunningAttempt {
    pub(super) fn begin(handle: QueueHandle, hold: Hold, worker: WorkerId) -> Self {
        let stop = handle.0.running.begin(hold, worker);
        Self {
            handle,
            hold,
            worker,
            stop,
        }
    }

    /// Which it is.
    pub(crate) fn hold(&self) -> Hold {
        self.hold
    }

    /// Tells whether it is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells whether its worker stops.
    pub(crate) fn is_worker_stopping(&self) -> bool {
        self.attempts().lock().stopping.contains(&self.worker)
    }

    /// Waits until it is to stop, and gives what the history tells of that.
    pub(crate) async fn stopped(&self) -> Error {
        self.stop.cancelled().await;
        let message = if self.is_worker_stopping() {
            "the server stopped before the end; the task is tried again"
        } else {
            "the task was cancelled, or taken over by another attempt, before the end"
        };
        Error::new(ErrorCode::Cancelled, message)
    }

    /// Stops it: it doesn't hold its task any more.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Notes that the call has ended and its end is being written.
    pub(crate) fn note_ending(&self) {
        if let Some(running) = self.attempts().lock().running.get_mut(&self.hold) {
            running.is_ending = true;
        }
    }

    fn attempts(&self) -> &Mutex<Attempts> {
        &self.handle.0.running.0
    }
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        self.attempts().lock().running.remove(&self.hold);
    }
}

#[cfg(test)]
mod tests {
    use model::TaskId;
    use uuid::Uuid;

    use super::*;

    fn hold(number: u128) -> Hold {
        Hold {
            task: TaskId::from_uuid(Uuid::from_u128(number)),
            attempt: 1,
        }
    }

    fn worker(number: u128) -> WorkerId {
        WorkerId::from_uuid(Uuid::from_u128(number))
    }

    fn stop(handle: &QueueHandle, number: u128) {
        handle.stop_attempt(hold(number).task, hold(number).attempt);
    }

    #[test]
    fn an_attempt_that_was_stopped_before_its_worker_heard_of_it_is_stopped_when_it_begins() {
        let handle = QueueHandle::default();
        stop(&handle, 1);
        assert!(handle.begin_attempt(hold(1), worker(1)).is_stopped());
        assert!(!handle.begin_attempt(hold(2), worker(1)).is_stopped());
        assert!(!handle.begin_attempt(hold(1), worker(1)).is_stopped());
    }

    #[test]
    fn an_attempt_that_was_superseded_is_stopped_with_the_latest_one() {
        let handle = QueueHandle::default();
        let superseded = handle.begin_attempt(hold(1), worker(1));
        let other = handle.begin_attempt(hold(2), worker(1));
        handle.stop_attempt(hold(1).task, 2);
        assert_eq!((superseded.is_stopped(), other.is_stopped()), (true, false));
    }

    #[test]
    fn of_attempts_that_never_begin_here_only_so_many_are_remembered() {
        let handle = QueueHandle::default();
        let most = u128::try_from(MOST_AHEAD).unwrap();
        (0..=most).for_each(|number| stop(&handle, number));
        assert_eq!(handle.0.running.0.lock().ahead.len(), MOST_AHEAD);
        assert!(!handle.begin_attempt(hold(0), worker(1)).is_stopped());
        assert!(handle.begin_attempt(hold(most), worker(1)).is_stopped());
    }

    #[test]
    fn a_worker_that_stops_stops_its_own_attempts_only() {
        let handle = QueueHandle::default();
        let (own, other) = (
            handle.begin_attempt(hold(1), worker(1)),
            handle.begin_attempt(hold(2), worker(2)),
        );
        handle.stop_worker(worker(1));
        assert_eq!((own.is_stopped(), other.is_stopped()), (true, false));
        assert!(handle.begin_attempt(hold(3), worker(1)).is_stopped());
    }

    #[test]
    fn an_attempt_whose_end_is_being_written_is_not_called_superseded() {
        let handle = QueueHandle::default();
        let running = handle.begin_attempt(hold(1), worker(1));
        running.note_ending();
        assert!(!handle.stop_superseded(hold(1)) && !running.is_stopped());
        drop(running);
        assert!(!handle.stop_superseded(hold(1)));
        assert_eq!(handle.attempts_of(worker(1)), []);
    }
}
