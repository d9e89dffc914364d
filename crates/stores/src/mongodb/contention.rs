//! Writers of one document: they wait for each other within a process, and try again what another process was faster
//! with.

use std::{
    array,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use model::Error;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::failure::Fault;

/// How often one step is tried at most.
const MAX_TRIES: u32 = 40;

/// The longest wait between two tries.
const MAX_PAUSE: Duration = Duration::from_millis(64);

/// How often a step has lost against other writers of the same document.
#[derive(Debug, Default)]
pub(super) struct Contention {
    losses: u32,
}

impl Contention {
    /// How many tries were lost.
    pub(super) fn losses(&self) -> u32 {
        self.losses
    }

    /// Waits for a moment before the next try: at random, and longer with each loss, so that writers come apart.
    ///
    /// # Errors
    /// `Unavailable` after 40 losses.
    pub(super) async fn again(&mut self) -> Result<(), Fault> {
        self.losses = self.losses.saturating_add(1);
        if self.losses >= MAX_TRIES {
            let message = "others change the same thing all the time; try again";
            return Err(Error::unavailable(message).into());
        }
        let longest = Duration::from_millis(1)
            .saturating_mul(1 << self.losses.min(6))
            .min(MAX_PAUSE);
        pause(longest.mul_f64(fraction())).await;
        Ok(())
    }
}

/// How many documents can be changed at the same moment, at most, by those who take turns.
const PLACES: usize = 64;

/// Lets those of one process who change the same document do it one after the other: the database lets all but one
/// begin again, at its own cost. Nothing but speed depends on it.
pub(super) struct Turns {
    places: [Mutex<()>; PLACES],
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        }
    }
}

impl Turns {
    /// Waits for the turn of one who changes the document with a key, for up to `limit`; it lasts as long as what is
    /// given.
    ///
    /// # Errors
    /// [`Fault::TimedOut`].
    pub(super) async fn wait(&self, key: &str, limit: Duration) -> Result<MutexGuard<'_, ()>, Fault> {
        let [.., byte] = self.hasher.hash_one(key).to_be_bytes();
        let place = self
            .places
            .get(usize::from(byte) % PLACES)
            .ok_or(Fault::TimedOut)?;
        timeout(limit, place.lock()).await.map_err(|_| Fault::TimedOut)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "one step waits for its next try, which are few; nothing loops here"
)]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A number from 0 to 1 that differs from call to call and from process to process; nothing secret hangs on it.
fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
