//! Ways for processes to share limits, notices and small things: one folder for each, behind the ports of `model`.
//!
//! `local` keeps everything in this process, `redis` on a server that processes share. What is kept here may
//! be lost at any time: then callers are given more than their quota for a while, never less, and processes hear of
//! each other later.

mod rate;
#[cfg(feature = "redis")]
mod ears;
mod local;
#[cfg(feature = "redis")]
mod redis;

pub use local::{LocalBus, LocalRateLimiter};
#[cfg(feature = "redis")]
pub use redis::{RedisBackplane, RedisOptions, RedisStatus};
