//! Rows and their values: how they are compared, and which can be grouped by.

use std::{cmp::Ordering, fmt::Write as _};

use model::{Error, Result};
use serde_json::{Map, Number, Value};

use super::MAX_ROWS;

/// One row: fields in their order.
pub(super) type Row = Map<String, Value>;

/// Refuses more rows than are worked on.
pub(super) fn require_few(rows: &[Row]) -> Result<()> {
    if rows.len() <= MAX_ROWS {
        return Ok(());
    }
    Err(Error::invalid(
        "rows",
        format!("must hold at most {MAX_ROWS} rows"),
    ))
}

/// The value of a field; a missing one counts as null.
pub(super) fn value<'a>(row: &'a Row, field: &str) -> &'a Value {
    row.get(field).unwrap_or(&Value::Null)
}

/// Compares two numbers by what they mean: 1 equals 1.0.
pub(super) fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return a.cmp(&b);
    }
    let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
    float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Equal)
}

/// Whether two values mean the same.
pub(super) fn is_equal(a: &Value, b: &Value) -> bool {
    if let (Value::Number(a), Value::Number(b)) = (a, b) {
        return compare_numbers(a, b).is_eq();
    }
    a == b
}

/// Compares two numbers or two texts (by code point); other values have no order.
pub(super) fn compare_alike(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(compare_numbers(a, b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// The place of a value's kind when values of several kinds are sorted; null comes last of all, whichever
/// way the others are sorted.
pub(super) fn kind_order(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) | Value::Object(_) => 3,
        Value::Null => 4,
    }
}

/// Adds a text to `key` that is the same for values that mean the same, and for no others. Gives false for
/// arrays and objects.
pub(super) fn append_key(key: &mut String, value: &Value) -> bool {
    let written = match value {
        Value::Null => write!(key, "n;"),
        Value::Bool(is_true) => write!(key, "b{is_true};"),
        Value::String(text) => write!(key, "s{}:{text};", text.len()),
        Value::Number(number) => match number.as_i128().or_else(|| whole(number)) {
            Some(whole) => write!(key, "i{whole};"),
            None => write!(key, "f{number};"),
        },
        Value::Array(_) | Value::Object(_) => return false,
    };
    written.is_ok()
}

fn whole(number: &Number) -> Option<i128> {
    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
    let is_exact = float.abs() <= 9_007_199_254_740_992.0;
    is_exact.then(|| float.to_string().parse().ok()).flatten()
}
