//! How large and how deep a JSON value is.

use std::io;

use serde_json::Value;

/// Limits on a JSON value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// The most bytes of its text without spaces.
    pub(crate) bytes: usize,
    /// The most levels of arrays and objects inside each other.
    pub(crate) levels: usize,
}

/// Which limit a value goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// It has too many levels.
    Levels,
    /// Its text is too long.
    Bytes,
}

impl Extent {
    /// Passes when `value` is within both limits. One walk without allocation, unless the value comes near
    /// the limit of bytes: then its text is counted exactly.
    pub(crate) fn holds(self, value: &Value) -> Result<(), Excess> {
        if bytes_at_most(value, self.levels)? > self.bytes && !self.text_fits(value) {
            return Err(Excess::Bytes);
        }
        Ok(())
    }

    /// Passes when each of several values has few enough levels, and all together few enough bytes.
    pub(crate) fn holds_all<'a>(self, values: impl Iterator<Item = &'a Value> + Clone) -> Result<(), Excess> {
        let mut bytes: usize = 0;
        for value in values.clone() {
            bytes = bytes.saturating_add(bytes_at_most(value, self.levels)?);
        }
        if bytes <= self.bytes {
            return Ok(());
        }
        let mut countdown = Countdown { left: self.bytes };
        for value in values {
            serde_json::to_writer(&mut countdown, value).map_err(|_full| Excess::Bytes)?;
        }
        Ok(())
    }

    fn text_fits(self, value: &Value) -> bool {
        serde_json::to_writer(Countdown { left: self.bytes }, value).is_ok()
    }
}

/// A bound of the text's length that is quick to find; recursion ends at `levels`.
fn bytes_at_most(value: &Value, levels: usize) -> Result<usize, Excess> {
    /// A control character becomes six characters (`\u0000`).
    const WIDEST_ESCAPE: usize = 6;
    /// The longest text of a number, `-2.2250738585072014e-308`, with room to spare.
    const LONGEST_NUMBER: usize = 32;
    const QUOTES: usize = 2;
    const SEPARATORS: usize = 2;

    let deeper = || levels.checked_sub(1).ok_or(Excess::Levels);
    Ok(match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => LONGEST_NUMBER,
        Value::String(text) => text.len() * WIDEST_ESCAPE + QUOTES,
        Value::Array(entries) => {
            let levels = deeper()?;
            let mut sum = QUOTES;
            for entry in entries {
                sum += bytes_at_most(entry, levels)? + SEPARATORS;
            }
            sum
        }
        Value::Object(fields) => {
            let levels = deeper()?;
            let mut sum = QUOTES;
            for (name, field) in fields {
                sum += name.len() * WIDEST_ESCAPE + QUOTES + SEPARATORS + bytes_at_most(field, levels)?;
            }
            sum
        }
    })
}

/// Takes a number of bytes, and then fails.
struct Countdown {
    left: usize,
}

impl io::Write for Countdown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn a_value_may_have_as_many_levels_as_the_limit_says() {
        let extent = Extent {
            bytes: 1_000,
            levels: 64,
        };
        assert_eq!(extent.holds(&nested(64)), Ok(()));
        assert_eq!(extent.holds(&nested(65)), Err(Excess::Levels));
    }

    #[test]
    fn several_values_share_the_limit_of_bytes_and_not_that_of_levels() {
        let values = [json!(["é"]), json!("\u{0}")];
        let bytes = values.iter().map(|value| value.to_string().len()).sum();
        assert_eq!(Extent { bytes, levels: 1 }.holds_all(values.iter()), Ok(()));
        let bytes = bytes - 1;
        let excess = Extent { bytes, levels: 1 }.holds_all(values.iter());
        assert_eq!(excess, Err(Excess::Bytes));
    }

    #[test]
    fn a_text_is_counted_as_it_is_written() {
        let value = json!({ "a\n": ["é", 1.5, null, true, "\u{0}"] });
        let bytes = value.to_string().len();
        assert_eq!(Extent { bytes, levels: 2 }.holds(&value), Ok(()));
        let bytes = bytes - 1;
        assert_eq!(Extent { bytes, levels: 2 }.holds(&value), Err(Excess::Bytes));
    }
}
