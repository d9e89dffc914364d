//! The one loop that drives periodic duties.

use std::{future::pending, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use model::{Error, ErrorCode, Result};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How long one step may take before it is given up; it is tried again at the next tick.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// The shortest period, so that a duty can't take a whole core by mistake.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Something to be done again and again: safe to repeat, and without input.
#[async_trait]
pub trait Duty: Send + Sync {
    /// Names the duty in logs.
    fn name(&self) -> &'static str;

    /// How long to wait between the beginnings of two steps.
    fn period(&self) -> Duration;

    /// Waits until a step is wanted before its time; for ever, unless the duty says otherwise. Dropped and called
    /// again at will.
    async fn woken(&self) {
        pending::<()>().await;
    }

    /// Does a bounded piece of work.
    ///
    /// # Errors
    /// Any; it is logged, and the next step is tried all the same.
    async fn step(&self) -> Result<()>;
}

/// Drives duties until it is told to stop.
#[derive(Clone)]
pub struct Pace {
    /// Ends every loop at its next wait.
    pub stop: CancellationToken,
}

impl Pace {
    /// Repeats `duty` until told to stop: a step at once, then one after each period, and whenever it is woken.
    ///
    /// A step that has begun is finished before the loop ends. A step that takes longer than the period
    /// lets the ticks pass that it missed; steps never overlap. A panic in a step counts as an error.
    pub async fn drive(&self, duty: Arc<dyn Duty>) {
        let mut ticks = interval(duty.period().max(SHORTEST_PERIOD));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_failing = false;
        while self.waits(&mut ticks, duty.as_ref()).await {
            let outcome = attempt(duty.as_ref()).await;
            report(duty.name(), &outcome, is_failing);
            is_failing = outcome.is_err();
        }
    }

    /// Waits for the next step; tells whether there is to be one.
    async fn waits(&self, ticks: &mut Interval, duty: &dyn Duty) -> bool {
        let next = async {
            tokio::select! {
                _at = ticks.tick() => {}
                () = duty.woken() => {}
            }
        };
        self.stop.run_until_cancelled(next).await.is_some()
    }
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "everything that waits for time to pass waits here"
)]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

async fn attempt(duty: &dyn Duty) -> Result<()> {
    match timeout(STEP_LIMIT, AssertUnwindSafe(duty.step()).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(Error::bug("the step panicked")),
        Err(_elapsed) => Err(Error::new(ErrorCode::Unavailable, "the step took too long")),
    }
}

/// Logs the first failure of a streak, and its end.
fn report(duty: &'static str, outcome: &Result<()>, was_failing: bool) {
    match outcome {
        Err(error) if !was_failing => {
            let cause = std::error::Error::source(error);
            tracing::warn!(duty, %error, cause, "a periodic duty fails; it is tried again and again");
        }
        Ok(()) if was_failing => tracing::info!(duty, "a periodic duty works again"),
        Ok(()) | Err(_) => {}
    }
}
