//! The ports' doc comments, as tests.

mod user;
mod session;
mod key;
mod execution;
mod task;
mod task_queue;
mod schedule;
mod idempotency;
mod access;
mod store;
