//! Reads payloads and writes numbers.

use model::{Error, Result};
use serde::{Deserialize as _, Deserializer, de, de::DeserializeOwned};
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};

/// How many characters of the reason for a refusal are shown; it may quote the payload.
const MAX_REASON_CHARS: usize = 200;

/// Whole numbers up to here are exact in 64-bit floating point: 2⁵³.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// Reads a payload into its type.
///
/// # Errors
/// `Invalid` with the path of what doesn't fit.
pub(super) fn read<T: DeserializeOwned>(payload: Value) -> Result<T> {
    serde_path_to_error::deserialize(payload).map_err(|refusal| {
        let reason: String = refusal.inner().to_string();
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        Error::invalid(dotted(refusal.path()), reason)
    })
}

/// Reads a whole number of 0 to 2⁵³, also when it is written as `5.0`.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    to_whole(&Number::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("must be a whole number"))
}

/// As [`whole`], for a field that may be left out.
pub(super) fn optional_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    whole(deserializer).map(Some)
}

/// The number as a whole one, when it is.
pub(super) fn to_whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        let is_whole = (0.0..=MAX_EXACT_FLOAT).contains(&float) && float.fract() == 0.0;
        is_whole
            .then(|| integer_part(float))
            .and_then(|whole| u64::try_from(whole).ok())
    })
}

/// A number for a result: without a fraction when it is whole, `None` when it is not finite.
pub(super) fn number(float: f64) -> Option<Value> {
    if float.fract() == 0.0 && float.abs() <= MAX_EXACT_FLOAT {
        return Some(integer_part(float).into());
    }
    Number::from_f64(float).map(Value::Number)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the callers have checked the range"
)]
fn integer_part(float: f64) -> i64 {
    float as i64
}

fn dotted(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&part);
    }
    text
}
