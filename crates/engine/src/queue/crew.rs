//! The worker of this process, as others see it: what it has its hands full with, and whether it gets on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use model::Error;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::QueueHandle;

/// How long tasks may be ready and slots free without anything being claimed, before the worker counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// How the worker of this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// This process does no tasks: it isn't meant to, or it stops.
    Off,
    /// It works.
    Working,
    /// Tasks are ready and could be begun, and for 30 s none was; or the worker has died.
    Stuck,
}

/// How the worker of this process is, and how much it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerHealth {
    /// How it is.
    pub state: WorkerState,
    /// How many tasks it does at once at most.
    pub concurrency: u16,
    /// How many it does at this moment.
    pub busy: u16,
}

/// Lets as many attempts run at once as are wanted.
pub(crate) struct Slots {
    turns: Arc<Semaphore>,
    total: u16,
    /// How many attempts are in one.
    busy: Arc<AtomicU16>,
}

impl Slots {
    pub(crate) fn new(total: u16) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(usize::from(total))),
            total,
            busy: Arc::default(),
        }
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u16 {
        self.total
    }

    /// How many hold attempts.
    pub(crate) fn busy(&self) -> u16 {
        self.busy.load(Ordering::Relaxed)
    }

    /// How many are neither taken nor put aside.
    pub(crate) fn free(&self) -> u16 {
        u16::try_from(self.turns.available_permits()).unwrap_or(u16::MAX)
    }

    /// Tells whether something is about to be claimed.
    pub(crate) fn are_some_aside(&self) -> bool {
        self.free().saturating_add(self.busy()) < self.total
    }

    /// Puts `count` slots aside for what is about to be claimed; `None` when there are none, or fewer by now.
    pub(crate) fn put_aside(&self, count: u16) -> Option<SlotsAside> {
        let turns = Arc::clone(&self.turns).try_acquire_many_owned(u32::from(count));
        let turns = turns.ok().filter(|_| count > 0)?;
        Some(SlotsAside {
            turns,
            busy: Arc::clone(&self.busy),
        })
    }
}

/// Slots that nobody else takes; given back when dropped, without waking anyone.
pub(crate) struct SlotsAside {
    turns: OwnedSemaphorePermit,
    busy: Arc<AtomicU16>,
}

impl SlotsAside {
    /// How many they are.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.turns.num_permits()).unwrap_or(u16::MAX)
    }

    /// Takes one of them for an attempt.
    ///
    /// # Errors
    /// `Bug` when none is left.
    pub(crate) fn take_one(&mut self, handle: &QueueHandle) -> model::Result<Slot> {
        let turn = self.turns.split(1);
        let turn = turn.ok_or_else(|| Error::bug("more tasks were claimed than asked for"))?;
        self.busy.fetch_add(1, Ordering::Relaxed);
        Ok(Slot {
            turn: Some(turn),
            busy: Arc::clone(&self.busy),
            handle: handle.clone(),
        })
    }
}

/// The slot of one attempt. When it is dropped, the worker fills it, if it knows of more to do.
pub(crate) struct Slot {
    /// Taken when dropped.
    turn: Option<OwnedSemaphorePermit>,
    busy: Arc<AtomicU16>,
    handle: QueueHandle,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
        drop(self.turn.take());
        self.handle.0.crew.note_progress();
        self.handle.note_free_slot();
    }
}

/// What is known of the worker.
#[derive(Default)]
pub(super) struct Crew(Mutex<Known>);

#[derive(Default)]
struct Known {
    slots: Option<Arc<Slots>>,
    is_alive: bool,
    /// When something was claimed last, or looked for, or a slot became free.
    got_on_at: Option<Instant>,
}

impl Crew {
    pub(super) fn note_progress(&self) {
        self.0.lock().got_on_at = Some(Instant::now());
    }

    /// Tells whether there is a worker here that could begin something.
    pub(super) fn has_free_slot(&self) -> bool {
        let known = self.0.lock();
        known.is_alive && known.slots.as_ref().is_some_and(|slots| slots.free() > 0)
    }

