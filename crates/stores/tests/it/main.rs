//! What every store must do, run on each of them; and what only the embedded one does.

#![cfg(test)]

mod engine;
mod make;
mod walk;
mod contract;
mod sqlite;
mod transfer;
#[cfg(feature = "mongodb")]
mod mongodb;
