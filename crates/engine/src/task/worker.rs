//! The worker: claims due tasks, does them, and records their ends.

use std::time::Duration;

/// How long a claim lasts without being renewed.
///
/// Three times [`RENEW_EVERY`]: one renewal may be lost to a stall, two to a store that fails over.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// How often leases are renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How often tasks of workers that are gone are looked for.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);
