//! Streamable HTTP: one address, where every message comes with a POST of its own.

mod body;
mod service;

pub use body::Body;
pub use service::McpService;
