//! Doors and wiring: REST, configuration, life cycle and the command line of `mcp-server`.
//!
//! Modules stand in reading order, and each uses only what stands above it.

pub mod config;
pub mod system;
pub mod logs;
pub mod wire;
pub mod address;
pub mod metrics;
pub mod state;
pub mod failure;
pub mod envelope;
pub mod request;
mod place;
pub mod principal;
mod field;
pub mod extract;
pub mod idempotent;
mod openapi;
pub mod rest;
pub mod mcp;
pub mod edge;
pub mod lifecycle;
pub mod cli;
