//! What the engine tells about its own work, for metrics.

use std::time::Duration;

use crate::{
    execution::ExecutionStatus,
    name::{ActionName, PluginName},
    task::TaskStatus,
};

/// Something that happened and is worth counting. Holds no personal data and no unbounded text.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A call of an action that exists ended, refused ones included.
    CallEnded {
        /// The plugin.
        plugin: &'a PluginName,
        /// Its action.
        action: &'a ActionName,
        /// Success or failure.
        status: ExecutionStatus,
        /// From its acceptance to its end.
        duration: Duration,
    },
    /// A call of a plugin or action that doesn't exist was refused.
    UnknownCall,
    /// Someone tried to sign in.
    SignIn {
        /// Whether it worked.
        succeeded: bool,
    },
    /// An account was made.
    Registered,
    /// A session was renewed.
    SessionRenewed,
    /// A dead refresh token was presented, and its session ended.
    RefreshTokenReused,
    /// A password was hashed or checked.
    PasswordWork {
        /// How long it waited for its turn.
        waited: Duration,
        /// How long it took.
        worked: Duration,
    },
    /// Password work was turned away, since as much was waiting as can be held.
    PasswordWorkRefused,
    /// An attempt at a task began.
    TaskStarted {
        /// From ready to started.
        waited: Duration,
    },
    /// An attempt at a task ended.
    TaskAttemptEnded {
        /// What became of the task by it; pending when it is to be tried again or was handed back.
        status: TaskStatus,
        /// From started to ended.
        ran: Duration,
    },
    /// A task is to be tried again after a failure.
    TaskRetried,
    /// This process held a task, and found that it doesn't any more.
    TaskLeaseLost,
    /// A task was taken from a worker that is gone.
    TaskReleased,
    /// A credential was checked.
    CredentialChecked {
        /// Whether the answer came from the cache of principals.
        cached: bool,
    },
}

/// Takes observations. Cheap, never blocks, never fails.
pub trait Observer: Send + Sync {
    /// Takes one observation.
    fn observe(&self, observation: Observation<'_>);
}

/// Takes observations and forgets them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _: Observation<'_>) {}
}
