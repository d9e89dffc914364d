//! `transform`: steps over rows, one after the other.

use std::cmp::Ordering;

use model::{Error, Result};
use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::{
    MAX_STEPS,
    row::{self, Row},
};
use crate::builtin::payload;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transformation {
    rows: Vec<Row>,
    operations: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "operation", rename_all = "camelCase", deny_unknown_fields)]
enum Step {
    Select {
        fields: Vec<String>,
    },
    Rename {
        from: String,
        to: String,
    },
    Filter {
        field: String,
        comparison: Comparison,
        value: Option<Value>,
    },
    Sort {
        field: String,
        #[serde(default)]
        direction: Direction,
    },
    Limit {
        #[serde(deserialize_with = "payload::whole")]
        count: u64,
        #[serde(default, deserialize_with = "payload::whole")]
        offset: u64,
    },
    Derive {
        field: String,
        left: Operand,
        operator: Operator,
        right: Operand,
    },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Comparison {
    Equals,
    NotEquals,
    LessThan,
    AtMost,
    GreaterThan,
    AtLeast,
    In,
    Contains,
    Exists,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Direction {
    #[default]
    Ascending,
    Descending,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Operand {
    Constant(Number),
    Field(String),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

pub(super) fn transform(transformation: Transformation) -> Result<Value> {
    let Transformation { mut rows, operations } = transformation;
    row::require_few(&rows)?;
    if !(1..=MAX_STEPS).contains(&operations.len()) {
        return Err(Error::invalid(
            "operations",
            format!("must hold 1 to {MAX_STEPS} operations"),
        ));
    }
    for (index, step) in operations.into_iter().enumerate() {
        rows = step
            .apply(rows)
            .map_err(|refusal| refusal.under(&format!("operations.{index}")))?;
    }
    Ok(json!({ "count": rows.len(), "rows": rows }))
}

impl Step {
    fn apply(self, mut rows: Vec<Row>) -> Result<Vec<Row>> {
        match self {
            Self::Select { fields } => select(&mut rows, &fields),
            Self::Rename { from, to } => rename(&mut rows, &from, &to),
            Self::Filter {
                field,
                comparison,
                value,
            } => {
                let wanted = comparison.wanted(value)?;
                rows.retain(|row| comparison.holds(row::value(row, &field), &wanted));
            }
            Self::Sort { field, direction } => {
                rows.sort_by(|a, b| {
                    compare_for_sort(row::value(a, &field), row::value(b, &field), direction)
                });
            }
            Self::Limit { count, offset } => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(rows.len());
                rows.drain(..offset);
                rows.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            }
            Self::Derive {
                field,
                left,
                operator,
                right,
            } => derive(&mut rows, &field, &left, operator, &right)?,
        }
        Ok(rows)
    }
}

fn select(rows: &mut [Row], fields: &[String]) {
    for row in rows {
        let mut selected = Row::new();
        for field in fields {
            if let Some(value) = row.get_mut(field) {
                selected.insert(field.clone(), value.take());
            }
        }
        *row = selected;
    }
}

/// Keeps the field's place; a field that has the new name already gives way.
fn rename(rows: &mut [Row], from: &str, to: &str) {
    if from == to {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.contains_key(from)) {
        *row = std::mem::take(row)
            .into_iter()
            .filter(|(name, _)| name != to)
            .map(|(name, value)| {
                if name == from {
                    (to.to_owned(), value)
                } else {
                    (name, value)
                }
            })
            .collect();
    }
}

impl Comparison {
    /// The value to compare with, checked for this comparison.
    fn wanted(self, value: Option<Value>) -> Result<Value> {
        let refused = |reason| Err(Error::invalid("value", reason));
        match (self, value) {
            (Self::Exists, None) => Ok(Value::Bool(true)),
            (Self::Exists, Some(Value::Bool(wanted))) => Ok(Value::Bool(wanted)),
            (Self::Exists, Some(_)) => refused("must be true or false for exists"),
            (Self::In, Some(list @ Value::Array(_))) => Ok(list),
            (Self::In, _) => refused("must be a list for in"),
            (
                Self::LessThan | Self::AtMost | Self::GreaterThan | Self::AtLeast,
                Some(bound @ (Value::Number(_) | Value::String(_))),
            ) => Ok(bound),
            (Self::LessThan | Self::AtMost | Self::GreaterThan | Self::AtLeast, _) => {
                refused("must be a number or a text for a comparison by size")
            }
            // A null that is written out and one that is left out are read alike.
            (Self::Equals | Self::NotEquals | Self::Contains, value) => Ok(value.unwrap_or_default()),
        }
    }

    fn holds(self, value: &Value, wanted: &Value) -> bool {
        let order = || row::compare_alike(value, wanted);
        match self {
            Self::Equals => row::is_equal(value, wanted),
            Self::NotEquals => !row::is_equal(value, wanted),
            Self::LessThan => order().is_some_and(Ordering::is_lt),
            Self::AtMost => order().is_some_and(Ordering::is_le),
            Self::GreaterThan => order().is_some_and(Ordering::is_gt),
            Self::AtLeast => order().is_some_and(Ordering::is_ge),
            Self::In => is_member(wanted, value),
            Self::Contains => match (value, wanted) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                (list, element) => is_member(list, element),
            },
            Self::Exists => Value::Bool(!value.is_null()) == *wanted,
        }
    }
}

fn is_member(list: &Value, element: &Value) -> bool {
    let Value::Array(elements) = list else {
        return false;
    };
    elements.iter().any(|held| row::is_equal(held, element))
}

fn compare_for_sort(a: &Value, b: &Value, direction: Direction) -> Ordering {
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => return a.is_null().cmp(&b.is_null()),
        _ => {}
    }
    let order = row::compare_alike(a, b).unwrap_or_else(|| match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => row::kind_order(a).cmp(&row::kind_order(b)),
    });
    match direction {
        Direction::Ascending => order,
        Direction::Descending => order.reverse(),
    }
}

fn derive(rows: &mut [Row], field: &str, left: &Operand, operator: Operator, right: &Operand) -> Result<()> {
    for (index, row) in rows.iter_mut().enumerate() {
        let result = match (left.number(row), right.number(row)) {
            (Some(left), Some(right)) => operator.apply(left, right),
            _ => None,
        };
        let derived = match result {
            Some(number) => payload::number(number).ok_or_else(|| {
                let reason = format!("gives a number beyond 64-bit floating point in row {index}");
                Error::invalid("", reason)
            })?,
            None => Value::Null,
        };
        row.insert(field.to_owned(), derived);
    }
    Ok(())
}

impl Operand {
    fn number(&self, row: &Row) -> Option<f64> {
        match self {
            Self::Constant(number) => number.as_f64(),
            Self::Field(field) => row::value(row, field).as_f64(),
        }
    }
}

impl Operator {
    /// `None` for a division by zero.
    fn apply(self, left: f64, right: f64) -> Option<f64> {
        match self {
            Self::Add => Some(left + right),
            Self::Subtract => Some(left - right),
            Self::Multiply => Some(left * right),
            Self::Divide => (right != 0.0).then(|| left / right),
        }
    }
}
