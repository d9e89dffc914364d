//! What can go wrong with the database, and what follows from it.

use std::sync::atomic::{AtomicBool, Ordering};

use model::Error;
use rusqlite::{ErrorCode, ffi};

/// Why a piece of work on the database gave no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// The port's contract refuses it; nothing was written.
    Refused(Error),
    /// The database failed before anything was written, or within an isolated step.
    Database(rusqlite::Error),
    /// The database failed between two writes that belong together and are not isolated.
    Torn(rusqlite::Error),
}

/// The result of work on the database.
pub(super) type Outcome<T> = Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// How far a failure of the database reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The one statement.
    Statement,
    /// The transaction; the next one may succeed.
    Transaction,
    /// Everything: what is on disk is unknown until the store is opened anew.
    Store,
}

/// Tells how far a failure of the database reaches.
pub(super) fn reach(error: &rusqlite::Error) -> Reach {
    let Some(failure) = error.sqlite_error() else {
        return Reach::Statement;
    };
    // Growing the shared index reports a full disk like this; nothing of the log was touched.
    let ran_out = matches!(
        failure.extended_code,
        ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_NOMEM
    );
    if matches!(
        failure.code,
        ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
    ) && !ran_out
    {
        return Reach::Store;
    }
    let ends_transaction = matches!(
        failure.code,
        ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::OutOfMemory
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::OperationInterrupted
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
    );
    if ends_transaction {
        Reach::Transaction
    } else {
        Reach::Statement
    }
}

/// Why a whole transaction came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// There is no room on the disk.
    DiskFull,
    /// The database was held by another process, or was short of something, for a moment.
    Hindered,
    /// The database failed in a way that only a restart can heal.
    StoreFailed,
    /// Work in the same transaction panicked.
    Panicked,
    /// The store was closed.
    Closed,
}

impl Loss {
    /// The loss that follows from a failure of the database.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        if reach(error) == Reach::Store {
            return Self::StoreFailed;
        }
        let is_full = error.sqlite_error().is_some_and(|failure| {
            failure.code == ErrorCode::DiskFull || failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE
        });
        if is_full { Self::DiskFull } else { Self::Hindered }
    }

    /// What each caller whose work was lost is told.
    pub(super) fn error(self) -> Error {
        Error::unavailable(match self {
            Self::DiskFull => "the disk of the store is full; nothing can be written until there is room",
            Self::Hindered | Self::Panicked => "the store could not write this; try again",
            Self::StoreFailed => "the store failed and takes no writes until the server is started anew",
            Self::Closed => "the store is closed",
        })
    }
}

/// Turns a failure of the database into what the caller is told and what the log shows.
pub(super) fn to_error(error: rusqlite::Error) -> Error {
    if let Some(failure) = error.sqlite_error()
        && failure.code == ErrorCode::OperationInterrupted
    {
        return Error::unavailable("the store took too long to answer; ask for less").source(error);
    }
    match reach(&error) {
        Reach::Statement => Error::bug(error),
        Reach::Transaction | Reach::Store => Loss::of(&error).error().source(error),
    }
}

/// Turns any fault into what the caller is told.
pub(super) fn fault_to_error(fault: Fault) -> Error {
    match fault {
        Fault::Refused(error) => error,
        Fault::Database(error) | Fault::Torn(error) => to_error(error),
    }
}

/// Whether the store still works; once failed, it stays so until it is opened anew.
#[derive(Debug, Default)]
pub(super) struct Condition(AtomicBool);

impl Condition {
    /// Notes a failure of the database, and logs it when it ends all writing.
    pub(super) fn note(&self, error: &rusqlite::Error) {
        if reach(error) == Reach::Store && !self.0.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the store failed; no writes are taken until a restart");
        }
    }

    /// Tells whether writing was given up.
    pub(super) fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn failure(extended_code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None)
    }

    #[rstest]
    #[case(ffi::SQLITE_FULL, Reach::Transaction)]
    #[case(ffi::SQLITE_IOERR_SHMSIZE, Reach::Transaction)]
    #[case(ffi::SQLITE_BUSY, Reach::Transaction)]
    #[case(ffi::SQLITE_IOERR_FSYNC, Reach::Store)]
    #[case(ffi::SQLITE_IOERR_WRITE, Reach::Store)]
    #[case(ffi::SQLITE_CORRUPT, Reach::Store)]
    #[case(ffi::SQLITE_NOTADB, Reach::Store)]
    #[case(ffi::SQLITE_CONSTRAINT_UNIQUE, Reach::Statement)]
    fn g14_a_failure_reaches_as_far_as_what_it_leaves_unknown(#[case] code: i32, #[case] expected: Reach) {
        assert_eq!(reach(&failure(code)), expected);
    }

    #[test]
    fn g14_a_failed_sync_condemns_the_store_and_a_full_disk_does_not() {
        let condition = Condition::default();
        condition.note(&failure(ffi::SQLITE_FULL));
        assert!(!condition.has_failed());
        condition.note(&failure(ffi::SQLITE_IOERR_FSYNC));
        assert!(condition.has_failed());
    }
}
