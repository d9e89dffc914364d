//! The embedded store alone.
