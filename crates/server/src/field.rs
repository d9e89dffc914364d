//! The fields of requests and answers: how each is read from the wire, and how the OpenAPI document says so.
//!
//! What a description allows, the reader beside it accepts, and nothing else.

use std::{borrow::Cow, fmt, ops::RangeInclusive, time::Duration};

use model::{
    Direction, ExecutionStatus, NewTask, Patience, Scope, Scopes, Secret, Sort, Source, TaskId, TaskSort,
};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use self::schema::{MAX_RATE_LIMIT, MAX_SEARCH_CHARS, MAX_TIMEOUT_MS};

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
    within(deserializer, 1..=MAX_RATE_LIMIT).map(Some)
}

/// Reads how often a task is tried again: up to [`Patience::MOST_RETRIES`].
pub(crate) fn retries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    within(deserializer, 0..=Patience::MOST_RETRIES).map(Some)
}

/// Reads a time limit in milliseconds: up to [`Patience::LONGEST_TIMEOUT`].
pub(crate) fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    within(deserializer, 1..=MAX_TIMEOUT_MS).map(|millis| Some(Duration::from_millis(millis)))
}

/// Reads a time limit in milliseconds; `null` removes it.
pub(crate) fn new_timeout<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Duration>>, D::Error> {
    /// A time limit that is there.
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "timeout")] Option<Duration>);

    let given = Option::<Given>::deserialize(deserializer)?;
    Ok(Some(given.and_then(|Given(limit)| limit)))
}

/// Reads a whole number of a range.
fn within<'de, T, D: Deserializer<'de>>(deserializer: D, range: RangeInclusive<T>) -> Result<T, D::Error>
where
    T: TryFrom<u64> + PartialOrd + fmt::Display,
{
    let refusal = || {
        let (least, most) = (range.start(), range.end());
        de::Error::custom(format!("must be a whole number from {least} to {most}"))
    };
    let number = u64::deserialize(deserializer).map_err(|_: D::Error| refusal())?;
    let number = T::try_from(number).ok();
    number.filter(|number| range.contains(number)).ok_or_else(refusal)
}

/// Reads the tasks that one depends on: at most [`NewTask::MOST_DEPENDENCIES`].
pub(crate) fn dependencies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TaskId>, D::Error> {
    so_many(deserializer, 0..=NewTask::MOST_DEPENDENCIES)
}

/// Reads the entries of an array, so many.
pub(crate) fn so_many<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    count: RangeInclusive<usize>,
) -> Result<Vec<T>, D::Error> {
    let entries = Vec::deserialize(deserializer)?;
    if count.contains(&entries.len()) {
        return Ok(entries);
    }
    let (least, most) = (count.start(), count.end());
    Err(de::Error::custom(format!("must hold {least} to {most} entries")))
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

impl TimeOrder {
    fn direction(self) -> Direction {
        match self {
            Self::OldestFirst => Direction::Ascending,
            Self::NewestFirst => Direction::Descending,
        }
    }
}

impl From<TimeOrder> for Sort<()> {
    fn from(order: TimeOrder) -> Self {
        let direction = order.direction();
        Self { field: (), direction }
    }
}

impl From<TimeOrder> for Sort<TaskSort> {
    fn from(order: TimeOrder) -> Self {
        Self {
            field: TaskSort::CreatedAt,
            direction: order.direction(),
        }
    }
}
