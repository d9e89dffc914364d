//! How far an attempt has come: told by its plugin as often as it likes, kept twice a second at most.

use std::{future::pending, time::Duration};

use model::{ErrorKind, Progress, ProgressReporter};
use tokio::sync::watch;

use crate::{pace::pause, parts::Engine, queue::RunningAttempt};

/// How long after one report the next one is kept.
const KEEP_EVERY: Duration = Duration::from_millis(500);

/// The latest report of an attempt.
pub(super) struct Reports(watch::Receiver<Option<Progress>>);

impl Reports {
    /// Makes a pair: what the plugin reports to, and what keeps it.
    pub(super) fn new() -> (ProgressReporter, Self) {
        let (sender, receiver) = watch::channel(None);
        let reporter = ProgressReporter::new(move |progress| {
            sender.send_replace(Some(progress));
        });
        (reporter, Self(receiver))
    }

    /// Keeps reports, the latest each time, until it is dropped. Stops the attempt when it turns out not to hold
    /// its task any more. A report that can't be kept is left out: the next one tells more.
    pub(super) async fn keep(mut self, engine: &Engine, running: &RunningAttempt) {
        while self.0.changed().await.is_ok() {
            let Some(progress) = self.0.borrow_and_update().clone() else {
                continue;
            };
            let now = engine.parts.clock.now();
            let kept = engine.parts.store.report_progress(running.hold(), progress, now);
            match kept.await {
                Ok(()) => engine.parts.queue.announce_change(running.hold().task),
                Err(error) => {
                    if error.kind() == ErrorKind::Conflict {
                        running.stop();
                    }
                    tracing::debug!(task = %running.hold().task, %error, "the progress of a task was not kept");
                }
            }
            pause(KEEP_EVERY).await;
        }
        // The plugin has let go of its end: there is nothing more to come.
        pending::<()>().await;
    }
}
