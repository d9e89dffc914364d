//! What is counted, and how it is told: to people as JSON, to scrapers as text.
//!
//! Every label comes from a closed set: route templates, known methods and statuses, plugins that exist. So what a
//! stranger sends can't add a series.

mod histogram;
mod process;
mod requests;
mod tasks;
mod work;
mod exposition;
mod report;

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use engine::{Backlog, Engine};
use http::{Method, StatusCode};
use model::{Observation, Observer};

pub use self::exposition::TextFormat;
pub use self::report::MetricsReport;
pub use self::requests::UNMATCHED;

use crate::wire::CacheState;

use self::{process::ProcessWatch, requests::Requests, tasks::QueueWatch, work::Work};

/// What is told beside what is counted here.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The kind of store.
    pub store_kind: &'static str,
    /// How what is shared beside the store is now.
    pub cache: &'a CacheState,
    /// How full the queue is; nothing while the store doesn't tell.
    pub backlog: Option<&'a Backlog>,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    requests: Requests,
    work: Work,
    process: ProcessWatch,
    queue: QueueWatch,
    in_flight: AtomicI64,
    connections: AtomicI64,
    connections_accepted: AtomicU64,
    panics: AtomicU64,
    rate_limited_known: AtomicU64,
    rate_limited_anonymous: AtomicU64,
}

impl Metrics {
    /// Begins with zeros, and lets the uptime begin.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            requests: Requests::default(),
            work: Work::default(),
            process: ProcessWatch::default(),
            queue: QueueWatch::default(),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            connections_accepted: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            rate_limited_known: AtomicU64::new(0),
            rate_limited_anonymous: AtomicU64::new(0),
        }
    }

    /// Counts a request as begun.
    pub fn begin_request(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Counts a request as ended. `route` is a template, never a raw path.
    pub fn end_request(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.requests.count(route, method, status, took);
    }

    /// Counts a connection as open.
    pub fn open_connection(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.connections_accepted.fetch_add(1, Relaxed);
    }

    /// Counts a connection as closed.
    pub fn close_connection(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Counts a handler that panicked.
    pub fn count_panic(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// Counts a request that was refused since its caller asked too often.
    pub fn count_rate_limited(&self, is_known_caller: bool) {
        let counter = if is_known_caller {
            &self.rate_limited_known
        } else {
            &self.rate_limited_anonymous
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Requests that are being worked on now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.load(Relaxed)).unwrap_or_default()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        u64::try_from(self.connections.load(Relaxed)).unwrap_or_default()
    }

    /// How full the queue is, at most a second ago; `None` when the store doesn't tell.
    pub async fn backlog(&self, engine: &Engine) -> Option<Backlog> {
        self.queue.backlog(engine).await
    }

    /// How long the server has been up.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Metrics {
    fn observe(&self, observation: Observation<'_>) {
        self.work.observe(observation);
    }
}
