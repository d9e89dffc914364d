//! JSON texts: each key once, nested only so far, every number kept as it was written.

use std::{cell::Cell, fmt, str};

use model::{Error, ErrorCode, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep a body may be nested; its outermost object or array is the first level.
pub const MAX_DEPTH: usize = 64;

/// From here on a number with a fraction or exponent may hide an integer that was too long to be kept.
const SUSPICIOUS: f64 = 9.2e18;

/// How much of a key is shown in a message, in characters.
const SHOWN_CHARS: usize = 60;

/// Reads one JSON text.
///
/// # Errors
/// `Malformed`, with line and column.
pub(super) fn parse(bytes: &[u8]) -> Result<Value> {
    let text = decode_utf8(bytes)?;
    let has_long_number = Cell::new(false);
    let tree = Tree {
        depth: 0,
        has_long_number: &has_long_number,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = tree
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    let value = value.map_err(|error| refuse(&reason(&error), (error.line(), error.column())))?;
    if has_long_number.get()
        && let Some(offset) = find_long_integer(text)
    {
        let message = "the body holds an integer that can't be kept exactly; send it as a string";
        return Err(refuse(message, position(text, offset)));
    }
    Ok(value)
}

fn decode_utf8(bytes: &[u8]) -> Result<&str> {
    let message = match bytes {
        [0xef, 0xbb, 0xbf, ..] => "the body must not begin with a byte order mark",
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..] => "the body must be UTF-8",
        _ => {
            return str::from_utf8(bytes).map_err(|error| {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let good = str::from_utf8(good).unwrap_or_default();
                refuse("the body must be UTF-8", position(good, good.len()))
            });
        }
    };
    Err(refuse(message, (1, 1)))
}

fn refuse(message: &str, (line, column): (usize, usize)) -> Error {
    Error::new(
        ErrorCode::MalformedJson,
        format!("{message} (line {line}, column {column})"),
    )
}

/// What the parser says, without the position that it puts at the end.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let reason = text.strip_suffix(&position).unwrap_or(&text);
    format!("the body is not JSON that is accepted: {reason}")
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Finds the first integer beyond 64 bits, where strings are passed over. The text is valid JSON.
fn find_long_integer(text: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let mut rest = text;
    while let Some(found) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (_, from) = rest.split_at(found);
        let length = match from.strip_prefix('"') {
            Some(inside) => 1 + string_length(inside),
            None => from.find(|c| !is_part(c)).unwrap_or(from.len()),
        };
        let (token, after) = from.split_at(length);
        let is_integer = !token.starts_with('"') && !token.contains(['.', 'e', 'E']);
        if is_integer && token.parse::<u64>().is_err() && token.parse::<i64>().is_err() {
            return Some(text.len() - from.len());
        }
        rest = after;
    }
    None
}

/// How long a string is, with its closing quote.
fn string_length(inside: &str) -> usize {
    let mut is_escaped = false;
    for (offset, byte) in inside.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return offset + 1,
            _ => {}
        }
    }
    inside.len()
}

/// Builds a tree of values.
#[derive(Clone, Copy)]
struct Tree<'a> {
    depth: usize,
    has_long_number: &'a Cell<bool>,
}

impl Tree<'_> {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.abs() >= SUSPICIOUS {
            self.has_long_number.set(true);
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let shown: String = key.chars().take(SHOWN_CHARS).collect();
                return Err(A::Error::custom(format_args!("the key {shown:?} occurs twice")));
            }
            let value = entries.next_value_seed(below)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn refusal(text: impl AsRef<[u8]>) -> String {
        parse(text.as_ref()).unwrap_err().message().to_owned()
    }

    #[rstest]
    #[case::empty_object("{", "line 1, column 1")]
    #[case::truncated("{\"a\":\n 1", "line 2, column 2")]
    #[case::two_values("{} {}", "line 1, column 4")]
    #[case::nan("{\"a\": NaN}", "line 1, column 7")]
    #[case::infinity("-Infinity", "line 1")]
    #[case::trailing_comma("[1,]", "line 1, column 4")]
    #[case::comment("/* */ {}", "line 1, column 1")]
    #[case::single_quotes("{'a':1}", "line 1, column 2")]
    #[case::leading_zero("[01]", "line 1, column 3")]
    #[case::lone_surrogate("[\"\\ud800\"]", "line 1")]
    #[case::raw_control("[\"a\u{1}\"]", "line 1")]
    #[case::duplicate("{\"a\":1,\n\"a\":2}", "occurs twice (line 2, column 3)")]
    #[case::nested_duplicate("{\"x\":[{\"b\":1,\"b\":1}]}", "occurs twice")]
    #[case::duplicate_by_escape("{\"a\":1,\"\\u0061\":2}", "occurs twice")]
    #[case::too_great("[1e400]", "out of range")]
    fn c01_what_is_not_json_is_refused_with_its_position(#[case] text: &str, #[case] expected: &str) {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }

    #[rstest]
    #[case::byte_order_mark(b"\xef\xbb\xbf{}".as_slice(), "line 1, column 1")]
    #[case::utf_16_little(b"\xff\xfe{\0}\0", "line 1, column 1")]
    #[case::utf_16_without_mark(b"{\0}\0", "line 1, column 1")]
    #[case::invalid_utf_8(b"{\"a\":\"\n\xff\"}", "line 2, column 1")]
    fn c01_what_is_not_utf_8_is_refused_with_its_position(#[case] bytes: &[u8], #[case] expected: &str) {
        let message = refusal(bytes);
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn c02_nesting_is_accepted_up_to_its_limit_only() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            refusal(nested(MAX_DEPTH + 1)),
            "the body is not JSON that is accepted: nested deeper than 64 levels (line 1, column 66)"
        );
        assert!(refusal("[".repeat(100_000)).contains("deeper than 64 levels"));
        assert!(refusal("{\"a\":".repeat(100_000)).contains("deeper than 64 levels"));
    }

    #[rstest]
    #[case("18446744073709551616", false)]
    #[case("-9223372036854775809", false)]
    #[case("{\"a\\\"1\": [\"x\", 1e19, 99999999999999999999]}", false)]
    #[case("18446744073709551615", true)]
    #[case("-9223372036854775808", true)]
    #[case("1e300", true)]
    #[case("[\"99999999999999999999\", 12345678901234567890.5]", true)]
    fn c05_integers_are_kept_exactly_or_refused(#[case] text: &str, #[case] is_kept: bool) {
        assert_eq!(parse(text.as_bytes()).is_ok(), is_kept, "{text}");
    }

    #[test]
    fn c08_unusual_keys_come_through_as_they_are() {
        let text = r#"{"$where":1,"a.b":2,"__proto__":3,"":4,"\u0000":5}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            let read = parse(&bytes).is_ok();
            prop_assert!(!read || serde_json::from_slice::<Value>(&bytes).is_ok());
        }

        #[test]
        fn numbers_come_through_exactly(float in proptest::num::f64::NORMAL, int: i64) {
            let text = format!("[{float:e},{int}]");
            let expected = serde_json::json!([float, int]);
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        }
    }
}
