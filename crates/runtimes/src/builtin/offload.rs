//! Keeps long computations off the threads that serve requests.

use model::{Error, Result};
use serde_json::Value;
use tokio::task::JoinSet;

use super::Answer;

/// Does work at once when it is `small`, and otherwise on a thread for blocking work.
///
/// Work that waits for such a thread is given up with its call. Work that runs ends by itself: whatever is
/// given here is bounded by the size of its input to some tens of milliseconds.
pub(super) fn compute(
    is_small: bool,
    work: impl FnOnce() -> Result<Value> + Send + 'static,
) -> Answer<'static> {
    if is_small {
        return Answer::Now(work());
    }
    Answer::later(async {
        let mut task = JoinSet::new();
        task.spawn_blocking(work);
        match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(cause)) => Err(Error::bug(cause)),
            None => Err(Error::bug("a computation that was begun is gone")),
        }
    })
}
