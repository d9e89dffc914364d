//! From JSON values and query parameters to types, with the path and a plain reason when they don't fit.

use std::{fmt, vec};

use model::{Error, Result};
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, Expected, IntoDeserializer as _, MapAccess, SeqAccess,
        Unexpected, Visitor,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Number, Value, map};

/// How much of a name that the caller made up is repeated, in characters.
const SHOWN_CHARS: usize = 60;

/// Integers of a number with fraction or exponent are exact below this.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Turns a JSON value into a type.
///
/// # Errors
/// `Invalid`, with the path of the first place that does not fit.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T> {
    T::deserialize(Node(value)).map_err(Misfit::into_error)
}

/// Turns query parameters into a type. `others` are accepted beside those of the type, and read elsewhere.
///
/// # Errors
/// `Invalid`, with the name of the first parameter that does not fit.
pub(super) fn from_pairs<T: DeserializeOwned>(
    pairs: Vec<(String, String)>,
    others: &[&'static str],
) -> Result<T> {
    T::deserialize(Pairs(pairs)).map_err(|mut misfit| {
        if let Some(accepted) = &mut misfit.accepted {
            accepted.splice(..0, others.iter().copied());
        }
        misfit.into_error()
    })
}

/// Where a value does not fit, and why.
#[derive(Debug)]
struct Misfit {
    /// The innermost segment first.
    path: Vec<String>,
    message: String,
    /// What is accepted where an unknown name was given.
    accepted: Option<Vec<&'static str>>,
}

impl Misfit {
    fn within(mut self, segment: impl fmt::Display) -> Self {
        self.path
            .push(segment.to_string().chars().take(SHOWN_CHARS).collect());
        self
    }

    fn into_error(mut self) -> Error {
        self.path.reverse();
        let path = self.path.join(".");
        let message = if path.is_empty() && self.message.starts_with("must be an object") {
            "the body must be an object".to_owned()
        } else {
            self.message
        };
        let message = match self.accepted.filter(|accepted| !accepted.is_empty()) {
            None => message,
            Some(accepted) => format!("{message}; accepted are {}", accepted.join(", ")),
        };
        Error::invalid(path, message)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: Vec::new(),
            message: message.to_string(),
            accepted: None,
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}", in_plain_words(&expected.to_string())))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}", in_plain_words(&expected.to_string())))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}", in_plain_words(&expected.to_string())))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::custom(one_of(known))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let accepted = Some(known.to_vec());
        let misfit = Self::custom("is not accepted here").within(field);
        Self { accepted, ..misfit }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom("is missing").within(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom("was given more than once").within(field)
    }
}

fn one_of(known: &[&str]) -> String {
    format!("must be one of {}", known.join(", "))
}

/// Says what a type expects as a caller would say it.
fn in_plain_words(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" | "isize" => "a whole number from -9223372036854775808 to 9223372036854775807",
        "variant identifier" => "one of the accepted texts",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("enum ") => "one of the accepted texts",
        other => other,
    }
}

/// A JSON value on its way into a type.
struct Node(Value);

impl Node {
    fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Misfit> {
        match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), _, _) => visitor.visit_u64(value),
            (_, Some(value), _) => visitor.visit_i64(value),
            (_, _, Some(value)) => visitor.visit_f64(value),
            _ => Err(Misfit::custom("must be a number that can be kept")),
        }
    }

    /// Takes 5.0 and 5e0 as 5, as JSON Schema does.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only whole numbers below 2^53 are cast"
    )]
    fn visit_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let fraction = self.0.as_f64().filter(|_| self.0.is_f64());
        match fraction.filter(|value| value.fract() == 0.0 && value.abs() < EXACT) {
            Some(value) => visitor.visit_i64(value as i64),
            None => self.deserialize_any(visitor),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.visit_integer(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => Self::visit_number(&number, visitor),
            Value::String(value) => visitor.visit_string(value),
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.into_iter(),
                index: 0,
            }),
            Value::Object(entries) => visitor.visit_map(Entries::of(entries)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Value::Object(entries) = self.0 else {
            return Err(Misfit::custom("must be an object"));
        };
        visitor.visit_map(Entries::of(entries))
    }

    // An array is no object, even though its items could be taken for the fields in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Value::String(text) = self.0 else {
            return Err(Misfit::custom(one_of(variants)));
        };
        text.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    // What a type would ignore is unknown to it.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::custom("is not accepted here"))
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct identifier
    }
}

