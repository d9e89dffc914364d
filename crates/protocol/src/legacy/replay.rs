//! The body of a response that is an event stream: what was said about a request, from some event on.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};

use super::event;
use crate::sessions::{Sessions, StreamKey};

/// How long a stream may be silent; proxies close at 30 s and more.
pub(crate) const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

struct Reader {
    sessions: Arc<dyn Sessions>,
    stream: StreamKey,
    reader: u64,
    seen: u64,
    opening: Option<Bytes>,
    is_over: bool,
}

/// Reads a stream from the event after `seen` on, to its end; begins with `opening`. Gives `None` when there is no such stream.
///
/// Who read the stream before gets no more of it, so that each message goes to one connection only.
pub(crate) async fn follow(
    sessions: Arc<dyn Sessions>,
    stream: StreamKey,
    seen: u64,
    opening: Option<Bytes>,
) -> Option<impl Stream<Item = Bytes> + Send + 'static> {
    let reader = Reader {
        reader: sessions.attach(stream).await?,
        sessions,
        stream,
        seen,
        opening,
        is_over: false,
    };
    Some(stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((next, reader))
    }))
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        if self.is_over {
            return None;
        }
        let read = self.sessions.read(self.stream, self.reader, self.seen);
        let Ok(read) = tokio::time::timeout(KEEP_ALIVE_EVERY, read).await else {
            return Some(event::KEEP_ALIVE);
        };
        let batch = read?;
        self.is_over = batch.is_last;
        let mut events = BytesMut::new();
        for (number, message) in batch.events {
            let id = event::event_id(self.stream, number);
            events.extend_from_slice(&event::message(Some(&id), &message));
            self.seen = number;
        }
        (!events.is_empty()).then(|| events.freeze())
    }
}
