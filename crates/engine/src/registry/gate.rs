//! How many calls of one plugin run at once, and how many wait for their turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Error, ErrorCode, Result};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many calls may wait for each that may run.
const WAITING_PER_TURN: usize = 16;

/// Lets in as many calls at once as a plugin can take, the longest waiting first.
pub(crate) struct Gate {
    turns: Semaphore,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Gate {
    /// Makes a gate that lets `turns` calls in at once, and lets sixteen times as many wait.
    pub(crate) fn new(turns: u16) -> Self {
        let turns = usize::from(turns);
        Self {
            turns: Semaphore::new(turns),
            waiting: AtomicUsize::new(0),
            most_waiting: turns * WAITING_PER_TURN,
        }
    }

    /// Tells how many calls could enter now without a wait.
    pub(crate) fn room(&self) -> u16 {
        u16::try_from(self.turns.available_permits()).unwrap_or(u16::MAX)
    }

    /// Waits for a turn, which ends when the answer is dropped.
    ///
    /// # Errors
    /// `Overloaded` at once when as many are waiting as may.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let _place = Place::take(self)?;
        self.turns.acquire().await.map_err(Error::bug)
    }
}

/// Says that no turn comes soon.
pub(super) fn overloaded() -> Error {
    let message = "as many calls of this plugin are running and waiting as it can take; try again later";
    Error::new(ErrorCode::Overloaded, message).retry_after(Duration::from_secs(1))
}

/// A place among those who wait; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Result<Self> {
        let place = Self(&gate.waiting);
        // The place is given back by its drop in either case.
        if gate.waiting.fetch_add(1, Ordering::Relaxed) < gate.most_waiting {
            Ok(place)
        } else {
            Err(overloaded())
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
