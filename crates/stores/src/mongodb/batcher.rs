//! Inserts that wait at the same moment, acknowledged together.

use std::time::Duration;

use ::mongodb::{
    Collection,
    bson::{RawDocumentBuf, serialize_to_raw_document_buf},
    error::ErrorKind,
};
use async_trait::async_trait;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    failure::{Fault, is_duplicate},
    together::{Grouped, Together},
};

/// Inserts into one collection.
pub(super) struct Inserts {
    collection: Collection<RawDocumentBuf>,
    limit: Duration,
}

/// Takes all documents that wait into one acknowledged insert, again and again.
pub(super) type Batcher = Grouped<Inserts>;

impl Batcher {
    /// Begins to insert into a collection; each insert may take `limit`.
    pub(super) fn into(collection: Collection<RawDocumentBuf>, limit: Duration) -> Self {
        Self::start(Inserts { collection, limit }, limit)
    }

    /// Inserts a document, together with those that others insert at this moment.
    ///
    /// # Errors
    /// [`Fault::Duplicate`] when its id, or another unique value, is taken; nothing but this document is refused then.
    pub(super) async fn insert(&self, row: &(impl Serialize + Sync)) -> Result<(), Fault> {
        self.have_done(serialize_to_raw_document_buf(row)?).await
    }
}

#[async_trait]
impl Together for Inserts {
    type Piece = RawDocumentBuf;
    type Outcome = ();

    fn bytes(piece: &RawDocumentBuf) -> usize {
        piece.as_bytes().len()
    }

    async fn do_all(&self, documents: Vec<RawDocumentBuf>) -> Vec<Result<(), Fault>> {
        let insert = self.collection.insert_many(&documents).ordered(false);
        match timeout(self.limit, insert.into_future()).await {
            Ok(Ok(_)) => documents.iter().map(|_| Ok(())).collect(),
            Ok(Err(error)) => outcomes_of(error, documents.len()),
            Err(_) => documents.iter().map(|_| Err(Fault::TimedOut)).collect(),
        }
    }
}

/// What became of each of `count` documents whose insert, as a whole, failed.
fn outcomes_of(error: ::mongodb::error::Error, count: usize) -> Vec<Result<(), Fault>> {
    let mut refusals = Vec::new();
    if let ErrorKind::InsertMany(failure) = error.kind.as_ref()
        && failure.write_concern_error.is_none()
    {
        refusals = failure.write_errors.clone().unwrap_or_default();
    }
    if refusals.is_empty() {
        let fault = Fault::from(error);
        return (0..count).map(|_| Err(fault.again())).collect();
    }
    let outcome_of = |index| match refusals.iter().find(|refusal| refusal.index == index) {
        None => Ok(()),
        Some(refusal) if is_duplicate(refusal.code) => Err(Fault::Duplicate(refusal.message.clone())),
        Some(_) => Err(Fault::Database(error.clone())),
    };
    (0..count).map(outcome_of).collect()
}
