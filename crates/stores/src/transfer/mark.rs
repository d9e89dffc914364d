//! How far a transfer has come.

use model::{Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{cursor::Cursor, digest::Digests};

/// What a store holds of a transfer into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The name of the store that everything comes from.
    pub source: Uuid,
    /// The name of the run that goes on with it: one at a time.
    pub run: Uuid,
    /// How far it is.
    pub stage: MarkStage,
}

/// How far a transfer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkStage {
    /// Records before this place are there.
    Copying(Cursor),
    /// All records are there; they aren't compared yet.
    Copied,
    /// Everything is there, and was the same as in the source.
    Complete(Box<Digests>),
}

/// Writes a mark down.
pub(crate) fn write_mark(mark: &Mark) -> Result<String> {
    serde_json::to_string(mark).map_err(Error::bug)
}

/// Reads what was written down.
pub(crate) fn read_mark(text: &str) -> Result<Mark> {
    serde_json::from_str(text).map_err(Error::bug)
}

/// Tells whether a mark, as it was written down, says that something is missing.
pub(crate) fn is_half_done(text: &str) -> Result<bool> {
    Ok(!matches!(read_mark(text)?.stage, MarkStage::Complete(_)))
}

/// Says that a store can't be used since a transfer into it isn't complete.
pub(crate) fn half_done(place: &str) -> Error {
    Error::unavailable(format!(
        "{place} is being filled by `mcp-server migrate` and isn't complete; run the same migration again to go on with \
         it, or remove it to begin anew"
    ))
}
