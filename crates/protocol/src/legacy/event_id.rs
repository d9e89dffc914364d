//! The ids of events, by which a client of the older revisions resumes a stream.

use bytes::Bytes;

use crate::sessions::{SessionKey, StreamKey};

/// When a client whose stream was cut should come back; milliseconds.
const RETRY_MS: u32 = 1000;

/// An event without a message: tells where to resume, and when to come back.
pub(crate) fn priming(stream: StreamKey) -> Bytes {
    format!("retry: {RETRY_MS}\nid: {}\ndata: \n\n", write(stream, 0)).into()
}

/// The id of a stream's event.
pub(crate) fn write(stream: StreamKey, number: u64) -> String {
    format!("{:x}-{number}", stream.number)
}

/// Reads an event's id: the stream, of that session, and the number of the last event that was seen.
pub(crate) fn parse(session: SessionKey, id: &str) -> Option<(StreamKey, u64)> {
    let (stream, seen) = id.split_once('-')?;
    let number = u64::from_str_radix(stream, 16).ok()?;
    Some((StreamKey { session, number }, seen.parse().ok()?))
}
