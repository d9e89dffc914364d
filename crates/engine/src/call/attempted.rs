//! What comes of the call of a task.

use model::{Error, Execution, Reply, Result};

/// A try of a task, over.
#[derive(Debug)]
pub(crate) struct Attempted {
    /// The call, ended. `None` when it couldn't be made, for a reason that isn't the task's: nothing is recorded then.
    pub(crate) execution: Option<Execution>,
    /// Whether the history holds the call as running already.
    pub(crate) is_recorded: bool,
    /// How it went; the result is the execution's. A call that asks is in the history as one that failed.
    pub(crate) outcome: Result<Reply<()>>,
}

impl Attempted {
    /// Says that nothing was called, for a reason that isn't the task's.
    pub(crate) fn not_made(error: Error) -> Self {
        Self {
            execution: None,
            is_recorded: false,
            outcome: Err(error),
        }
    }
}
