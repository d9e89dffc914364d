//! `aggregate`: groups rows and computes over each group.

use std::collections::{HashMap, HashSet};

use model::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    MAX_STEPS,
    row::{self, Row},
    statistics,
};
use crate::builtin::payload;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Grouping {
    rows: Vec<Row>,
    #[serde(default)]
    group_by: Vec<String>,
    aggregations: Vec<Aggregation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aggregation {
    operation: Operation,
    field: Option<String>,
    #[serde(rename = "as")]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Operation {
    Count,
    CountDistinct,
    Sum,
    Mean,
    Median,
    Min,
    Max,
    StandardDeviation,
    Variance,
}

impl Operation {
    /// All of them, in the order of documentation.
    pub(super) const ALL: [Self; 9] = [
        Self::Count,
        Self::CountDistinct,
        Self::Sum,
        Self::Mean,
        Self::Median,
        Self::Min,
        Self::Max,
        Self::StandardDeviation,
        Self::Variance,
    ];

    /// The name in payloads.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::CountDistinct => "countDistinct",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Median => "median",
            Self::Min => "min",
            Self::Max => "max",
            Self::StandardDeviation => "standardDeviation",
            Self::Variance => "variance",
        }
    }
}

pub(super) fn aggregate(grouping: Grouping) -> Result<Value> {
    let Grouping {
        rows,
        group_by,
        aggregations,
    } = grouping;
    row::require_few(&rows)?;
    if !(1..=MAX_STEPS).contains(&aggregations.len()) {
        let reason = format!("must hold 1 to {MAX_STEPS} aggregations");
        return Err(Error::invalid("aggregations", reason));
    }
    let names = name_results(&group_by, &aggregations)?;
    let groups = group(&rows, &group_by)?;
    let mut results = Vec::with_capacity(groups.len());
    for members in groups {
        let mut result = Row::new();
        if let Some((_, first)) = members.first() {
            for field in &group_by {
                result.insert(field.clone(), row::value(first, field).clone());
            }
        }
        for (aggregation, name) in aggregations.iter().zip(&names) {
            result.insert(name.clone(), aggregation.compute(&members)?);
        }
        results.push(result);
    }
    Ok(json!({ "count": results.len(), "groups": results }))
}

/// Names each result as asked, or after what it is, and refuses two of one name.
fn name_results(group_by: &[String], aggregations: &[Aggregation]) -> Result<Vec<String>> {
    let mut taken: HashSet<String> = group_by.iter().cloned().collect();
    let mut names = Vec::with_capacity(aggregations.len());
    for (index, aggregation) in aggregations.iter().enumerate() {
        let operation = aggregation.operation.as_str();
        if aggregation.field.is_none() && aggregation.operation != Operation::Count {
            let path = format!("aggregations.{index}.field");
            return Err(Error::invalid(path, format!("is needed for {operation}")));
        }
        let name = match (&aggregation.name, &aggregation.field) {
            (Some(name), _) => name.clone(),
            (None, Some(field)) => format!("{operation}_{field}"),
            (None, None) => operation.to_owned(),
        };
        if !taken.insert(name.clone()) {
            let path = format!("aggregations.{index}.as");
            return Err(Error::invalid(
                path,
                "must differ from the names of the other results and groups",
            ));
        }
        names.push(name);
    }
    Ok(names)
}

/// Rows with their place in the payload.
type Members<'a> = Vec<(usize, &'a Row)>;

/// The groups in the order of their first rows. Without fields to group by, all rows are one group.
fn group<'a>(rows: &'a [Row], fields: &[String]) -> Result<Vec<Members<'a>>> {
    let mut groups: Vec<Members<'a>> = Vec::new();
    if fields.is_empty() {
        groups.push(rows.iter().enumerate().collect());
        return Ok(groups);
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let mut key = String::new();
        for field in fields {
            if !row::append_key(&mut key, row::value(row, field)) {
                let path = format!("rows.{index}.{field}");
                return Err(Error::invalid(path, "must be no list or object, to group by it"));
            }
        }
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(members) => members.push((index, row)),
            None => groups.push(vec![(index, row)]),
        }
    }
    Ok(groups)
}

impl Aggregation {
    fn compute(&self, members: &[(usize, &Row)]) -> Result<Value> {
        let Some(field) = &self.field else {
            return Ok(members.len().into());
        };
        match self.operation {
            Operation::Count => {
                let present = members
                    .iter()
                    .filter(|(_, row)| !row::value(row, field).is_null());
                Ok(present.count().into())
            }
            Operation::CountDistinct => count_distinct(field, members),
            Operation::Sum
            | Operation::Mean
            | Operation::Median
            | Operation::Min
            | Operation::Max
            | Operation::StandardDeviation
            | Operation::Variance => self.compute_numbers(field, &numbers(field, members)?),
        }
    }

    fn compute_numbers(&self, field: &str, values: &[f64]) -> Result<Value> {
        let is_sum = self.operation == Operation::Sum;
        if values.is_empty() && !is_sum {
            return Ok(Value::Null);
        }
        let number = match self.operation {
            Operation::Mean => statistics::mean(values),
            Operation::Median => statistics::percentile(&statistics::sorted(values), 50),
            Operation::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Operation::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Operation::StandardDeviation => statistics::spread(values).standard_deviation,
            Operation::Variance => statistics::spread(values).variance,
            Operation::Sum | Operation::Count | Operation::CountDistinct => {
                statistics::sum(values.iter().copied())
            }
        };
        payload::number(number).ok_or_else(|| {
            let operation = self.operation.as_str();
            let reason = format!("has no {operation} of {field} within 64-bit floating point");
            Error::invalid("rows", reason)
        })
    }
}

fn count_distinct(field: &str, members: &[(usize, &Row)]) -> Result<Value> {
    let mut seen = HashSet::new();
    for (index, row) in members {
        let value = row::value(row, field);
        let mut key = String::new();
        if !row::append_key(&mut key, value) {
            let path = format!("rows.{index}.{field}");
            return Err(Error::invalid(
                path,
                "must be no list or object, to tell values apart",
            ));
        }
        if !value.is_null() {
            seen.insert(key);
        }
    }
    Ok(seen.len().into())
}

fn numbers(field: &str, members: &[(usize, &Row)]) -> Result<Vec<f64>> {
    let mut numbers = Vec::with_capacity(members.len());
    for (index, row) in members {
        let value = row::value(row, field);
        if value.is_null() {
            continue;
        }
        let number = value.as_f64().filter(|number| number.is_finite());
        let number =
            number.ok_or_else(|| Error::invalid(format!("rows.{index}.{field}"), "must be a number"))?;
        numbers.push(number);
    }
    Ok(numbers)
}
