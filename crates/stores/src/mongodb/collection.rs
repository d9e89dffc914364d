//! The names of the collections that several modules read.

/// Accounts, with what belongs to them.
pub(super) const ACCOUNTS: &str = "user";

/// Tasks, and how far turns have come.
pub(super) const TASKS: &str = "tasks";
