//! Tasks: what people do with them, and the worker that does them.

mod reference;
mod payload;
mod submit;
mod list;
mod change;
mod run;
mod answer;
mod watch;
mod settle;
mod backoff;
mod progress;
mod lease;
mod attempt;
mod agenda;
mod worker;

use model::Result;

use crate::{parts::Engine, queue::once_sent};

pub use agenda::ClaimStep;
pub use change::TaskUpdate;
pub use run::TaskRun;
pub use submit::TaskRequest;
pub use watch::TaskWatch;
pub use worker::Worker;

impl Engine {
    /// Does a write after which there may be something to claim.
    ///
    /// The worker is woken once the write is on its way, so that its claim becomes durable together with it; and
    /// again when it is durable, in case that the claim came too early.
    async fn waking<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        let queue = &self.parts.queue;
        let done = once_sent(write, || queue.nudge()).await;
        queue.nudge();
        done
    }
}
