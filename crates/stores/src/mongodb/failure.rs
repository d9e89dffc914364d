//! What can go wrong with the database, and what follows from it.

use ::mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use model::{Error, ErrorCode};

/// Why a piece of work on the database gave no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// The port's contract refuses it; nothing was written.
    Refused(Error),
    /// A unique value is taken; with the database's message, which names the index and, unlike this server's
    /// messages and logs may, the value.
    Duplicate(String),
    /// The database or the way to it failed. Whether a write was done may be unknown.
    Database(DriverError),
    /// There was no answer in time. Whether a write was done is unknown.
    TimedOut,
    /// The store was closed.
    Closed,
}

impl Fault {
    /// Tells whether a unique value is taken.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Duplicate(_))
    }

    /// Tells whether the same may work when it is tried again at once: the way to the database failed, or another member
    /// took over.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Database(error) => to_error(error.clone()).is_retryable(),
            Self::Refused(error) => error.is_retryable(),
            Self::Duplicate(_) | Self::TimedOut | Self::Closed => false,
        }
    }

    /// The same fault for another who waited for the same piece of work.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Refused(error) => Self::Refused(Error::new(error.code(), error.message().to_owned())),
            Self::Duplicate(message) => Self::Duplicate(message.clone()),
            Self::Database(error) => Self::Database(error.clone()),
            Self::TimedOut => Self::TimedOut,
            Self::Closed => Self::Closed,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        match code_of(&error) {
            Some((code, message)) if is_duplicate(code) => Self::Duplicate(message.to_owned()),
            _ => Self::Database(error),
        }
    }
}

impl From<::mongodb::bson::error::Error> for Fault {
    fn from(error: ::mongodb::bson::error::Error) -> Self {
        Self::Refused(Error::bug(error))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => error,
            Fault::Duplicate(_) => Self::new(ErrorCode::Conflict, "this exists already"),
            Fault::Database(error) => to_error(error),
            Fault::TimedOut => took_too_long(),
            Fault::Closed => Self::unavailable("the store is closed"),
        }
    }
}

/// Tells whether a code of the server says that a unique value is taken.
pub(super) fn is_duplicate(code: i32) -> bool {
    matches!(code, 11_000 | 11_001 | 12_582)
}

/// Turns a failure of the database into what the caller is told and what the log shows.
pub(super) fn to_error(error: DriverError) -> Error {
    if let Some((code, _)) = code_of(&error) {
        return of_code(code).source(error);
    }
    let is_defect = matches!(
        *error.kind,
        ErrorKind::InvalidArgument { .. }
            | ErrorKind::Bson(_)
            | ErrorKind::BsonDeserialization(_)
            | ErrorKind::BsonSerialization(_)
            | ErrorKind::SessionsNotSupported
    );
    if is_defect {
        return Error::bug(error);
    }
    Error::unavailable("the database can't be reached now; try again").source(error)
}

/// What is told of one of several writes that the server refused with this code.
pub(super) fn of_refusal(code: i32, message: String) -> Fault {
    if is_duplicate(code) {
        return Fault::Duplicate(message);
    }
    Fault::Refused(of_code(code))
}

fn of_code(code: i32) -> Error {
    // Limits of time; the rest are grouped by what helps.
    const MAX_TIME_EXPIRED: [i32; 2] = [50, 262];
    const NO_ACCESS: [i32; 3] = [13, 18, 8000];
    const TOO_LARGE: [i32; 3] = [10_334, 17_419, 17_420];
    const DEFECTS: [i32; 9] = [2, 9, 14, 26, 40, 52, 56, 72, 121];
    if MAX_TIME_EXPIRED.contains(&code) {
        return took_too_long();
    }
    if NO_ACCESS.contains(&code) {
        return Error::unavailable("the database refuses this server's credentials");
    }
    if TOO_LARGE.contains(&code) {
        return Error::new(
            ErrorCode::PayloadTooLarge,
            "this is larger than the store can keep",
        );
    }
    if DEFECTS.contains(&code) {
        return Error::bug(format!("the database refuses a command with the code {code}"));
    }
    // A fail-over, a stop, a full disk, a write that no majority has seen: all that a retry can change.
    Error::unavailable("the database could not do this now; try again")
}

fn took_too_long() -> Error {
    Error::unavailable("the database took too long to answer; try again, or ask for less")
}

/// The server's code and message, when the failure is an answer of the server.
fn code_of(error: &DriverError) -> Option<(i32, &str)> {
    if let ErrorKind::Command(command) = error.kind.as_ref() {
        return Some((command.code, &command.message));
    }
    let ErrorKind::Write(failure) = error.kind.as_ref() else {
        return None;
    };
    if let WriteFailure::WriteError(write) = failure {
        return Some((write.code, &write.message));
    }
    if let WriteFailure::WriteConcernError(write) = failure {
        return Some((write.code, &write.message));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io;

    use model::ErrorKind as Kind;

    use super::*;

    #[test]
    fn g05_what_the_network_does_can_be_tried_again_and_a_defect_can_not() {
        let cut = DriverError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        let error = Error::from(Fault::from(cut));
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.is_retryable());
        assert!(Error::from(Fault::TimedOut).is_retryable());
        assert!(Error::from(Fault::Closed).is_retryable());
    }

    #[test]
    fn what_a_unique_index_refuses_is_a_conflict_that_tells_no_value() {
        let fault = Fault::Duplicate("dup key: { email: \"ada@example.org\" }".into());
        assert!(fault.is_duplicate());
        let error = Error::from(fault);
        assert_eq!(error.code(), ErrorCode::Conflict);
        assert!(!format!("{error:?}").contains("ada"));
    }
}
