//! What sets the call of a task apart from others.

use model::{CallTry, Error, Execution, ProgressReporter, Result};

/// Which try of a task a call is, if it is one.
#[derive(Default)]
pub(crate) struct Trial {
    /// Which.
    pub(crate) call_try: Option<CallTry>,
    /// Who hears of its progress.
    pub(crate) progress: ProgressReporter,
}

/// A try of a task, over.
#[derive(Debug)]
pub(crate) struct Attempted {
    /// The call, ended. `None` when it couldn't be made, for a reason that isn't the task's: nothing is recorded then.
    pub(crate) execution: Option<Execution>,
    /// Whether the history holds the call as running already.
    pub(crate) is_recorded: bool,
    /// How it went; the result is the execution's.
    pub(crate) outcome: Result<()>,
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
