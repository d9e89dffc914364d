//! Moving everything from one store to another: the records that both know, and how they are carried and compared.
//!
//! A store is read as pages of records in an order of its own, and written in batches, each together with the mark that
//! says how far it has come. So a transfer that is interrupted goes on where it was, and a store that holds one half
//! of another can be told from a whole one.

mod cursor;
mod record;
mod digest;
mod mark;
mod copy;

use async_trait::async_trait;
use model::{Result, Store};
use uuid::Uuid;

pub use self::{
    copy::{TransferProgress, TransferReport, transfer},
    cursor::{Cursor, Part},
    digest::{Digests, KindDigest, RecordKind, digest_all},
    mark::{Mark, MarkStage},
    record::{
        AccountRecord, ClaimRecord, DependencyRecord, ExecutionRecord, KeyRecord, QueuePlace, Record,
        RecordPage, RecurrenceRecord, SignInFailureRecord, TaskRecord,
    },
};
pub(crate) use self::{
    cursor::{read_hex, write_hex},
    mark::{half_done, is_half_done, read_mark, write_mark},
    record::{MAX_PAGE_BYTES, MAX_PAGE_RECORDS},
};

/// A store as one end of a transfer.
#[async_trait]
pub trait Transfer: Store {
    /// Gives the store's own name, which is `fresh` if it has none yet.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn store_id(&self, fresh: Uuid) -> Result<Uuid>;

    /// Brings everything where it belongs that rides elsewhere for a moment, so that records are whole.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn settle(&self) -> Result<()>;

    /// Reads up to 1,000 records, or some 8 MiB, that follow a cursor.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached; `Bug` when it holds what can't be.
    async fn read_records(&self, from: &Cursor) -> Result<RecordPage>;

    /// Tells whether the store holds no record.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn is_empty(&self) -> Result<bool>;

    /// Gives the mark of the transfer into this store, if there ever was one.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn mark(&self) -> Result<Option<Mark>>;

    /// Puts a mark in the place of the one of the run `seen`, or of none; tells whether that one still stood there.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn put_mark(&self, seen: Option<Uuid>, mark: &Mark) -> Result<bool>;

    /// Adds records that aren't there, and then puts the mark in the place of the one of the same run; both are durable
    /// afterwards. Safe to repeat.
    ///
    /// # Errors
    /// `Conflict` when another run took over, or two records can't stand beside each other; `PayloadTooLarge` when the
    /// store can't hold one.
    async fn write_records(&self, records: Vec<Record>, mark: &Mark) -> Result<()>;

    /// Makes what follows from all records together. Safe to repeat.
    ///
    /// # Errors
    /// `Unavailable` when the store can't be reached.
    async fn derive_rest(&self) -> Result<()>;
}
