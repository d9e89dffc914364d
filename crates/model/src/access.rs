//! How processes on one store learn that a credential which they remember may be worth something else now.

use async_trait::async_trait;

use crate::{error::Result, id::UserId};

/// Up to where the changes of access were read; made by the store that gave it, and meant for no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessMark {
    /// What names the last change that was seen; `None` before the first reading.
    pub last: Option<String>,
}

/// Changes of access that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChanges {
    /// Whose access changed; each once.
    pub users: Vec<UserId>,
    /// Whether that is all of them. When it isn't, or at the first reading, anybody's may have changed.
    pub is_complete: bool,
    /// From where to read on.
    pub mark: AccessMark,
}

/// Says which accounts' credentials may be worth something else than before.
///
/// The defaults are right for a store that belongs to one process, which hears of its own changes by itself.
#[async_trait]
pub trait AccessLog: Send + Sync {
    /// Notes that what an account's credentials are worth has changed. To be called once the change is durable and before
    /// it is acknowledged to whoever asked for it. Atomic and safe to repeat. At least the latest 100 are kept.
    ///
    /// # Errors
    /// `Unavailable` when it isn't known whether it was noted.
    async fn note_access_change(&self, user: UserId) -> Result<()> {
        let _ = user;
        Ok(())
    }

    /// Finds the changes noted since `mark`, which is brand new (`AccessMark::default()`) or what the reading before gave.
    /// Everything noted before this call began is found, or the answer is incomplete.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn access_changes(&self, mark: &AccessMark) -> Result<AccessChanges> {
        Ok(AccessChanges {
            users: Vec::new(),
            is_complete: true,
            mark: mark.clone(),
        })
    }
}
