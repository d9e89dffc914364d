//! The one loop that drives periodic duties.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

/// Something to be done again and again: safe to repeat, and without input.
#[async_trait]
pub trait Duty: Send + Sync {
    /// Names the duty in logs.
    fn name(&self) -> &'static str;

    /// How long to wait between two steps.
    fn period(&self) -> Duration;

    /// Does a bounded piece of work.
    ///
    /// # Errors
    /// Any; it is logged, and the next step is tried all the same.
    async fn step(&self) -> model::Result<()>;
}

/// Drives duties until it is told to stop.
#[derive(Clone)]
pub struct Pace {
    /// Ends every loop at its next wait.
    pub stop: CancellationToken,
}

impl Pace {
    /// Repeats `duty` until told to stop: a step at once, then one after each period.
    pub async fn drive(&self, duty: Arc<dyn Duty>) {
        todo!("{}", duty.name())
    }
}
