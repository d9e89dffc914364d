//! Notices between processes, over one channel.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use model::{Bus, BusListener, Notice, Result};
use redis::aio::{PubSubSink, PubSubStream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    RedisBackplane,
    link::{Link, bounded},
    options::RedisOptions,
    outbox::Outbox,
    place::Place,
};
use crate::ears::Ears;

/// Between two batches: what is announced meanwhile is sent together.
const GATHERING: Duration = Duration::from_millis(2);

/// How often a connection on which nothing is heard is tried.
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// Between two attempts to listen: from the first to the last, doubled each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// After so long a connection has proven itself, and its loss is followed by a short pause again.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Of how many processes it is known how far they were heard.
const MOST_SPEAKERS: usize = 1_024;

/// What stands in a message of the channel.
#[derive(Serialize)]
struct Letter<'a> {
    from: &'a str,
    number: u64,
    notices: &'a [Notice],
}

/// A message of the channel, with notices as they are, since a newer version may have more kinds.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    number: u64,
    #[serde(borrow)]
    notices: Vec<&'a RawValue>,
}

/// Speaks and listens for one process.
pub(super) struct Radio {
    place: Place,
    response_limit: Duration,
    connect_limit: Duration,
    channel: String,
    /// Which process this is; by chance unlike all others.
    own: String,
    outbox: Outbox,
    ears: Ears,
    is_listening: watch::Sender<bool>,
}

impl Radio {
    /// Prepares a radio without a connection.
    pub(super) fn new(options: &RedisOptions) -> Result<Self> {
        let chance = || RandomState::new().hash_one(0);
        Ok(Self {
            place: Place::of(options)?,
            response_limit: super::shared_limit(options),
            connect_limit: options.connect_limit,
            channel: format!("{}bus", options.key_prefix),
            own: format!("{:016x}{:016x}", chance(), chance()),
            outbox: Outbox::default(),
            ears: Ears::default(),
            is_listening: watch::Sender::new(false),
        })
    }

    /// Whether notices of others are heard, now and at every change.
    pub(super) fn is_listening(&self) -> watch::Receiver<bool> {
        self.is_listening.subscribe()
    }

    /// Sends what is announced, until it is told to stop.
    pub(super) async fn speak(self: Arc<Self>, link: Arc<Link>, stop: CancellationToken) {
        while stop.run_until_cancelled(self.outbox.filled()).await.is_some() {
            while let Some(batch) = self.outbox.take() {
                let letter = Letter {
                    from: &self.own,
                    number: batch.number,
                    notices: &batch.notices,
                };
                if self.send(&link, &letter).await.is_none() {
                    self.outbox.lose();
                }
                // Over when it is told to stop: what is left goes at once.
                timeout(GATHERING, stop.cancelled()).await.ok();
            }
        }
    }

    async fn send(&self, link: &Link, letter: &Letter<'_>) -> Option<()> {
        let text = serde_json::to_vec(letter).ok()?;
        let mut publishing = redis::cmd("PUBLISH");
        publishing.arg(&self.channel).arg(text);
        link.ask(|mut connection| async move { publishing.exec_async(&mut connection).await })
            .await
    }

    /// Hears the others, again and again when the connection is lost, until it is told to stop.
    pub(super) async fn listen(self: Arc<Self>, stop: CancellationToken) {
        let (first, longest) = PAUSES;
        let mut pause = first;
        while !stop.is_cancelled() {
            match stop.run_until_cancelled(self.tune_in()).await {
                Some(Ok((sink, stream))) => {
                    let gained_at = Instant::now();
                    stop.run_until_cancelled(self.hear_while(sink, stream)).await;
                    self.is_listening.send_replace(false);
                    if gained_at.elapsed() >= STEADY_AFTER {
                        pause = first;
                    }
                }
                Some(Err(reason)) => tracing::debug!(reason, "other processes can't be heard"),
                None => {}
            }
            if timeout(pause, stop.cancelled()).await.is_err() {
                pause = (pause * 2).min(longest);
            }
        }
    }

    async fn tune_in(&self) -> Result<(PubSubSink, PubSubStream), String> {
        let limit = self.connect_limit.saturating_mul(self.place.steps());
        let connection = bounded(limit, self.place.subscriber()).await?;
        let (mut sink, stream) = connection.split();
        bounded(self.response_limit, sink.subscribe(&self.channel)).await?;
        Ok((sink, stream))
    }

    /// Returns when the connection is lost.
    async fn hear_while(&self, sink: PubSubSink, stream: PubSubStream) {
        // What was announced before this moment wasn't heard.
        self.ears.miss();
        self.is_listening.send_replace(true);
        tracing::debug!("other processes are heard");
        let reason = tokio::select! {
            () = self.hear_all(stream) => "the connection ended".to_owned(),
            reason = self.watch_over(sink) => reason,
        };
        tracing::debug!(reason, "other processes aren't heard any more");
    }

    async fn hear_all(&self, mut stream: PubSubStream) {
        let mut speakers = HashMap::new();
        while let Some(message) = stream.next().await {
            self.hear(message.get_payload_bytes(), &mut speakers);
        }
    }

    async fn watch_over(&self, mut sink: PubSubSink) -> String {
        let mut ticks = tokio::time::interval(PROBE_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(reason) = bounded(self.response_limit, sink.ping::<redis::Value>()).await {
                return reason;
            }
        }
    }

    /// Takes one message of the channel apart; `speakers` holds how far each process was heard.
    fn hear(&self, payload: &[u8], speakers: &mut HashMap<String, u64>) {
        let Ok(received) = serde_json::from_slice::<Received<'_>>(payload) else {
            tracing::debug!("a message on the bus can't be read");
            return;
        };
        if received.from == self.own {
            return;
        }
        if let Some(last) = speakers.get_mut(received.from.as_ref()) {
            let is_next = received.number == last.saturating_add(1);
            *last = received.number;
            if !is_next {
                self.ears.miss();
            }
        } else {
            if speakers.len() >= MOST_SPEAKERS {
                speakers.clear();
            }
            speakers.insert(received.from.into_owned(), received.number);
        }
        for notice in received.notices {
            if let Ok(notice) = serde_json::from_str(notice.get()) {
                self.ears.tell(notice);
            }
        }
    }
}

impl Bus for RedisBackplane {
    /// Sends within milliseconds, together with what else is announced; nothing while Redis is away. A message longer
    /// than the bounds is dropped.
    fn announce(&self, notice: Notice) {
        if let Notice::Message { topic, body } = &notice
            && (topic.chars().count() > Notice::MAX_TOPIC_CHARS || body.len() > Notice::MAX_BODY_BYTES)
        {
            tracing::warn!(
                topic_bytes = topic.len(),
                body_bytes = body.len(),
                "a message to other processes is too long; it is dropped"
            );
            return;
        }
        if self.shared.is_live() {
            self.radio.outbox.put(notice);
        } else {
            self.radio.outbox.lose();
        }
    }

    /// Each listener hears [`model::Heard::Missed`] whenever the connection has come about, anew or for the first time,
    /// and when a process has announced more than could be sent.
    fn listen(&self) -> Box<dyn BusListener> {
        self.radio.ears.listen()
    }
}
