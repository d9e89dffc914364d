//! One folder per database behind the store ports of `model`; all pass one contract suite.

mod account;
mod json;
mod paging;
pub mod transfer;
mod sqlite;
#[cfg(feature = "mongodb")]
mod mongodb;

#[cfg(feature = "mongodb")]
pub use mongodb::{MongoOptions, MongoStore};
pub use sqlite::{Restoration, SqliteOptions, SqliteStore, StoreContents, copy_store, inspect_store};
