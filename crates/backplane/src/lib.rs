//! Ways for processes to share limits: one folder for each, behind the ports of `model`.
//!
//! `local` keeps everything in this process. What is kept here may be lost at any time: then callers are
//! given more than their quota for a while, never less.

mod local;

pub use local::LocalRateLimiter;
