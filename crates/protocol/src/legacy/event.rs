//! Server-sent events of the older revisions, and their ids.

use bytes::Bytes;

use crate::sessions::{SessionKey, StreamKey};

/// When a client whose stream was cut should come back; milliseconds.
const RETRY_MS: u32 = 1000;
/// A comment: keeps what is between client and server from closing a silent stream.
pub(crate) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// An event with a message. The message is JSON without line breaks.
pub(crate) fn message(id: Option<&str>, message: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(message.len() + 64);
    if let Some(id) = id {
        event.extend_from_slice(b"id: ");
        event.extend_from_slice(id.as_bytes());
        event.push(b'\n');
    }
    event.extend_from_slice(b"event: message\ndata: ");
    event.extend_from_slice(message);
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// An event without a message: tells where to resume, and when to come back.
pub(crate) fn priming(id: &str) -> Bytes {
    format!("retry: {RETRY_MS}\nid: {id}\ndata: \n\n").into()
}

/// The id of a stream's event.
pub(crate) fn event_id(stream: StreamKey, number: u64) -> String {
    format!("{:x}-{number}", stream.number)
}

/// Reads an event's id: the stream, of that session, and the number of the last event that was seen.
pub(crate) fn parse_event_id(session: SessionKey, id: &str) -> Option<(StreamKey, u64)> {
    let (stream, seen) = id.split_once('-')?;
    let number = u64::from_str_radix(stream, 16).ok()?;
    Some((StreamKey { session, number }, seen.parse().ok()?))
}
