//! One folder per database behind the store ports of `model`; all pass one contract suite.

mod json;
mod paging;
mod sqlite;

pub use sqlite::{SqliteOptions, SqliteStore};
