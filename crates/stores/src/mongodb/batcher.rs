//! Inserts that wait at the same moment, acknowledged together.

use std::time::Duration;

use ::mongodb::{
    Collection,
    bson::{RawDocumentBuf, serialize_to_raw_document_buf},
    error::ErrorKind,
};
use model::{Error, ErrorCode};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::failure::{Fault, is_duplicate};

/// How many documents one insert takes at most.
const MAX_BATCH: usize = 512;

/// How many bytes one insert begins to take at most; one document more may come on top.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How many documents may wait.
const QUEUE_LENGTH: usize = 4096;

struct Waiting {
    document: RawDocumentBuf,
    answer: oneshot::Sender<Result<(), Fault>>,
}

/// Takes all documents that wait into one acknowledged insert, again and again, with an outcome for each of them.
///
/// One task does it, which ends with [`Self::close`] or when this is dropped, after what was handed over.
pub(super) struct Batcher {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    limit: Duration,
}

impl Batcher {
    /// Starts the task; each insert, and each wait for a place in the queue, may take `limit`.
    pub(super) fn start(collection: Collection<RawDocumentBuf>, limit: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        Self {
            queue: Mutex::new(Some(sender)),
            task: Mutex::new(Some(spawn(insert_all(collection, receiver, limit)))),
            limit,
        }
    }

    /// Inserts a document, together with those that others insert at this moment.
    ///
    /// # Errors
    /// [`Fault::Duplicate`] when its id, or another unique value, is taken; nothing but this document is refused then.
    pub(super) async fn insert(&self, row: &(impl Serialize + Sync)) -> Result<(), Fault> {
        let document = serialize_to_raw_document_buf(row)?;
        let queue = self.queue.lock().clone().ok_or(Fault::Closed)?;
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting { document, answer };
        match queue.send_timeout(waiting, self.limit).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let message = "as many writes wait for the database as may; try again";
                return Err(Error::new(ErrorCode::Overloaded, message)
                    .retry_after(Duration::from_secs(1))
                    .into());
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(Fault::Closed),
        }
        drop(queue);
        // As long as those before it and its own may take.
        match timeout(self.limit.saturating_mul(3), outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::Closed),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    /// Takes no more documents, and waits until those that were handed over are done.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().take());
        let task = self.task.lock().take();
        if let Some(task) = task
            && timeout(self.limit.saturating_mul(3), task).await.is_err()
        {
            tracing::warn!("the database did not take the last writes in time");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the store owns this one task; its close waits for it"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

async fn insert_all(
    collection: Collection<RawDocumentBuf>,
    mut queue: mpsc::Receiver<Waiting>,
    limit: Duration,
) {
    while let Some(first) = queue.recv().await {
        let (documents, answers) = take_waiting(first, &mut queue);
        let insert = collection.insert_many(&documents).ordered(false).into_future();
        let outcomes = match timeout(limit, insert).await {
            Ok(Ok(_)) => answers.iter().map(|_| Ok(())).collect(),
            Ok(Err(error)) => outcomes_of(error, answers.len()),
            Err(_) => answers.iter().map(|_| Err(Fault::TimedOut)).collect(),
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // One who went away needs no answer.
            drop(answer.send(outcome));
        }
    }
}

type Batch = (Vec<RawDocumentBuf>, Vec<oneshot::Sender<Result<(), Fault>>>);

fn take_waiting(first: Waiting, queue: &mut mpsc::Receiver<Waiting>) -> Batch {
    let mut bytes = first.document.as_bytes().len();
    let (mut documents, mut answers) = (vec![first.document], vec![first.answer]);
    while documents.len() < MAX_BATCH
        && bytes < MAX_BYTES
        && let Ok(next) = queue.try_recv()
    {
        bytes = bytes.saturating_add(next.document.as_bytes().len());
        documents.push(next.document);
        answers.push(next.answer);
    }
    (documents, answers)
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