/// The items of an array.
struct Items {
    items: vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Node(item))
            .map(Some)
            .map_err(|misfit| misfit.within(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of an object.
struct Entries {
    entries: map::IntoIter,
    key: String,
    value: Value,
}

impl Entries {
    fn of(entries: Map<String, Value>) -> Self {
        Self {
            entries: entries.into_iter(),
            key: String::new(),
            value: Value::Null,
        }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        let taken = seed.deserialize(key.as_str().into_deserializer()).map(Some);
        (self.key, self.value) = (key, value);
        taken
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let misplaced = |misfit: Misfit| misfit.within(&self.key);
        seed.deserialize(Node(std::mem::take(&mut self.value)))
            .map_err(misplaced)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Query parameters on their way into a type.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserializer<'de> for Pairs {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_map(PairEntries {
            pairs: self.0.into_iter(),
            current: None,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The parameters that are not taken yet.
struct PairEntries {
    pairs: vec::IntoIter<(String, String)>,
    current: Option<(String, String)>,
}

impl<'de> MapAccess<'de> for PairEntries {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((name, value)) = self.pairs.next() else {
            return Ok(None);
        };
        let taken = seed.deserialize(name.as_str().into_deserializer()).map(Some);
        self.current = Some((name, value));
        taken
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (name, value) = self.current.take().unwrap_or_default();
        seed.deserialize(Parameter(value))
            .map_err(|misfit| misfit.within(name))
    }
}

/// The text of one query parameter.
struct Parameter(String);

macro_rules! parsed {
    ($($method:ident $visit:ident $type:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Misfit::custom(format_args!("must be {}", in_plain_words($type)))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Parameter {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.0
            .into_deserializer()
            .deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::custom("is not a parameter of this route"))
    }

    parsed! {
        deserialize_bool visit_bool "a boolean";
        deserialize_u8 visit_u8 "u8";
        deserialize_u16 visit_u16 "u16";
        deserialize_u32 visit_u32 "u32";
        deserialize_u64 visit_u64 "u64";
        deserialize_i32 visit_i32 "i32";
        deserialize_i64 visit_i64 "i64";
        deserialize_f64 visit_f64 "f64";
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

#[cfg(test)]
mod tests {
    use model::Role;
    use rstest::rstest;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Sample {
        name: String,
        role: Option<Role>,
        count: Option<u16>,
        is_active: Option<bool>,
        tags: Option<Vec<String>>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Inner {
        email: Option<model::Email>,
        extra: Option<Map<String, Value>>,
    }

    fn refusal<T>(read: Result<T>) -> (String, String) {
        let error = read.err().unwrap();
        let [detail] = error.details() else {
            panic!("{error:?}")
        };
        (detail.path.clone(), detail.message.clone())
    }

    #[rstest]
    #[case(json!({}), "name", "is missing")]
    #[case(json!({"name": 1}), "name", "must be a string")]
    #[case(json!({"name": null}), "name", "must be a string")]
    #[case(json!({"name": {"$gt": ""}}), "name", "must be a string")]
    #[case(json!({"name": "a", "role": "root"}), "role", "must be one of user, developer, admin")]
    #[case(json!({"name": "a", "role": 1}), "role", "must be one of user, developer, admin")]
    #[case(json!({"name": "a", "count": -1}), "count", "must be a whole number from 0 to 65535")]
    #[case(json!({"name": "a", "count": 0.1}), "count", "must be a whole number from 0 to 65535")]
    #[case(json!({"name": "a", "count": "1"}), "count", "must be a whole number from 0 to 65535")]
    #[case(json!({"name": "a", "count": 1e300}), "count", "must be a whole number from 0 to 65535")]
    #[case(json!({"name": "a", "is_active": "yes"}), "is_active", "must be true or false")]
    #[case(json!({"name": "a", "tags": "x"}), "tags", "must be an array")]
    #[case(json!({"name": "a", "tags": ["x", 2]}), "tags.1", "must be a string")]
    #[case(json!({"name": "a", "inner": []}), "inner", "must be an object")]
    #[case(json!({"name": "a", "inner": {"extra": 1}}), "inner.extra", "must be an object")]
    #[case(json!({"name": "a", "isAdmin": true}), "isAdmin", "is not accepted here")]
    #[case(json!({"name": "a", "inner": {"id": 1}}), "inner.id", "is not accepted here")]
    #[case(json!(["a"]), "", "the body must be an object")]
    #[case(json!(null), "", "the body must be an object")]
    fn a02_a_body_that_does_not_fit_is_refused_in_plain_words(
        #[case] body: Value,
        #[case] path: &str,
        #[case] message: &str,
    ) {
        assert_eq!(refusal(from_value::<Sample>(body)), (path.into(), message.into()));
    }

    #[test]
    fn a_rule_of_the_model_speaks_for_itself() {
        let (path, message) = refusal(from_value::<Sample>(
            json!({"name": "a", "inner": {"email": "x"}}),
        ));
        assert_eq!(path, "inner.email");
        assert!(message.starts_with("must be an e-mail address"), "{message}");
    }

    #[rstest]
    #[case(json!(7), 7)]
    #[case(json!(7.0), 7)]
    #[case(json!(-0.0), 0)]
    fn c05_a_whole_number_may_be_written_with_a_fraction_of_zero(#[case] body: Value, #[case] expected: u16) {
        assert_eq!(from_value::<u16>(body).unwrap(), expected);
    }

    #[rstest]
    #[case(&[("count", "abc")], "count", "must be a whole number from 0 to 65535")]
    #[case(&[("count", "")], "count", "must be a whole number from 0 to 65535")]
    #[case(&[("count", "1e9")], "count", "must be a whole number from 0 to 65535")]
    #[case(&[("is_active", "1")], "is_active", "must be true or false")]
    #[case(&[("role", "root")], "role", "must be one of user, developer, admin")]
    #[case(&[("other", "1")], "other", "is not a parameter of this route")]
    fn c05_parameters_that_do_not_fit_are_refused(
        #[case] pairs: &[(&str, &str)],
        #[case] path: &str,
        #[case] message: &str,
    ) {
        let mut all = vec![("name".to_owned(), "a".to_owned())];
        all.extend(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        assert_eq!(
            refusal(from_pairs::<Sample>(all, &[])),
            (path.into(), message.into())
        );
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Strict {
        role: Option<Role>,
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_refused_with_those_that_are_read() {
        let other = vec![("order".to_owned(), "up".to_owned())];
        let expected = "is not accepted here; accepted are limit, role";
        assert_eq!(
            refusal(from_pairs::<Strict>(other, &["limit"])),
            ("order".to_owned(), expected.to_owned())
        );
    }
}
