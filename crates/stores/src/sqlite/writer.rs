//! The one writer: takes all writes that wait into one durable transaction.

mod step;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use model::{Error, ErrorCode, Result};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use self::step::{End, Isolation, Step, Verdict, Work};
use super::{
    checkpoint::Checkpointer,
    failure::{Condition, Loss, Outcome, to_error},
    ledger::Ledger,
    lock::DirectoryLock,
};

/// How many steps one transaction takes at most, so that the first of them does not wait for ever.
const MAX_BATCH: usize = 512;

/// How long a caller waits for a step that was taken, after which its outcome is unknown to it.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// The caller's side of the writer.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    queue_wait: Duration,
}

enum Message {
    Step(Box<dyn Step>),
    Close,
}

impl Writer {
    /// Starts the writer's thread. It holds the lock of the directory until it has let go of the database.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread to give, or the database can't be read.
    pub(super) fn start(
        connection: Connection,
        lock: DirectoryLock,
        condition: Arc<Condition>,
        checkpointer: Checkpointer,
        (queue_length, queue_wait): (usize, Duration),
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(queue_length);
        let ledger = Ledger::load(&connection).map_err(to_error)?;
        let loop_ = WriterLoop {
            connection,
            ledger,
            condition,
            checkpointer,
        };
        let thread = Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                loop_.run(receiver);
                drop(lock);
            })
            .map_err(|error| Error::unavailable("no thread can be started for the store").source(error))?;
        Ok(Self {
            queue: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            queue_wait,
        })
    }

    /// Does one atomic step of several statements, and gives its result once it is durable.
    ///
    /// # Errors
    /// What `work` refuses with, and then nothing of it is written; `Unavailable` when the database fails;
    /// `Overloaded` when too much is waiting.
    pub(super) async fn step<R, F>(&self, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<R> + Send + 'static,
    {
        let isolated = |connection: &Connection, _: &mut Ledger| work(connection);
        self.submit(Isolation::Savepoint, isolated).await
    }

    /// Does one atomic step of several statements that touches the queue or counts something.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) async fn revise<R, F>(&self, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Connection, &mut Ledger) -> Outcome<R> + Send + 'static,
    {
        self.submit(Isolation::SavepointAndLedger, work).await
    }

    /// Does one step that touches the queue or counts something, without the cost of isolation.
    ///
    /// `work` must fail with [`Fault::Torn`] once it has written something that must not stay.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub(super) async fn count<R, F>(&self, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Connection, &mut Ledger) -> Outcome<R> + Send + 'static,
    {
        self.submit(Isolation::None, work).await
    }

    async fn submit<R, F>(&self, isolation: Isolation, work: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnOnce(&Connection, &mut Ledger) -> Outcome<R> + Send + 'static,
    {
        let Some(queue) = self.queue.lock().clone() else {
            return Err(Loss::Closed.error());
        };
        let (reply, answer) = oneshot::channel();
        let step = Message::Step(Box::new(Work::new(isolation, work, reply)));
        send(&queue, step, self.queue_wait).await?;
        drop(queue);
        match timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Loss::Closed.error()),
            Err(_) => Err(Error::unavailable(
                "the store does not answer; whether this was written is unknown",
            )),
        }
    }

    /// Waits until everything taken is written, and the database is let go of; gives false when that was
    /// done before.
    pub(super) async fn close(&self) -> Result<bool> {
        let Some(queue) = self.queue.lock().take() else {
            return Ok(false);
        };
        // Full or closed: dropping the last sender ends the thread as well, a little later.
        let is_told = timeout(self.queue_wait, queue.send(Message::Close)).await;
        drop(queue);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                return Err(Error::bug("the thread of the store's writer panicked"));
            }
        }
        drop(is_told);
        Ok(true)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the store's writer panicked");
        }
    }
}

