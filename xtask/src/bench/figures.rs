//! Samples of several rounds and their medians.

use std::time::Duration;

/// What one round of one scenario gave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// CPU time of the server for each request, user and system together.
    pub(super) cpu: Duration,
    /// Resident memory of the server right after the round.
    pub(super) memory_bytes: u64,
}

/// One scenario: all its rounds, bare and ours.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) bare: Vec<Sample>,
    pub(super) ours: Vec<Sample>,
}

impl Row {
    /// A scenario without rounds yet.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            bare: Vec::new(),
            ours: Vec::new(),
        }
    }
}

/// The median of each figure, taken on its own.
pub(super) fn medians(samples: &[Sample]) -> Sample {
    Sample {
        per_second: median(samples.iter().map(|sample| sample.per_second)),
        p50: median_time(samples.iter().map(|sample| sample.p50)),
        p99: median_time(samples.iter().map(|sample| sample.p99)),
        cpu: median_time(samples.iter().map(|sample| sample.cpu)),
        memory_bytes: middle(samples.iter().map(|sample| sample.memory_bytes).collect()),
    }
}

/// The middle value of a list of times; zero for an empty one.
pub(super) fn median_time(values: impl Iterator<Item = Duration>) -> Duration {
    middle(values.collect())
}

/// The middle value of a list of numbers; zero for an empty one.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn middle<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Sample, medians};

    #[test]
    fn one_wild_round_does_not_move_the_median() {
        let sample = |per_second| Sample {
            per_second,
            ..Sample::default()
        };
        let found = medians(&[sample(100.0), sample(9_000.0), sample(101.0)]);
        assert!((found.per_second - 101.0).abs() < f64::EPSILON);
    }
}
