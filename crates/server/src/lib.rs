//! Doors and wiring: REST, configuration, life cycle and the command line of `mcp-server`.
//!
//! Modules stand in reading order, and each uses only what stands above it.

pub mod config;
pub mod system;
pub mod logs;
