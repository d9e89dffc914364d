//! What processes tell each other so that nobody has to wait for the next look into the store.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    id::{TaskId, UserId},
};

/// Something that other processes may want to look at now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// What an account's credentials are worth has changed.
    AccessChanged {
        /// Whose.
        user: UserId,
    },
    /// There may be a task to claim.
    WorkReady,
    /// A task has changed and hasn't ended.
    TaskChanged {
        /// Which.
        task: TaskId,
    },
    /// A task waits for answers now.
    TaskAsks {
        /// Which.
        task: TaskId,
    },
    /// A task has come into a final state.
    TaskEnded {
        /// Which.
        task: TaskId,
    },
    /// An attempt doesn't hold its task any more, and is to be stopped where it is made.
    AttemptStopped {
        /// Its task.
        task: TaskId,
        /// Its number.
        attempt: u32,
    },
    /// Words between parts of the server of which the engine knows nothing.
    Message {
        /// Who understands it; at most [`Notice::MAX_TOPIC_CHARS`].
        topic: String,
        /// At most [`Notice::MAX_BODY_BYTES`].
        body: String,
    },
}

impl Notice {
    /// The most characters of a message's topic.
    pub const MAX_TOPIC_CHARS: usize = 64;
    /// The most bytes of a message's body.
    pub const MAX_BODY_BYTES: usize = 256 * 1024;
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A notice of another process.
    Notice(Notice),
    /// Some notices were lost, or may have been: anything may have changed.
    Missed,
}

/// Carries notices to the other processes. Any of them may be lost: then things are slower, never wrong.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Sends a notice, soon and once, to every other process that listens now. Never waits: when too much is waiting to
    /// be sent, or nobody can be reached, it is dropped. Those of one process arrive in their order.
    fn announce(&self, notice: Notice);

    /// Begins to listen. Listeners are independent of each other; each hears what is announced from now on.
    fn listen(&self) -> Box<dyn BusListener>;
}

/// Hears notices of other processes.
#[async_trait]
pub trait BusListener: Send {
    /// Waits for the next one. Dropped and called again at will. Never gives again what it gave; one that isn't
    /// called often enough hears [`Heard::Missed`] once instead of what it couldn't keep.
    async fn next(&mut self) -> Heard;
}

/// How much of a shared log is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The oldest entries beyond this many are dropped; at least 1.
    pub entries: u32,
    /// How long the log is kept after its last entry.
    pub lifetime: Duration,
}

/// Small things that processes share and may lose at any time.
///
/// Keys have at most 200 bytes, values and entries at most 4 MiB. Each step is atomic.
#[async_trait]
pub trait SharedMemory: Send + Sync {
    /// The value under a key.
    ///
    /// # Errors
    /// For all methods `Unavailable`, within a second, when the memory can't be reached.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;

    /// Puts a value under a key for a time of at least a millisecond.
    async fn set(&self, key: &str, value: &[u8], lifetime: Duration) -> Result<()>;

    /// Takes a value away; fine when there is none.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Adds a member of at most 2,048 bytes to a set, unless it has `most` others already, and lets the set live for
    /// `lifetime` from now; tells whether it is in it.
    async fn add_member(&self, set: &str, member: &str, most: u32, lifetime: Duration) -> Result<bool>;

    /// Takes a member out of a set; fine when it isn't in it.
    async fn remove_member(&self, set: &str, member: &str) -> Result<()>;

    /// The members of a set, in no order.
    async fn members(&self, set: &str) -> Result<Vec<String>>;

    /// Adds an entry to a log, which is begun when there is none; gives its number: 1 for the first, then one more each.
    async fn append(&self, log: &str, entry: &[u8], bounds: LogBounds) -> Result<u64>;

    /// Reads the entries of a log after number `after`, the oldest first, at most `most` of them and 8 MiB; with the
    /// number of the last entry that was ever added, 0 when there is no such log.
    async fn read_log(&self, log: &str, after: u64, most: u32) -> Result<(Vec<(u64, Vec<u8>)>, u64)>;
}
