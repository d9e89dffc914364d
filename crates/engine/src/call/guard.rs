//! The fence around everything that a plugin does.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use model::{Error, Result};
use tokio::time::timeout;

use super::failure::{as_plugin_failure, timed_out};

/// Lets a plugin work for at most `limit`, and turns whatever goes wrong into a plugin's failure, a panic too.
///
/// `work` makes the plugin's future when it is polled, so that a panic before its first await is caught.
///
/// # Errors
/// The plugin's, `PluginTimedOut`, or `Bug` when it panicked; what it refuses lies below `subject`.
pub(crate) async fn guarded<T>(
    limit: Duration,
    subject: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome.map_err(|error| as_plugin_failure(error, subject)),
        Ok(Err(_panic)) => Err(Error::bug("a plugin panicked")),
        Err(_elapsed) => Err(timed_out(limit)),
    }
}
