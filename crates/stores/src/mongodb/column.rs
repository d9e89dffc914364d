//! How values of the model stand in documents.

use std::{fmt::Display, str::FromStr};

use ::mongodb::bson::{Binary, Bson, DateTime, Uuid as BsonUuid, spec::BinarySubtype};
use model::{Error, Result, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// An identifier, as 16 bytes of the subtype for them.
pub(super) fn id(uuid: Uuid) -> BsonUuid {
    BsonUuid::from_bytes(uuid.into_bytes())
}

/// Reads an identifier.
pub(super) fn uuid(id: BsonUuid) -> Uuid {
    Uuid::from_bytes(id.bytes())
}

/// A moment, in milliseconds as the model has it.
pub(super) fn moment(timestamp: Timestamp) -> DateTime {
    DateTime::from_millis(timestamp.as_millis())
}

/// Reads a moment.
pub(super) fn timestamp(moment: DateTime) -> Timestamp {
    Timestamp::from_millis(moment.timestamp_millis())
}

/// The number of a moment's day since the epoch.
pub(super) fn day(timestamp: Timestamp) -> i64 {
    const DAY_SECONDS: i64 = 86_400;
    timestamp.as_secs().div_euclid(DAY_SECONDS)
}

/// A digest, as bytes.
pub(super) fn bytes(digest: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: digest.to_vec(),
    }
}

/// Reads a digest.
///
/// # Errors
/// `Bug` when it hasn't the length of one.
pub(super) fn digest(stored: &Binary) -> Result<[u8; 32]> {
    stored.bytes.as_slice().try_into().map_err(Error::bug)
}

/// Reads a value that has one text form.
///
/// # Errors
/// `Bug` when what is stored can't be one.
pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|error: T::Err| Error::bug(error.to_string()))
}

/// Reads a value of a closed list from its name.
///
/// # Errors
/// `Bug` when no value has the name.
pub(super) fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str) -> Result<T> {
    let found = all.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| Error::bug(format!("{text} is stored where no such name can be")))
}

/// Reads JSON from its text.
///
/// # Errors
/// `Bug` when it isn't JSON, or not of that form.
pub(super) fn from_json_text<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::bug)
}

/// Turns rows into a value for a command.
///
/// # Errors
/// `Bug` when they can't be one.
pub(super) fn value(rows: &impl Serialize) -> Result<Bson> {
    ::mongodb::bson::serialize_to_bson(rows).map_err(Error::bug)
}

/// Reads a count; a negative one, which can't be, counts as none.
pub(super) fn to_count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Turns a count into what a document holds, at most the greatest number that it can.
pub(super) fn from_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
