//! The whole of a store, as the engine sees it.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    access::AccessLog,
    error::Result,
    execution::ExecutionStore,
    idempotency::IdempotencyStore,
    key::KeyStore,
    session::SessionStore,
    task::{ScheduleStore, TaskQueue, TaskStore},
    user::UserStore,
};

/// Everything that must survive: one database.
#[async_trait]
pub trait Store:
    UserStore
    + SessionStore
    + KeyStore
    + ExecutionStore
    + IdempotencyStore
    + TaskStore
    + TaskQueue
    + ScheduleStore
    + AccessLog
{
    /// Names the kind of store, for health and logs (`sqlite`, …).
    fn kind(&self) -> &'static str;

    /// Tells whether other processes may use the same database at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Reads something, and tells how long that took.
    ///
    /// # Errors
    /// `Unavailable` when reads, or writes after a fault that only a restart can heal, don't work.
    async fn ping(&self) -> Result<Duration>;

    /// Waits until all acknowledged writes are where they belong, and lets go of the database. Later calls
    /// are refused with `Unavailable`.
    async fn close(&self) -> Result<()>;
}
