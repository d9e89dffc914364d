//! A connection to Redis that comes back by itself.

use std::{sync::Arc, time::Duration};

use model::{Clock, Result, Timestamp};
use parking_lot::RwLock;
use redis::{
    AsyncConnectionConfig, FromRedisValue, RedisError, RedisResult, ScriptInvocation,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{options::RedisOptions, place::Place};

/// Whether Redis is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisStatus {
    /// It is, and processes count together.
    Shared {
        /// Since when.
        since: Timestamp,
    },
    /// It isn't: each process counts by itself, and goes on trying.
    Away {
        /// Since when.
        since: Timestamp,
        /// A few words on the last attempt, without addresses or secrets.
        reason: String,
    },
}

impl RedisStatus {
    /// Tells whether processes count together.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }
}

/// The one connection that all requests of this process go through, while there is one.
pub(super) struct Link {
    place: Place,
    response_limit: Duration,
    connect_limit: Duration,
    probe_key: String,
    /// For what, in the log.
    purpose: &'static str,
    clock: Arc<dyn Clock>,
    live: RwLock<Option<Live>>,
    status: watch::Sender<RedisStatus>,
    lost: Notify,
}

/// A connection that works as far as is known, and which one it is.
#[derive(Clone)]
struct Live {
    number: u64,
    connection: MultiplexedConnection,
}

impl Link {
    /// How often a connection that isn't complained of is tried.
    const PROBE_PERIOD: Duration = Duration::from_secs(1);

    /// Between two attempts: from the first to the last, doubled each time.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

    /// After so long a connection has proven itself, and its loss is followed by a short pause again.
    const STEADY_AFTER: Duration = Duration::from_secs(10);

    /// How many requests may wait for the connection to take them; more wait in line before it.
    const WAITING: usize = 1024;

    /// Prepares a link without a connection. `purpose` says in the log for what it is.
    pub(super) fn new(
        options: &RedisOptions,
        clock: Arc<dyn Clock>,
        purpose: &'static str,
        response_limit: Duration,
    ) -> Result<Self> {
        let (status, _) = watch::channel(RedisStatus::Away {
            since: clock.now(),
            reason: "not connected yet".to_owned(),
        });
        Ok(Self {
            place: Place::of(options)?,
            response_limit,
            purpose,
            connect_limit: options.connect_limit,
            probe_key: format!("{}probe", options.key_prefix),
            clock,
            live: RwLock::new(None),
            status,
            lost: Notify::new(),
        })
    }

    /// Follows whether there is a connection.
    pub(super) fn status(&self) -> watch::Receiver<RedisStatus> {
        self.status.subscribe()
    }

    /// Tells whether there is a connection.
    pub(super) fn is_live(&self) -> bool {
        self.live.read().is_some()
    }

    /// Runs a script in one round trip, or says `None`, at the latest after the response limit.
    ///
    /// Whatever goes wrong ends the use of the connection: who comes next doesn't wait for it. The script may
    /// have run all the same.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        self.ask(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    /// Asks something of the connection, on the terms of [`Self::run`].
    pub(super) async fn ask<T, F>(&self, question: impl FnOnce(MultiplexedConnection) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let live = self.live.read().clone()?;
        let answer = timeout(self.response_limit, question(live.connection)).await;
        match answer.map_err(|_| "no answer in time".to_owned()) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                self.lose(live.number, words(&error));
                None
            }
            Err(reason) => {
                self.lose(live.number, reason);
                None
            }
        }
    }

    /// Connects, watches over the connection and connects again, until it is told to stop.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let (first, longest) = Self::PAUSES;
        let (mut number, mut pause) = (0, first);
        while !stop.is_cancelled() {
            number += 1;
            let attempt = stop.run_until_cancelled(self.connect()).await;
            match attempt {
                Some(Ok(connection)) => {
                    let gained_at = Instant::now();
                    self.gain(Live { number, connection });
                    stop.run_until_cancelled(self.watch_over()).await;
                    if gained_at.elapsed() >= Self::STEADY_AFTER {
                        pause = first;
                    }
                }
                Some(Err(reason)) => self.stay_away(reason),
                None => {}
            }
            if timeout(pause, stop.cancelled()).await.is_err() {
                pause = (pause * 2).min(longest);
            }
        }
        *self.live.write() = None;
        self.stay_away("closed".to_owned());
    }

    /// A connection on which a value could be written: a server that is loading, full, or a replica has none.
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_limit))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(Self::WAITING);
        let limit = self.connect_limit.saturating_mul(self.place.steps());
        let mut connection = bounded(limit, self.place.connect(&settings)).await?;
        self.probe(&mut connection).await?;
        Ok(connection)
    }

    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let mut write = redis::cmd("SET");
        write.arg(&self.probe_key).arg(1).arg("PX").arg(60_000);
        bounded(self.response_limit, write.exec_async(connection)).await
    }

    /// Returns when the connection is lost.
    async fn watch_over(&self) {
        loop {
            let Some(mut live) = self.live.read().clone() else {
                return;
            };
            let is_due = timeout(Self::PROBE_PERIOD, self.lost.notified()).await.is_err();
            if is_due && let Err(reason) = self.probe(&mut live.connection).await {
                self.lose(live.number, reason);
            }
        }
    }

    fn gain(&self, live: Live) {
        *self.live.write() = Some(live);
        let since = self.clock.now();
        self.status.send_replace(RedisStatus::Shared { since });
        tracing::info!(purpose = self.purpose, "Redis is there");
    }

    /// Gives a connection up, unless another has taken its place.
    fn lose(&self, number: u64, reason: String) {
        {
            let mut live = self.live.write();
            if live.as_ref().is_none_or(|live| live.number != number) {
                return;
            }
            *live = None;
        }
        tracing::warn!(
            reason,
            purpose = self.purpose,
            "Redis is away: each process goes on by itself"
        );
        let since = self.clock.now();
        self.status.send_replace(RedisStatus::Away { since, reason });
        self.lost.notify_one();
    }

    /// Notes why there is no connection, and leaves since when.
    fn stay_away(&self, latest: String) {
        tracing::debug!(reason = latest, purpose = self.purpose, "Redis is away");
        let now = self.clock.now();
        self.status.send_if_modified(|status| match status {
            RedisStatus::Away { reason, .. } => {
                let is_new = *reason != latest;
                *reason = latest;
                is_new
            }
            RedisStatus::Shared { .. } => {
                *status = RedisStatus::Away {
                    since: now,
                    reason: latest,
                };
                true
            }
        });
    }
}

/// Waits for a piece of work, as long as it may take; says in words that may be shown to anyone what went wrong.
pub(super) async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(|error| words(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// What went wrong, in words that may be shown to anyone: the server's own code, or a kind of error.
fn words(error: &RedisError) -> String {
    let category = if error.is_connection_refusal() {
        "connection refused"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        error.category()
    };
    match error.code() {
        Some(code) => format!("{category} ({code})"),
        None => category.to_owned(),
    }
}