async fn send(queue: &mpsc::Sender<Message>, message: Message, wait: Duration) -> Result<()> {
    let message = match queue.try_send(message) {
        Ok(()) => return Ok(()),
        Err(mpsc::error::TrySendError::Closed(_)) => return Err(Loss::Closed.error()),
        Err(mpsc::error::TrySendError::Full(message)) => message,
    };
    match timeout(wait, queue.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Loss::Closed.error()),
        Err(_) => {
            let message = "too many writes are waiting; try again later";
            Err(Error::new(ErrorCode::Overloaded, message).retry_after(Duration::from_secs(1)))
        }
    }
}

struct WriterLoop {
    connection: Connection,
    ledger: Ledger,
    condition: Arc<Condition>,
    checkpointer: Checkpointer,
}

impl WriterLoop {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(MAX_BATCH);
        let mut steps: Vec<Box<dyn Step>> = Vec::with_capacity(MAX_BATCH);
        let mut is_open = true;
        while is_open && queue.blocking_recv_many(&mut messages, MAX_BATCH) > 0 {
            for message in messages.drain(..) {
                match message {
                    Message::Step(step) => steps.push(step),
                    Message::Close => is_open = false,
                }
            }
            let end = self.commit(&mut steps);
            for step in steps.drain(..) {
                step.answer(end);
            }
            if matches!(end, End::Committed) {
                self.checkpointer.after_commit(&self.connection, &self.condition);
            }
        }
        queue.close();
        while let Ok(Message::Step(step)) = queue.try_recv() {
            step.answer(End::Lost(Loss::Closed));
        }
        self.checkpointer.finish(&self.connection, &self.condition);
    }

    fn commit(&mut self, steps: &mut [Box<dyn Step>]) -> End {
        if self.condition.has_failed() {
            return End::Lost(Loss::StoreFailed);
        }
        match self.try_commit(steps) {
            Ok(()) => End::Committed,
            Err(loss) => {
                self.give_up();
                tracing::warn!(?loss, steps = steps.len(), "a transaction of the store was lost");
                End::Lost(loss)
            }
        }
    }

    fn try_commit(&mut self, steps: &mut [Box<dyn Step>]) -> Result<(), Loss> {
        self.execute("BEGIN IMMEDIATE")?;
        for step in steps {
            self.run_step(step.as_mut())?;
        }
        let flushed = self.ledger.flush(&self.connection);
        flushed.map_err(|error| self.lose(&error))?;
        self.execute("COMMIT")
    }

    fn run_step(&mut self, step: &mut dyn Step) -> Result<(), Loss> {
        let isolation = step.isolation();
        let is_isolated = isolation != Isolation::None;
        if isolation == Isolation::SavepointAndLedger {
            let begun = self.ledger.begin_step(&self.connection);
            begun.map_err(|error| self.lose(&error))?;
        }
        if is_isolated {
            self.execute("SAVEPOINT step")?;
        }
        let Self {
            connection,
            ledger,
            condition,
            ..
        } = self;
        // Whatever the work left half done is undone below.
        let run = AssertUnwindSafe(|| step.run(connection, ledger, condition));
        let verdict = catch_unwind(run).unwrap_or_else(|_| {
            tracing::error!("work on the store panicked");
            if is_isolated {
                Verdict::Undo
            } else {
                Verdict::Lost(Loss::Panicked)
            }
        });
        match verdict {
            Verdict::Lost(loss) => Err(loss),
            Verdict::Done if is_isolated => self.execute("RELEASE step"),
            Verdict::Undo if is_isolated => {
                if isolation == Isolation::SavepointAndLedger {
                    self.ledger.undo_step();
                }
                self.execute("ROLLBACK TO step")?;
                self.execute("RELEASE step")
            }
            Verdict::Done | Verdict::Undo => Ok(()),
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Loss> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(()))
            .map(|_| ())
            .map_err(|error| self.lose(&error))
    }

    fn lose(&self, error: &rusqlite::Error) -> Loss {
        tracing::warn!(%error, "the store could not write");
        self.condition.note(error);
        Loss::of(error)
    }

    fn give_up(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            self.condition.note(&error);
            tracing::error!(%error, "a transaction of the store can't be undone");
        }
        self.ledger.forget();
    }
}

#[cfg(test)]
mod tests;
