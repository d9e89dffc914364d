//! Whether the server can do its work, and how it ends it.

use std::time::Duration;

use model::{Error, ErrorCode, Result};
use tokio::time::timeout;

use crate::{parts::Engine, pulse::HealthReport};

/// How long closing waits for calls that are still being recorded.
const RECORDING_LIMIT: Duration = Duration::from_secs(3);

/// How long closing waits for the use of keys to be written.
const WRITING_LIMIT: Duration = Duration::from_secs(2);

/// How long closing waits for the store to put everything where it belongs.
const CLOSING_LIMIT: Duration = Duration::from_secs(4);

impl Engine {
    /// Looks at every part, within two seconds. The answer is at most a second old.
    pub async fn health(&self) -> HealthReport {
        self.parts
            .pulse
            .report(self.parts.store.as_ref(), &self.parts.plugins, &self.parts.queue)
            .await
    }

    /// Takes no more calls, waits at most 3 s for running ones to be recorded, writes down what is held back,
    /// and closes the store. Later verbs fail. Ends within 9 s.
    ///
    /// # Errors
    /// `Unavailable` when not everything could be written.
    pub async fn close(&self) -> Result<()> {
        self.parts.tasks.close();
        let recorded = timeout(RECORDING_LIMIT, self.parts.tasks.wait())
            .await
            .map_err(|_elapsed| late("calls are still running"));
        let flushed = timeout(WRITING_LIMIT, self.flush_key_usage())
            .await
            .unwrap_or_else(|_elapsed| Err(late("the use of keys could not be written in time")));
        let closed = timeout(CLOSING_LIMIT, self.parts.store.close())
            .await
            .unwrap_or_else(|_elapsed| Err(late("the store could not be closed in time")));
        recorded.and(flushed).and(closed)
    }
}

fn late(message: &'static str) -> Error {
    Error::new(ErrorCode::Unavailable, message)
}
