//! Statistics of finite numbers, computed so that rounding errors do not add up. What is not finite or not
//! defined comes out as `NaN` or infinite, and the caller refuses it.

/// The sum by Neumaier's compensated summation (ZAMM 54, 1974): as good as in twice the precision.
pub(super) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let raised = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - raised) + value
        } else {
            (value - raised) + sum
        };
        sum = raised;
    }
    sum + lost
}

/// The arithmetic mean; finite whenever the values are.
pub(super) fn mean(values: &[f64]) -> f64 {
    let count = count(values);
    let sum_of_all = sum(values.iter().copied());
    if sum_of_all.is_finite() {
        return sum_of_all / count;
    }
    sum(values.iter().map(|value| value / count))
}

/// Mean squared and root mean squared distance from the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// The variance of the values as a whole population.
    pub(super) variance: f64,
    /// Its square root; can be finite where the variance isn't.
    pub(super) standard_deviation: f64,
    /// The standard deviation of the values as a sample of something larger (n - 1 in place of n).
    pub(super) sample_standard_deviation: f64,
}

/// The spread around the mean, in two passes. Distances are scaled to at most 1 before they are squared, so
/// that very large and very small values neither overflow nor vanish.
pub(super) fn spread(values: &[f64]) -> Spread {
    let (count, mean) = (count(values), mean(values));
    let scale = values
        .iter()
        .map(|value| (value - mean).abs())
        .fold(0.0, f64::max);
    let distances = || values.iter().map(|value| (value - mean) / scale);
    let squares = if scale == 0.0 {
        0.0
    } else {
        // The mean is rounded; what it is off by is taken out again (Chan, Golub and LeVeque 1983).
        let off = sum(distances());
        (sum(distances().map(|distance| distance * distance)) - off * off / count).max(0.0)
    };
    Spread {
        variance: squares / count * scale * scale,
        standard_deviation: (squares / count).sqrt() * scale,
        sample_standard_deviation: (squares / (count - 1.0)).sqrt() * scale,
    }
}

/// The values in ascending order.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The value below which `percent` in a hundred of the values lie: between two of them, in proportion
/// (Hyndman and Fan 1996, type 7, which most spreadsheets and libraries use).
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let position = sorted.len().saturating_sub(1) * percent;
    let (index, hundredths) = (position / 100, position % 100);
    let low = sorted.get(index).copied().unwrap_or(f64::NAN);
    let high = sorted.get(index + 1).copied().unwrap_or(low);
    if low == high || hundredths == 0 {
        return low;
    }
    let share = count_of(hundredths) / 100.0;
    (low * (1.0 - share) + high * share).clamp(low, high)
}

fn count(values: &[f64]) -> f64 {
    count_of(values.len())
}

/// Exact: nothing here counts beyond 2⁵³.
fn count_of(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_near(computed: f64, expected: f64, scale: f64) -> bool {
        (computed - expected).abs() <= 1e-12 * scale.max(f64::MIN_POSITIVE)
    }

    #[test]
    fn small_values_between_large_ones_are_not_lost() {
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(mean(&[1e16, 1.0, -1e16]), 1.0 / 3.0);
    }

    #[test]
    fn a_large_offset_does_not_drown_the_spread() {
        let spread = spread(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        assert_eq!(spread.variance, 22.5);
        assert!(is_near(spread.sample_standard_deviation, 30.0_f64.sqrt(), 10.0));
    }

    #[test]
    fn extreme_values_have_a_mean_and_a_standard_deviation() {
        assert_eq!(mean(&[1.7e308, 1.7e308]), 1.7e308);
        assert!(is_near(spread(&[1e200, 3e200]).standard_deviation, 1e200, 1e200));
        assert!(spread(&[1e200, 3e200]).variance.is_infinite());
        assert!(is_near(
            spread(&[1e-200, 3e-200]).standard_deviation,
            1e-200,
            1e-200
        ));
    }

    #[test]
    fn equal_values_have_no_spread_at_all() {
        assert_eq!(spread(&[0.1; 1000]).variance, 0.0);
    }

    #[test]
    fn percentiles_lie_between_two_values_in_proportion() {
        let values = sorted(&[30.0, 10.0, 20.0, 40.0]);
        let computed = [0, 25, 50, 75, 90, 100].map(|percent| percentile(&values, percent));
        assert_eq!(computed, [10.0, 17.5, 25.0, 32.5, 37.0, 40.0]);
        assert_eq!(percentile(&[5.0], 99), 5.0);
    }

    proptest! {
        #[test]
        fn sum_equals_the_exact_one_of_whole_numbers(values in prop::collection::vec(-1_000_000_000_i64..1_000_000_000, 1..500)) {
            let floats = values.iter().map(|value| *value as f64);
            prop_assert_eq!(sum(floats), values.iter().sum::<i64>() as f64);
        }

        #[test]
        fn mean_and_spread_agree_with_their_definitions(values in prop::collection::vec(-1e6..1e6_f64, 2..300)) {
            let n = values.len() as f64;
            let mean_by_definition = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean_by_definition).powi(2)).sum();
            let spread = spread(&values);
            prop_assert!(is_near(mean(&values), mean_by_definition, 1e6));
            prop_assert!(is_near(spread.variance, squares / n, 1e12));
            prop_assert!(is_near(spread.standard_deviation, (squares / n).sqrt(), 1e6));
            prop_assert!(is_near(spread.sample_standard_deviation, (squares / (n - 1.0)).sqrt(), 1e6));
        }

        #[test]
        fn spread_does_not_depend_on_where_the_values_lie(values in prop::collection::vec(-1000_i32..1000, 1..100)) {
            let here: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let there: Vec<f64> = here.iter().map(|value| value + 1e9).collect();
            prop_assert!(is_near(spread(&here).variance, spread(&there).variance, 1e6));
        }

        #[test]
        fn percentiles_grow_and_stay_within_the_values(values in prop::collection::vec(-1e300..1e300_f64, 1..200)) {
            let values = sorted(&values);
            let computed: Vec<f64> = (0..=100).map(|percent| percentile(&values, percent)).collect();
            prop_assert!(computed.is_sorted());
            prop_assert_eq!(computed.first(), values.first());
            prop_assert_eq!(computed.last(), values.last());
        }

        #[test]
        fn at_least_as_many_values_as_a_percentile_says_lie_at_or_below_it(
            values in prop::collection::vec(-1000_i32..1000, 1..200),
            percent in 0..=100_usize,
        ) {
            let values = sorted(&values.into_iter().map(f64::from).collect::<Vec<_>>());
            let bound = percentile(&values, percent);
            let below = values.iter().filter(|value| **value <= bound).count();
            prop_assert!(below * 100 >= (values.len() - 1) * percent);
        }
    }
}
