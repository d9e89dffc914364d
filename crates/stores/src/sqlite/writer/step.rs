//! What the writer does between taking a piece of work and answering it.

use model::{Error, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::sqlite::{
    failure::{Condition, Fault, Loss, Outcome, Reach, reach, to_error},
    ledger::Ledger,
};

/// How a step is kept apart from the others in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Whatever it wrote is undone when it fails; the ledger is not its business.
    Savepoint,
    /// Whatever it wrote is undone when it fails, in the ledger too.
    SavepointAndLedger,
    /// Nothing is undone: it fails before its first write, or says that the transaction is torn.
    None,
}

/// What became of a step within its transaction.
pub(super) enum Verdict {
    Done,
    Undo,
    Lost(Loss),
}

/// How the transaction of a step ended.
#[derive(Clone, Copy)]
pub(super) enum End {
    Committed,
    Lost(Loss),
}

/// One piece of work for the writer, whatever its result.
pub(super) trait Step: Send {
    fn isolation(&self) -> Isolation;
    fn run(&mut self, connection: &Connection, ledger: &mut Ledger, condition: &Condition) -> Verdict;
    fn answer(self: Box<Self>, end: End);
}

/// A piece of work with the caller that waits for its result.
pub(super) struct Work<R, F> {
    isolation: Isolation,
    work: Option<F>,
    result: Option<Result<R>>,
    reply: oneshot::Sender<Result<R>>,
}

impl<R, F> Work<R, F> {
    pub(super) fn new(isolation: Isolation, work: F, reply: oneshot::Sender<Result<R>>) -> Self {
        Self {
            isolation,
            work: Some(work),
            result: None,
            reply,
        }
    }
}

impl<R, F> Step for Work<R, F>
where
    R: Send,
    F: FnOnce(&Connection, &mut Ledger) -> Outcome<R> + Send,
{
    fn isolation(&self) -> Isolation {
        self.isolation
    }

    fn run(&mut self, connection: &Connection, ledger: &mut Ledger, condition: &Condition) -> Verdict {
        let Some(work) = self.work.take() else {
            return Verdict::Undo;
        };
        let fault = match work(connection, ledger) {
            Ok(result) => {
                self.result = Some(Ok(result));
                return Verdict::Done;
            }
            Err(fault) => fault,
        };
        match fault {
            Fault::Refused(error) => {
                self.result = Some(Err(error));
                Verdict::Undo
            }
            Fault::Database(error) => {
                condition.note(&error);
                let is_alone = reach(&error) == Reach::Statement;
                let loss = Loss::of(&error);
                self.result = Some(Err(to_error(error)));
                if is_alone {
                    Verdict::Undo
                } else {
                    Verdict::Lost(loss)
                }
            }
            Fault::Torn(error) => {
                condition.note(&error);
                Verdict::Lost(Loss::of(&error))
            }
        }
    }

    fn answer(self: Box<Self>, end: End) {
        let result = match (end, self.result) {
            (End::Committed, Some(result)) => result,
            (End::Committed, None) => Err(Error::bug("work on the store panicked")),
            (End::Lost(loss), _) => Err(loss.error()),
        };
        // A caller that went away doesn't want to know.
        drop(self.reply.send(result));
    }
}
