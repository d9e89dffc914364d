//! Streamable HTTP: one address, where every message comes with a POST of its own.

mod headers;
mod sse;
mod stateless;
mod service;

pub use service::McpService;
