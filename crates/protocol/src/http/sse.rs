//! Server-sent events: what is said before a result, and streams of changes.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    body::Body,
    context::OutboxNotice,
    event::{self, KEEP_ALIVE},
    notice::NoticeWriter,
    subscription::Subscription,
};

/// A call that goes on while its response is a stream.
pub(crate) struct StreamedCall {
    /// Gives the last message. Aborted when this is dropped.
    pub(crate) running: AbortOnDropHandle<String>,
    /// What is said before.
    pub(crate) notices: Option<mpsc::Receiver<OutboxNotice>>,
    /// Writes it.
    pub(crate) writer: NoticeWriter,
    /// What was said already.
    pub(crate) first: Option<OutboxNotice>,
    /// What is sent when the call came to grief.
    pub(crate) failed: String,
}

/// The body of a call: its notices, then its last message.
pub(crate) fn call_body(call: StreamedCall, keep_alive: Duration) -> Body {
    let StreamedCall {
        running,
        notices,
        mut writer,
        first,
        failed,
    } = call;
    let ready = first
        .and_then(|notice| writer.write(&notice))
        .iter()
        .map(|text| event::message(None, text.as_bytes()))
        .collect();
    let progress = CallStream {
        running: Some(running),
        notices,
        writer,
        failed,
        ready,
        keep_alive: ticks(keep_alive),
    };
    Body::stream(stream::unfold(progress, |mut progress| async move {
        let event = progress.next().await?;
        Some((event, progress))
    }))
}

/// The body of a call that has ended; `None` when it said nothing before its last message.
pub(crate) fn spoken_body(
    mut notices: mpsc::Receiver<OutboxNotice>,
    mut writer: NoticeWriter,
    last: &str,
) -> Option<Body> {
    let mut events = BytesMut::new();
    while let Ok(notice) = notices.try_recv() {
        if let Some(text) = writer.write(&notice) {
            events.extend_from_slice(&event::message(None, text.as_bytes()));
        }
    }
    if events.is_empty() {
        return None;
    }
    events.extend_from_slice(&event::message(None, last.as_bytes()));
    Some(Body::full(events))
}

/// The body of a stream of changes.
pub(crate) fn subscription_body(subscription: Subscription, keep_alive: Duration) -> Body {
    let progress = (subscription, ticks(keep_alive));
    Body::stream(stream::unfold(
        progress,
        |(mut subscription, mut keep_alive)| async move {
            let event = tokio::select! {
                biased;
                message = subscription.next() => event::message(None, message?.as_bytes()),
                _ = keep_alive.tick() => KEEP_ALIVE,
            };
            Some((event, (subscription, keep_alive)))
        },
    ))
}

fn ticks(every: Duration) -> Interval {
    let every = every.max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

struct CallStream {
    running: Option<AbortOnDropHandle<String>>,
    notices: Option<mpsc::Receiver<OutboxNotice>>,
    writer: NoticeWriter,
    failed: String,
    ready: VecDeque<Bytes>,
    keep_alive: Interval,
}

impl CallStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let running = self.running.as_mut()?;
            tokio::select! {
                biased;
                Some(notice) = heard(&mut self.notices) => {
                    self.ready.extend(self.writer.write(&notice).iter().map(|text| event::message(None, text.as_bytes())));
                }
                ended = running => {
                    self.running = None;
                    // A call that panicked or was aborted from outside has no message of its own.
                    let last = ended.unwrap_or_else(|_| self.failed.clone());
                    self.end(&last);
                }
                _ = self.keep_alive.tick() => return Some(KEEP_ALIVE),
            }
        }
    }

    /// What was said last must come before the result.
    fn end(&mut self, last: &str) {
        while let Some(notice) = self.notices.as_mut().and_then(|notices| notices.try_recv().ok()) {
            self.ready.extend(
                self.writer
                    .write(&notice)
                    .iter()
                    .map(|text| event::message(None, text.as_bytes())),
            );
        }
        self.notices = None;
        self.ready.push_back(event::message(None, last.as_bytes()));
    }
}

/// The next notice; waits for ever when there can be none, and gives `None` when there will be none any more.
pub(crate) async fn heard(notices: &mut Option<mpsc::Receiver<OutboxNotice>>) -> Option<OutboxNotice> {
    match notices {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