    pub(super) fn health(&self, is_waiting: bool) -> WorkerHealth {
        let known = self.0.lock();
        let Some(slots) = &known.slots else {
            return WorkerHealth {
                state: WorkerState::Off,
                concurrency: 0,
                busy: 0,
            };
        };
        let is_late = known.got_on_at.is_none_or(|at| at.elapsed() > STUCK_AFTER);
        let could_begin = is_waiting && slots.busy() < slots.total();
        let state = match slots.total() {
            _ if !known.is_alive => WorkerState::Stuck,
            0 => WorkerState::Off,
            _ if could_begin && is_late => WorkerState::Stuck,
            _ => WorkerState::Working,
        };
        WorkerHealth {
            state,
            concurrency: slots.total(),
            busy: slots.busy(),
        }
    }
}

/// A worker at work. Dropped without [`Self::stop`], it counts as dead.
pub(crate) struct AtWork {
    handle: QueueHandle,
    has_stopped: bool,
}

impl AtWork {
    pub(super) fn begin(handle: QueueHandle, slots: Arc<Slots>) -> Self {
        *handle.0.crew.0.lock() = Known {
            slots: Some(slots),
            is_alive: true,
            got_on_at: Some(Instant::now()),
        };
        Self {
            handle,
            has_stopped: false,
        }
    }

    /// Notes that it was told to stop.
    pub(crate) fn stop(&mut self) {
        self.has_stopped = true;
        self.handle.0.crew.0.lock().slots = None;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if !self.has_stopped {
            self.handle.0.crew.0.lock().is_alive = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn state_when(is_waiting: bool, idle: Duration) -> WorkerState {
        let handle = QueueHandle::default();
        let _at_work = handle.begin_work(Arc::new(Slots::new(2)));
        handle.0.crew.0.lock().got_on_at = Instant::now().checked_sub(idle);
        handle.worker_health(is_waiting).state
    }

    #[test]
    fn a_worker_is_stuck_when_tasks_wait_slots_are_free_and_nothing_is_claimed() {
        let long = STUCK_AFTER + Duration::from_secs(1);
        assert_eq!(state_when(true, long), WorkerState::Stuck);
        assert_eq!(state_when(false, long), WorkerState::Working);
        assert_eq!(state_when(true, Duration::ZERO), WorkerState::Working);
    }

    #[test]
    fn a_worker_with_its_hands_full_is_not_stuck() {
        let handle = QueueHandle::default();
        let slots = Arc::new(Slots::new(2));
        let _at_work = handle.begin_work(Arc::clone(&slots));
        let mut aside = slots.put_aside(2).unwrap();
        let taken = [(); 2].map(|()| aside.take_one(&handle).unwrap());
        handle.0.crew.0.lock().got_on_at = None;
        let health = handle.worker_health(true);
        assert_eq!((health.state, health.busy), (WorkerState::Working, 2));
        drop(taken);
        handle.0.crew.0.lock().got_on_at = None;
        assert_eq!(handle.worker_health(true).state, WorkerState::Stuck);
    }

    #[test]
    fn a_worker_that_died_is_stuck_and_one_that_stopped_is_off() {
        let handle = QueueHandle::default();
        assert_eq!(handle.worker_health(true).state, WorkerState::Off);
        drop(handle.begin_work(Arc::new(Slots::new(2))));
        assert_eq!(handle.worker_health(false).state, WorkerState::Stuck);
        handle.begin_work(Arc::new(Slots::new(2))).stop();
        assert_eq!(handle.worker_health(true).state, WorkerState::Off);
    }

    #[test]
    fn slots_put_aside_are_taken_one_by_one_and_given_back() {
        let (handle, slots) = (QueueHandle::default(), Slots::new(3));
        assert!(slots.put_aside(4).is_none());
        assert!(slots.put_aside(0).is_none());
        let mut aside = slots.put_aside(2).unwrap();
        let slot = aside.take_one(&handle).unwrap();
        assert_eq!((slots.free(), aside.count()), (1, 1));
        assert!(slots.are_some_aside());
        drop(aside);
        assert!(!slots.are_some_aside());
        assert_eq!(slots.free(), 2);
        drop(slot);
        assert_eq!(slots.free(), 3);
        assert!(handle.slot_freed().now_or_never().is_some());
        assert!(handle.nudged().now_or_never().is_none());
    }
}
