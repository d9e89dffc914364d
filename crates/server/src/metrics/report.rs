//! The metrics as JSON, for people and consoles.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use engine::Backlog;
use model::TaskStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Metrics, Surroundings, histogram::Snapshot, process::ProcessUsage};

/// Everything that is counted, since the start of this process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricsReport {
    /// The version of the server.
    version: &'static str,
    /// Seconds since the start.
    #[schema(minimum = 0)]
    uptime: u64,
    requests: RequestsReport,
    connections: ConnectionsReport,
    executions: ExecutionsReport,
    tasks: TasksReport,
    /// Absent while the store doesn't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    queue: Option<QueueReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    store: Option<StoreReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cache: Option<CacheReport>,
    users: UsersReport,
    process: ProcessReport,
}

/// Requests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RequestsReport {
    /// All that ended.
    total: u64,
    /// Those that are being worked on now.
    in_flight: u64,
    /// The share of answers with a status of 400 to 499, from 0 to 1.
    client_error_rate: f64,
    /// The share of answers with a status of 500 or more, from 0 to 1.
    server_error_rate: f64,
    /// Handlers that panicked.
    panics: u64,
    /// Refused, since a signed-in caller or key asked too often.
    rate_limited: u64,
    /// Refused, since an address without credential asked too often.
    rate_limited_anonymous: u64,
    response_time: TimesReport,
    endpoints: Vec<EndpointReport>,
}

/// One route.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointReport {
    /// The route's template; `unmatched` for all paths that have none.
    route: String,
    total: u64,
    server_error_rate: f64,
    response_time: TimesReport,
    statuses: Vec<StatusReport>,
}

/// How often a route answered a method with a status.
#[derive(Debug, Serialize, ToSchema)]
struct StatusReport {
    method: &'static str,
    /// 0 stands for statuses that are not told apart.
    status: u16,
    count: u64,
}

/// How long things took, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
struct TimesReport {
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Connections.
#[derive(Debug, Serialize, ToSchema)]
struct ConnectionsReport {
    /// Open now.
    active: u64,
    /// Accepted since the start.
    accepted: u64,
}

/// Calls of plugins.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ExecutionsReport {
    /// All that ended.
    total: u64,
    /// Those that failed.
    failed: u64,
    /// Calls of plugins or actions that don't exist.
    unknown: u64,
    actions: Vec<ActionReport>,
}

/// Calls of one action.
#[derive(Debug, Serialize, ToSchema)]
struct ActionReport {
    plugin: String,
    action: String,
    succeeded: u64,
    failed: u64,
    duration: TimesReport,
}

/// What the workers of this process did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TasksReport {
    attempts: AttemptsReport,
    /// Tasks that are tried again after a failure.
    retries: u64,
    /// Attempts whose task this process didn't hold any more.
    leases_lost: u64,
    /// Tasks that were taken from a worker that is gone.
    released: u64,
    /// From ready to started.
    wait: TimesReport,
    /// From started to ended.
    run: TimesReport,
}

/// Attempts that ended, by what became of the task.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AttemptsReport {
    completed: u64,
    failed: u64,
    cancelled: u64,
    /// Those after which the task is pending again.
    to_be_repeated: u64,
}

/// How full the queue is, by all processes together; to-dos and recurring tasks aren't in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QueueReport {
    /// Due and waiting for a worker.
    ready: u64,
    ready_by_priority: PrioritiesReport,
    /// Waiting for their time.
    scheduled: u64,
    /// Waiting for tasks that they depend on.
    blocked: u64,
    /// Waiting for answers to what they asked.
    awaiting_input: u64,
    /// Held by workers.
    in_progress: u64,
    /// For how many seconds the task has been waiting for a worker that waits longest; zero when none waits.
    oldest_ready: f64,
}

/// Where everything is kept.
#[derive(Debug, Serialize, ToSchema)]
struct StoreReport {
    /// The kind of store: `sqlite` or `mongodb`.
    kind: &'static str,
}

/// What processes share beside the store.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CacheReport {
    /// `local`, or `redis`.
    kind: &'static str,
    /// Whether what should be shared is shared; always for a local one.
    connected: bool,
    /// Requests whose limit this process counted alone while it should have been together with others.
    local_decisions: u64,
}

/// How many there are of each priority.
#[derive(Debug, Serialize, ToSchema)]
struct PrioritiesReport {
    low: u64,
    medium: u64,
    high: u64,
    critical: u64,
}

/// What people did, and what it took to check them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UsersReport {
    sign_ins: u64,
    failed_sign_ins: u64,
    registrations: u64,
    renewals: u64,
    /// Dead refresh tokens that were presented again.
    reused_tokens: u64,
    /// Credentials that were known without asking the store.
    credential_cache_hits: u64,
    credential_cache_misses: u64,
    /// Password work that was turned away.
    refused_password_work: u64,
    password_wait: TimesReport,
    password_work: TimesReport,
}

/// What this process takes of the machine.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProcessReport {
    /// Memory in use, in bytes.
    resident_bytes: u64,
    /// Processor time since the start, in seconds.
    cpu_seconds: f64,
    threads: u64,
    open_files: u64,
}

