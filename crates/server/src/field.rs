//! The fields of requests and answers: how each is read from the wire, and how the OpenAPI document says so.
//!
//! What a description allows, the reader beside it accepts, and nothing else.

use std::borrow::Cow;

use model::{Direction, ExecutionStatus, Scope, Scopes, Secret, Sort, Source};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use self::schema::{MAX_RATE_LIMIT, MAX_SEARCH_CHARS};

pub(crate) mod schema;

/// Reads a field that may be left out, and may not be `null`.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a text that must not show.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// Reads the scopes of a key: at most [`Scopes::MAX`].
pub(crate) fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Scopes>, D::Error> {
    let scopes = Vec::<Scope>::deserialize(deserializer)?;
    let too_many = format!("must hold at most {} entries", Scopes::MAX);
    Scopes::new(scopes)
        .map(Some)
        .map_err(|_| de::Error::custom(too_many))
}

/// Reads a limit of requests: 1 to [`MAX_RATE_LIMIT`].
pub(crate) fn rate_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let refusal = || de::Error::custom(format!("must be a whole number from 1 to {MAX_RATE_LIMIT}"));
    let number = i64::deserialize(deserializer)?;
    let limit = u32::try_from(number).ok();
    limit
        .filter(|limit| (1..=MAX_RATE_LIMIT).contains(limit))
        .map(Some)
        .ok_or_else(refusal)
}

/// Reads the part of a name that a list is searched for: 1 to [`MAX_SEARCH_CHARS`] characters.
pub(crate) fn search<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if (1..=MAX_SEARCH_CHARS).contains(&text.chars().count()) {
        return Ok(Some(text));
    }
    Err(de::Error::custom(format!(
        "must have 1 to {MAX_SEARCH_CHARS} characters"
    )))
}

/// Reads what became of a call from a query.
pub(crate) fn status<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ExecutionStatus>, D::Error> {
    one_of(deserializer, ExecutionStatus::ALL, ExecutionStatus::as_str)
}

/// Reads through which door a call came from a query.
pub(crate) fn source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Source>, D::Error> {
    one_of(deserializer, Source::ALL, Source::as_str)
}

fn one_of<'de, T: Copy, D: Deserializer<'de>>(
    deserializer: D,
    all: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
) -> Result<Option<T>, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let mut accepted = Vec::new();
    for one in all {
        if name(one) == text {
            return Ok(Some(one));
        }
        accepted.push(name(one));
    }
    Err(de::Error::custom(format!(
        "must be one of {}",
        accepted.join(", ")
    )))
}

/// The order: oldest first, or newest first with a hyphen.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[schema(default = json!("-createdAt"))]
pub(crate) enum TimeOrder {
    /// Oldest first.
    #[serde(rename = "createdAt")]
    OldestFirst,
    /// Newest first.
    #[default]
    #[serde(rename = "-createdAt")]
    NewestFirst,
}

impl From<TimeOrder> for Sort<()> {
    fn from(order: TimeOrder) -> Self {
        let direction = match order {
            TimeOrder::OldestFirst => Direction::Ascending,
            TimeOrder::NewestFirst => Direction::Descending,
        };
        Self { field: (), direction }
    }
}
