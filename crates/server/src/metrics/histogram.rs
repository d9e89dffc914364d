//! How long things took, in fixed buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the buckets in microseconds; one more bucket takes what is longer.
///
/// At most half as wide again as the one before, so that a percentile read between two bounds is near the truth.
pub(super) const BOUNDS: [u64; 36] = [
    50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000,
    30_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 500_000, 750_000, 1_000_000, 1_500_000,
    2_000_000, 3_000_000, 5_000_000, 7_500_000, 10_000_000, 15_000_000, 30_000_000, 60_000_000,
];

/// Counts durations in buckets. Counting takes three relaxed additions.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    buckets: [u64; BOUNDS.len() + 1],
    sum_micros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            sum_micros: AtomicU64::new(0),
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            buckets: [0; BOUNDS.len() + 1],
            sum_micros: 0,
        }
    }
}

impl Histogram {
    pub(super) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(BOUNDS.partition_point(|bound| *bound < micros)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            sum_micros: self.sum_micros.load(Relaxed),
            ..Snapshot::default()
        };
        for (count, bucket) in snapshot.buckets.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Relaxed);
        }
        snapshot
    }
}

impl Snapshot {
    /// Adds what another one holds.
    pub(super) fn add(&mut self, other: &Self) {
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count = count.saturating_add(more);
        }
    }

    /// How many durations were counted.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All durations together, in seconds.
    pub(super) fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_micros).as_secs_f64()
    }

    /// The mean in milliseconds; zero when nothing was counted.
    pub(super) fn mean_millis(&self) -> f64 {
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        if count == 0 {
            0.0
        } else {
            self.sum_seconds() * 1e3 / f64::from(count)
        }
    }

    /// The duration in milliseconds that `share` (0 to 1) of all stay below, read between two bounds in proportion.
    pub(super) fn percentile_millis(&self, share: f64) -> f64 {
        let total = as_float(self.count());
        if total == 0.0 {
            return 0.0;
        }
        let wanted = (share * total).max(1.0);
        let mut below = 0.0;
        let mut lower = 0;
        for (count, upper) in self.buckets.iter().zip(BOUNDS) {
            let here = as_float(*count);
            if below + here >= wanted {
                let part = (wanted - below) / here;
                return (as_float(lower) + part * as_float(upper - lower)) / 1e3;
            }
            below += here;
            lower = upper;
        }
        as_float(lower) / 1e3
    }

    /// The counts up to each bound of `bounds`, which are among [`BOUNDS`].
    pub(super) fn cumulative<'a>(&'a self, bounds: &'a [u64]) -> impl Iterator<Item = (f64, u64)> + 'a {
        bounds.iter().map(|bound| {
            let until = BOUNDS.partition_point(|known| known <= bound);
            let count = self.buckets.iter().take(until).sum();
            (Duration::from_micros(*bound).as_secs_f64(), count)
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 lose less than a part in 10^15"
)]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(millis: impl IntoIterator<Item = u64>) -> Snapshot {
        let histogram = Histogram::default();
        for each in millis {
            histogram.record(Duration::from_millis(each));
        }
        histogram.snapshot()
    }

    #[test]
    fn percentiles_of_a_ramp_are_near_the_truth() {
        let ramp = filled(1..=1_000);
        for (share, truth) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let read = ramp.percentile_millis(share);
            assert!((read - truth).abs() / truth < 0.1, "{share}: {read}");
        }
        assert!((ramp.mean_millis() - 500.5).abs() < 0.001);
    }

    #[test]
    fn nothing_counted_gives_zeros() {
        let empty = filled([]);
        assert_eq!(
            (empty.count(), empty.percentile_millis(0.99), empty.mean_millis()),
            (0, 0.0, 0.0)
        );
    }

    #[test]
    fn what_is_longer_than_every_bound_is_counted_too() {
        let long = filled([100_000_000]);
        assert_eq!((long.count(), long.percentile_millis(0.5)), (1, 60_000.0));
    }

    #[test]
    fn a_duration_on_a_bound_belongs_below_it() {
        let counts: Vec<_> = filled([1, 2]).cumulative(&[1_000, 2_000]).collect();
        assert_eq!(counts, [(0.001, 1), (0.002, 2)]);
    }
}
