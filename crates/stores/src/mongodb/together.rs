//! Pieces of work that wait at the same moment, done together: in one round trip, however many.

use std::time::Duration;

use async_trait::async_trait;
use model::{Error, ErrorCode};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::failure::Fault;

/// How many pieces are done together at most.
const MOST_TOGETHER: usize = 512;

/// How many bytes they begin to have together at most; one piece more may come on top.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How many pieces may wait.
const QUEUE_LENGTH: usize = 4096;

/// A kind of work of which pieces can be done together.
#[async_trait]
pub(super) trait Together: Send + Sync + 'static {
    /// One piece.
    type Piece: Send + 'static;

    /// What comes of one.
    type Outcome: Send + 'static;

    /// How many bytes of a message it takes.
    fn bytes(piece: &Self::Piece) -> usize;

    /// Does all of them, with an outcome for each, in their order.
    async fn do_all(&self, pieces: Vec<Self::Piece>) -> Vec<Result<Self::Outcome, Fault>>;
}

/// Tells one who waits for an outcome.
type Answer<W> = oneshot::Sender<Result<<W as Together>::Outcome, Fault>>;

struct Waiting<W: Together> {
    piece: W::Piece,
    /// None when nobody waits.
    answer: Option<Answer<W>>,
}

/// Does all pieces together that wait, again and again.
///
/// One task does it, which ends with [`Self::close`] or when this is dropped, after what was handed over.
pub(super) struct Grouped<W: Together> {
    queue: Mutex<Option<mpsc::Sender<Waiting<W>>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    limit: Duration,
}

impl<W: Together> Grouped<W> {
    /// Starts the task. Each wait for a place in the queue may take `limit`, and each waiter waits three times as long for
    /// the outcome: that of the pieces before it, and its own.
    pub(super) fn start(work: W, limit: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        Self {
            queue: Mutex::new(Some(sender)),
            task: Mutex::new(Some(spawn(work_on(work, receiver)))),
            limit,
        }
    }

    /// Has a piece done, together with those that wait at this moment.
    ///
    /// # Errors
    /// Those of the piece; [`Fault::Closed`] after [`Self::close`]; `Overloaded` when too many wait.
    pub(super) async fn have_done(&self, piece: W::Piece) -> Result<W::Outcome, Fault> {
        let queue = self.queue.lock().clone().ok_or(Fault::Closed)?;
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting {
            piece,
            answer: Some(answer),
        };
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
        match timeout(self.limit.saturating_mul(3), outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::Closed),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    /// Leaves a piece to be done soon. It isn't when too many wait, or the database doesn't work.
    pub(super) fn leave(&self, piece: W::Piece) {
        let queue = self.queue.lock().clone();
        let waiting = Waiting { piece, answer: None };
        if queue.is_none_or(|queue| queue.try_send(waiting).is_err()) {
            tracing::debug!("work that was to be done soon is left for later");
        }
    }

    /// Takes no more, and waits until what was handed over is done.
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

async fn work_on<W: Together>(work: W, mut queue: mpsc::Receiver<Waiting<W>>) {
    while let Some(first) = queue.recv().await {
        let (pieces, answers) = take_waiting::<W>(first, &mut queue);
        let outcomes = work.do_all(pieces).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            if let Some(answer) = answer {
                // One who went away needs no answer.
                drop(answer.send(outcome));
            }
        }
    }
}

type Taken<W> = (Vec<<W as Together>::Piece>, Vec<Option<Answer<W>>>);

fn take_waiting<W: Together>(first: Waiting<W>, queue: &mut mpsc::Receiver<Waiting<W>>) -> Taken<W> {
    let mut bytes = W::bytes(&first.piece);
    let (mut pieces, mut answers) = (vec![first.piece], vec![first.answer]);
    while pieces.len() < MOST_TOGETHER
        && bytes < MAX_BYTES
        && let Ok(next) = queue.try_recv()
    {
        bytes = bytes.saturating_add(W::bytes(&next.piece));
        pieces.push(next.piece);
        answers.push(next.answer);
    }
    (pieces, answers)
}
