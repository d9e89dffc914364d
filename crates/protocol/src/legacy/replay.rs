//! The body of a response that is an event stream: what was said about a request, from some event on.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};

use super::event_id;
use crate::{
    event,
    handler::Handler,
    sessions::{Sessions, StreamKey},
    shared::Shared,
};

struct Reader {
    sessions: Arc<dyn Sessions>,
    stream: StreamKey,
    reader: u64,
    seen: u64,
    opening: Option<Bytes>,
    keep_alive: Duration,
    is_over: bool,
}

/// Reads a stream from the event after `seen` on, to its end; begins with `opening`. Gives `None` when there is no such stream.
///
/// Who read the stream before gets no more of it, so that each message goes to one connection only.
pub(crate) async fn follow<H: Handler>(
    shared: &Shared<H>,
    stream: StreamKey,
    seen: u64,
    opening: Option<Bytes>,
) -> Option<impl Stream<Item = Bytes> + Send + 'static + use<H>> {
    let sessions = Arc::clone(&shared.sessions);
    let reader = Reader {
        reader: sessions.attach(stream).await?,
        sessions,
        keep_alive: shared.limits.keep_alive,
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
        let Ok(read) = tokio::time::timeout(self.keep_alive, read).await else {
            return Some(event::KEEP_ALIVE);
        };
        let batch = read?;
        self.is_over = batch.is_last;
        let mut events = BytesMut::new();
        for (number, message) in batch.events {
            let id = event_id::write(self.stream, number);
            events.extend_from_slice(&event::message(Some(&id), &message));
            self.seen = number;
        }
        (!events.is_empty()).then(|| events.freeze())
    }
}
