//! The Model Context Protocol: what its methods mean here.
//!
//! The wire, with its revisions, is the crate `protocol`'s; here each method becomes one verb of the engine. Actions of
//! plugins are tools, tasks are the tasks of its extension, and a caller's calls and tasks are resources.

mod name;
mod catalogue;
mod page;
mod fault;
mod caller;
mod outcome;
mod question;
mod door;
mod task;
mod tool;
mod resource;
mod complete;
mod prompt;
mod listen;
mod handler;
mod sessions;
mod host;
mod challenge;
mod endpoint;

pub use caller::Caller;
pub use door::Door;
pub use endpoint::{PATH, routes};
pub use host::{Terms, host};
pub use sessions::{Shared, SharedSessions};
