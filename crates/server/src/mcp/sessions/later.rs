//! What couldn't be written down, until it can.

use std::collections::VecDeque;

use model::{Result, SharedMemory};
use parking_lot::Mutex;
use protocol::{LogLevel, SessionKey};

use super::{word::Keys, written};

/// How many writes wait at most; the oldest give way.
const MOST: usize = 4096;

/// Something to write down that still matters when it is late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    End {
        session: SessionKey,
        until_ms: u64,
    },
    Level {
        session: SessionKey,
        level: LogLevel,
        nonce: String,
    },
    Subscribe {
        session: SessionKey,
        uri: String,
    },
    Unsubscribe {
        session: SessionKey,
        uri: String,
    },
}

/// Keeps writes in their order while the shared memory is away.
#[derive(Debug, Default)]
pub(super) struct Later {
    writes: Mutex<VecDeque<Write>>,
    /// Held by the one who writes them, so that their order stays.
    turn: tokio::sync::Mutex<()>,
}

impl Later {
    /// Writes at once, behind nothing that waits; what fails is kept. Tells whether it is written; `Some(false)` when
    /// there is no room for it.
    pub(super) async fn write(&self, memory: &dyn SharedMemory, write: Write) -> Option<bool> {
        if self.catch_up(memory).await.is_ok()
            && let Ok(is_in) = write.perform(memory).await
        {
            return Some(is_in);
        }
        let mut writes = self.writes.lock();
        if writes.len() >= MOST {
            writes.pop_front();
        }
        writes.push_back(write);
        None
    }

    /// Writes what waits; done when nothing does.
    pub(super) async fn catch_up(&self, memory: &dyn SharedMemory) -> Result<()> {
        if self.writes.lock().is_empty() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        loop {
            let first = self.writes.lock().front().cloned();
            let Some(first) = first else {
                return Ok(());
            };
            first.perform(memory).await?;
            let mut writes = self.writes.lock();
            // It may have given way to newer ones meanwhile.
            if writes.front() == Some(&first) {
                writes.pop_front();
            }
        }
    }

    /// Tells whether something about a session isn't written yet.
    pub(super) fn concerns(&self, session: SessionKey) -> bool {
        self.writes.lock().iter().any(|write| write.session() == session)
    }
}

impl Write {
    fn session(&self) -> SessionKey {
        match self {
            Self::End { session, .. }
            | Self::Level { session, .. }
            | Self::Subscribe { session, .. }
            | Self::Unsubscribe { session, .. } => *session,
        }
    }

    async fn perform(&self, memory: &dyn SharedMemory) -> Result<bool> {
        match self {
            Self::End { session, until_ms } => written::note_end(memory, *session, *until_ms).await,
            Self::Level {
                session,
                level,
                nonce,
            } => written::note_level(memory, *session, *level, nonce).await,
            Self::Subscribe { session, uri } => written::note_subscription(memory, *session, uri).await,
            Self::Unsubscribe { session, uri } => {
                let set = Keys::interests(*session);
                memory.remove_member(&set, &written::subscription(uri)).await?;
                Ok(true)
            }
        }
    }
}
