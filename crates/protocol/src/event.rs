//! Server-sent events.

use bytes::Bytes;

/// A comment: keeps what is between client and server from closing a silent stream.
pub(crate) const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

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
