//! Whether the server lives, is ready, and which of its parts work.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use engine::{HealthReport, WorkerHealth, WorkerState};
use model::{Error, ErrorCode, Health, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    envelope::{Envelope, Success},
    failure::Failure,
    field::schema,
    state::AppState,
    wire::CacheState,
};

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    status: Status,
    /// The server's version.
    version: &'static str,
    /// Whole seconds since the start.
    #[schema(minimum = 0)]
    uptime: u64,
    checks: ChecksView,
}

/// How the parts are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChecksView {
    store: StoreView,
    cache: CacheView,
    workers: WorkersView,
    plugins: PluginsView,
}

/// How the store is. The server can't work without it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoreView {
    status: Status,
    /// The kind of store.
    #[schema(example = "sqlite")]
    kind: &'static str,
}

/// How what processes share beside the store is: request limits, and what they tell each other. The server is well
/// without it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CacheView {
    /// `degraded` while each process is alone.
    status: Status,
    /// `local`: in this process, which is all that it should be. `redis`: shared.
    #[schema(example = "redis")]
    kind: &'static str,
    /// Whether what should be shared is shared; always for a local one.
    connected: bool,
    /// Since when that is so; absent for a local one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    since: Option<Timestamp>,
    /// Why it isn't connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "connection refused")]
    reason: Option<String>,
    /// How many requests this process counted alone since its start while it should have been together with others.
    #[schema(minimum = 0)]
    local_decisions: u64,
}

/// How the workers are that do tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkersView {
    /// `unavailable` when tasks are ready, workers are free, and none was begun for 30 seconds.
    status: Status,
    /// How many tasks this process does at once; 0 when it does none.
    #[schema(minimum = 0, maximum = 1024)]
    concurrency: u16,
    /// How many it does now.
    #[schema(minimum = 0, maximum = 1024)]
    busy: u16,
}

/// How the plugins are. The server is well without those that can't be called: one without a key, say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PluginsView {
    status: Status,
    /// How many there are.
    #[schema(minimum = 0)]
    total: usize,
    /// How many of them can be called.
    #[schema(minimum = 0)]
    healthy: usize,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It works.
    Ok,
    /// It works, but for a part that it can do without.
    Degraded,
    /// It does not work.
    Unavailable,
}

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveView {
    status: Status,
}

/// How the store answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabaseView {
    /// Always true: otherwise the answer is 503.
    connected: bool,
    /// The kind of store.
    #[schema(example = "sqlite")]
    kind: &'static str,
    /// How long a read took, in milliseconds.
    #[schema(minimum = 0.0)]
    latency_ms: f64,
}

/// Tell how the server and its parts are
///
/// The answer is at most a second old. 503 when a part is down that the server can't work without.
#[utoipa::path(
    get, path = "/health", tag = "Health", operation_id = "readHealth",
    responses((status = 200, description = "The server works", body = Envelope<HealthView>), (status = 503)),
)]
pub(crate) async fn overview(State(state): State<AppState>) -> Response {
    let report = state.engine().health().await;
    let view = view(&report, state.cache().state(), state.metrics().uptime());
    if view.checks.store.status == Status::Unavailable {
        return down("the store does not answer").into_response();
    }
    if view.checks.workers.status == Status::Unavailable {
        return down("the workers are stuck: tasks are ready, and none is begun").into_response();
    }
    Success::ok(view).into_response()
}

/// Tell that the process lives
#[utoipa::path(
    get, path = "/health/live", tag = "Health", operation_id = "readLiveness",
    responses((status = 200, description = "The process answers", body = Envelope<LiveView>)),
)]
pub(crate) async fn live() -> Success<LiveView> {
    Success::ok(LiveView { status: Status::Ok })
}

/// Tell whether requests should be sent here
///
/// 503 while the server stops, and while its store does not answer.
#[utoipa::path(
    get, path = "/health/ready", tag = "Health", operation_id = "readReadiness",
    responses((status = 200, description = "Requests are served", body = Envelope<LiveView>), (status = 503)),
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Success<LiveView>, Failure> {
    if state.stopping().is_cancelled() {
        return Err(down("the server is stopping"));
    }
    match state.engine().health().await.store_latency {
        Some(_) => Ok(Success::ok(LiveView { status: Status::Ok })),
        None => Err(down("the store does not answer")),
    }
}

/// Tell how the store answers
#[utoipa::path(
    get, path = "/health/db", tag = "Health", operation_id = "readDatabaseHealth",
    responses((status = 200, description = "The store answers", body = Envelope<DatabaseView>), (status = 503)),
)]
pub(crate) async fn database(State(state): State<AppState>) -> Result<Success<DatabaseView>, Failure> {
    let report = state.engine().health().await;
    let latency = report
        .store_latency
        .ok_or_else(|| down("the store does not answer"))?;
    let latency_ms = (latency.as_secs_f64() * 1e6).round() / 1e3;
    Ok(Success::ok(DatabaseView {
        connected: true,
        kind: report.store_kind,
        latency_ms,
    }))
}

/// Tell how what processes share beside the store is
///
/// 200 also while it is away, since the server works without it: `status` tells.
#[utoipa::path(
    get, path = "/health/cache", tag = "Health", operation_id = "readCacheHealth",
    responses((status = 200, description = "How it is now", body = Envelope<CacheView>)),
)]
pub(crate) async fn cache(State(state): State<AppState>) -> Success<CacheView> {
    Success::ok(state.cache().state().into())
}

impl From<CacheState> for CacheView {
    fn from(state: CacheState) -> Self {
        Self {
            status: if state.is_connected {
                Status::Ok
            } else {
                Status::Degraded
            },
            kind: state.kind,
            connected: state.is_connected,
            since: state.since,
            reason: state.reason,
            local_decisions: state.local_decisions,
        }
    }
}

fn view(report: &HealthReport, cache: CacheState, uptime: Duration) -> HealthView {
    let healthy = report
        .plugins
        .iter()
        .filter(|plugin| plugin.health == Health::Healthy)
        .count();
    let total = report.plugins.len();
    let store = if report.store_latency.is_some() {
        Status::Ok
    } else {
        Status::Unavailable
    };
    let plugins = if healthy == total {
        Status::Ok
    } else {
        Status::Degraded
    };
    let workers = workers_view(report.worker);
    let cache = CacheView::from(cache);
    HealthView {
        // What needn't work needn't be well either, but who looks should see it. Plugins without a key are as usual.
        status: [store, workers.status, cache.status]
            .into_iter()
            .max()
            .unwrap_or(store),
        version: env!("CARGO_PKG_VERSION"),
        uptime: uptime.as_secs(),
        checks: ChecksView {
            store: StoreView {
                status: store,
                kind: report.store_kind,
            },
            cache,
            workers,
            plugins: PluginsView {
                status: plugins,
                total,
                healthy,
            },
        },
    }
}

fn workers_view(worker: WorkerHealth) -> WorkersView {
    WorkersView {
        status: match worker.state {
            WorkerState::Off | WorkerState::Working => Status::Ok,
            WorkerState::Stuck => Status::Unavailable,
        },
        concurrency: worker.concurrency,
        busy: worker.busy,
    }
}

fn down(message: &'static str) -> Failure {
    const RETRY_AFTER: Duration = Duration::from_secs(5);
    Error::new(ErrorCode::Unavailable, message)
        .retry_after(RETRY_AFTER)
        .into()
}