impl Metrics {
    /// Everything that is counted, as it is now, and what is `around`.
    #[must_use]
    pub fn report(&self, around: Option<&Surroundings<'_>>) -> MetricsReport {
        MetricsReport {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.uptime().as_secs(),
            requests: self.report_requests(),
            connections: ConnectionsReport {
                active: self.connections(),
                accepted: self.connections_accepted.load(Relaxed),
            },
            executions: self.report_executions(),
            tasks: self.report_tasks(),
            queue: around.and_then(|around| around.backlog).map(QueueReport::from),
            store: around.map(|around| StoreReport {
                kind: around.store_kind,
            }),
            cache: around.map(|around| CacheReport {
                kind: around.cache.kind,
                connected: around.cache.is_connected,
                local_decisions: around.cache.local_decisions,
            }),
            users: self.report_users(),
            process: self.process.usage().into(),
        }
    }

    fn report_requests(&self) -> RequestsReport {
        let mut all = Snapshot::default();
        let mut sum = Tally::default();
        let mut endpoints = Vec::new();
        for route in self.requests.snapshot() {
            let mut tally = Tally::default();
            for each in &route.counts {
                tally.add(each.status, each.count);
                sum.add(each.status, each.count);
            }
            all.add(&route.durations);
            let statuses = route.counts.iter().map(|each| StatusReport {
                method: each.method,
                status: each.status,
                count: each.count,
            });
            endpoints.push(EndpointReport {
                statuses: statuses.collect(),
                total: tally.total,
                server_error_rate: tally.share(tally.server_errors),
                response_time: (&route.durations).into(),
                route: route.route,
            });
        }
        RequestsReport {
            total: sum.total,
            in_flight: self.in_flight(),
            client_error_rate: sum.share(sum.client_errors),
            server_error_rate: sum.share(sum.server_errors),
            panics: self.panics.load(Relaxed),
            rate_limited: self.rate_limited_known.load(Relaxed),
            rate_limited_anonymous: self.rate_limited_anonymous.load(Relaxed),
            response_time: (&all).into(),
            endpoints,
        }
    }

    fn report_executions(&self) -> ExecutionsReport {
        let calls = self.work.calls();
        ExecutionsReport {
            total: calls.iter().map(|each| each.succeeded + each.failed).sum(),
            failed: calls.iter().map(|each| each.failed).sum(),
            unknown: self.work.unknown_calls.load(Relaxed),
            actions: calls
                .into_iter()
                .map(|each| ActionReport {
                    plugin: each.plugin.to_string(),
                    action: each.action.to_string(),
                    succeeded: each.succeeded,
                    failed: each.failed,
                    duration: (&each.durations).into(),
                })
                .collect(),
        }
    }

    fn report_tasks(&self) -> TasksReport {
        let tasks = &self.work.tasks;
        let mut attempts = AttemptsReport::default();
        for (status, count) in tasks.ended() {
            match status {
                TaskStatus::Completed => attempts.completed = count,
                TaskStatus::Failed => attempts.failed = count,
                TaskStatus::Cancelled => attempts.cancelled = count,
                TaskStatus::Pending | TaskStatus::InProgress => attempts.to_be_repeated += count,
            }
        }
        TasksReport {
            attempts,
            retries: tasks.retries.load(Relaxed),
            leases_lost: tasks.leases_lost.load(Relaxed),
            released: tasks.released.load(Relaxed),
            wait: (&tasks.waits.snapshot()).into(),
            run: (&tasks.runs.snapshot()).into(),
        }
    }

    fn report_users(&self) -> UsersReport {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        UsersReport {
            sign_ins: get(&self.work.sign_ins),
            failed_sign_ins: get(&self.work.failed_sign_ins),
            registrations: get(&self.work.registrations),
            renewals: get(&self.work.renewals),
            reused_tokens: get(&self.work.reused_tokens),
            credential_cache_hits: get(&self.work.cache_hits),
            credential_cache_misses: get(&self.work.cache_misses),
            refused_password_work: get(&self.work.refused_password_work),
            password_wait: (&self.work.password_waits.snapshot()).into(),
            password_work: (&self.work.password_works.snapshot()).into(),
        }
    }
}

impl From<&Backlog> for QueueReport {
    fn from(backlog: &Backlog) -> Self {
        let depth = &backlog.depth;
        let [low, medium, high, critical] = depth.ready;
        Self {
            ready: depth.ready.iter().sum(),
            ready_by_priority: PrioritiesReport {
                low,
                medium,
                high,
                critical,
            },
            scheduled: depth.scheduled,
            blocked: depth.blocked,
            awaiting_input: depth.awaiting_input,
            in_progress: depth.in_progress,
            oldest_ready: backlog.oldest_ready.as_secs_f64(),
        }
    }
}

/// Answers by outcome.
#[derive(Debug, Default)]
struct Tally {
    total: u64,
    client_errors: u64,
    server_errors: u64,
}

impl Tally {
    fn add(&mut self, status: u16, count: u64) {
        self.total += count;
        match status {
            400..500 => self.client_errors += count,
            500..600 => self.server_errors += count,
            _ => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    fn share(&self, part: u64) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            part as f64 / self.total as f64
        }
    }
}

impl From<&Snapshot> for TimesReport {
    fn from(times: &Snapshot) -> Self {
        Self {
            avg: to_micros(times.mean_millis()),
            p50: to_micros(times.percentile_millis(0.50)),
            p95: to_micros(times.percentile_millis(0.95)),
            p99: to_micros(times.percentile_millis(0.99)),
        }
    }
}

impl From<ProcessUsage> for ProcessReport {
    fn from(usage: ProcessUsage) -> Self {
        Self {
            resident_bytes: usage.resident_bytes,
            cpu_seconds: usage.cpu_seconds,
            threads: usage.threads,
            open_files: usage.open_files,
        }
    }
}

/// Milliseconds without what is finer than a microsecond.
fn to_micros(millis: f64) -> f64 {
    (millis * 1e3).round() / 1e3
}
