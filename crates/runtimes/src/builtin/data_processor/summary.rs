//! `process`: statistics of a list of numbers.

use model::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{MAX_NUMBERS, statistics};
use crate::builtin::payload;

/// The percentiles that are given, and their names.
pub(super) const PERCENTILES: [(&str, usize); 6] = [
    ("p25", 25),
    ("p50", 50),
    ("p75", 75),
    ("p90", 90),
    ("p95", 95),
    ("p99", 99),
];

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Operation {
    Count,
    Sum,
    Mean,
    Median,
    Min,
    Max,
    StandardDeviation,
    SampleStandardDeviation,
    Variance,
    Percentiles,
}

impl Operation {
    /// All of them, in the order of results.
    pub(super) const ALL: [Self; 10] = [
        Self::Count,
        Self::Sum,
        Self::Mean,
        Self::Median,
        Self::Min,
        Self::Max,
        Self::StandardDeviation,
        Self::SampleStandardDeviation,
        Self::Variance,
        Self::Percentiles,
    ];

    /// The name in payloads and results.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Median => "median",
            Self::Min => "min",
            Self::Max => "max",
            Self::StandardDeviation => "standardDeviation",
            Self::SampleStandardDeviation => "sampleStandardDeviation",
            Self::Variance => "variance",
            Self::Percentiles => "percentiles",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    data: Vec<f64>,
    operations: Option<Vec<Operation>>,
}

pub(super) fn summarize(numbers: Numbers) -> Result<Value> {
    let Numbers { data, operations } = numbers;
    if !(1..=MAX_NUMBERS).contains(&data.len()) {
        let reason = format!("must hold 1 to {MAX_NUMBERS} numbers");
        return Err(Error::invalid("data", reason));
    }
    if let Some(index) = data.iter().position(|value| !value.is_finite()) {
        return Err(Error::invalid(
            format!("data.{index}"),
            "must be within 64-bit floating point",
        ));
    }
    let wanted = operations.as_deref().unwrap_or(&Operation::ALL);
    let summary = Summary::of(&data);
    let mut result = Map::new();
    for operation in Operation::ALL {
        if wanted.contains(&operation) {
            result.insert(operation.as_str().to_owned(), summary.give(operation)?);
        }
    }
    Ok(Value::Object(result))
}

struct Summary<'a> {
    values: &'a [f64],
    sorted: Vec<f64>,
    spread: statistics::Spread,
}

impl<'a> Summary<'a> {
    fn of(values: &'a [f64]) -> Self {
        Self {
            values,
            sorted: statistics::sorted(values),
            spread: statistics::spread(values),
        }
    }

    fn give(&self, operation: Operation) -> Result<Value> {
        let number = match operation {
            Operation::Count => return Ok(self.values.len().into()),
            Operation::Percentiles => return self.percentiles(),
            Operation::SampleStandardDeviation if self.values.len() == 1 => return Ok(Value::Null),
            Operation::Sum => statistics::sum(self.values.iter().copied()),
            Operation::Mean => statistics::mean(self.values),
            Operation::Median => statistics::percentile(&self.sorted, 50),
            Operation::Min => statistics::percentile(&self.sorted, 0),
            Operation::Max => statistics::percentile(&self.sorted, 100),
            Operation::StandardDeviation => self.spread.standard_deviation,
            Operation::SampleStandardDeviation => self.spread.sample_standard_deviation,
            Operation::Variance => self.spread.variance,
        };
        finite(operation.as_str(), number)
    }

    fn percentiles(&self) -> Result<Value> {
        let mut percentiles = Map::new();
        for (name, percent) in PERCENTILES {
            let value = statistics::percentile(&self.sorted, percent);
            percentiles.insert(name.to_owned(), finite(name, value)?);
        }
        Ok(Value::Object(percentiles))
    }
}

fn finite(name: &str, number: f64) -> Result<Value> {
    payload::number(number).ok_or_else(|| {
        let reason = format!("has no {name} within 64-bit floating point: the numbers are too large");
        Error::invalid("data", reason)
    })
}
