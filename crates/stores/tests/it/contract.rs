//! The ports' doc comments, as tests.

mod user;
mod session;
mod key;
mod execution;
mod idempotency;
mod store;
