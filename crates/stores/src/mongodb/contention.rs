//! Trying again what another writer was faster with.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use model::Error;

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
