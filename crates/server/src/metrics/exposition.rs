//! The metrics as text, for scrapers: the Prometheus text format 0.0.4, and OpenMetrics 1.0.

use std::{
    fmt::{Display, Write as _},
    sync::atomic::Ordering::Relaxed,
};

use engine::Backlog;

use super::{
    Metrics, Surroundings,
    histogram::{BOUNDS, Snapshot},
    process::ProcessUsage,
    tasks::{ready, states},
};

/// Which bounds are told, in microseconds: enough for a heat map, few enough for many routes.
const TOLD_BOUNDS: [u64; 15] = [
    100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    10_000_000, 30_000_000,
];

/// A text format for scrapers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl TextFormat {
    /// The format's media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Everything that is counted, as it is now, and what is `around`, for a scraper.
    #[must_use]
    pub fn text(&self, format: TextFormat, around: &Surroundings<'_>) -> String {
        let mut page = TextPage {
            format,
            text: String::with_capacity(16 * 1024),
        };
        self.write_requests(&mut page);
        self.write_executions(&mut page);
        self.write_tasks(&mut page);
        if let Some(backlog) = around.backlog {
            write_backlog(&mut page, backlog);
        }
        write_shared(&mut page, around);
        self.write_users(&mut page);
        write_process(&mut page, self.process.usage());
        page.gauge(
            "mcp_uptime_seconds",
            "Time since the start.",
            self.uptime().as_secs_f64(),
        );
        page.family("mcp_build_info", "gauge", "What is running; always 1.");
        page.sample("mcp_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
        if format == TextFormat::OpenMetrics {
            page.text.push_str("# EOF\n");
        }
        page.text
    }

    fn write_requests(&self, page: &mut TextPage) {
        let routes = self.requests.snapshot();
        page.family(
            "mcp_http_requests",
            "counter",
            "Requests that ended, by route, method and status.",
        );
        for route in &routes {
            for each in &route.counts {
                let status = if each.status == 0 {
                    "other".to_owned()
                } else {
                    each.status.to_string()
                };
                let labels: [(&str, &dyn Display); 3] = [
                    ("route", &route.route),
                    ("method", &each.method),
                    ("status", &status),
                ];
                page.sample("mcp_http_requests_total", &labels, each.count);
            }
        }
        let name = "mcp_http_request_duration_seconds";
        page.family(name, "histogram", "How long requests took, by route.");
        for route in &routes {
            page.histogram(name, &[("route", &route.route)], &route.durations);
        }
        page.gauge(
            "mcp_http_requests_in_flight",
            "Requests that are being worked on now.",
            self.in_flight(),
        );
        page.gauge(
            "mcp_connections",
            "Connections that are open now.",
            self.connections(),
        );
        let accepted = self.connections_accepted.load(Relaxed);
        page.counter(
            "mcp_connections_accepted",
            "Connections that were accepted.",
            accepted,
        );
        page.counter("mcp_panics", "Handlers that panicked.", self.panics.load(Relaxed));
        let name = "mcp_rate_limited_requests";
        page.family(
            name,
            "counter",
            "Requests refused since their caller asked too often.",
        );
        let known = self.rate_limited_known.load(Relaxed);
        let anonymous = self.rate_limited_anonymous.load(Relaxed);
        page.sample("mcp_rate_limited_requests_total", &[("caller", &"known")], known);
        page.sample(
            "mcp_rate_limited_requests_total",
            &[("caller", &"anonymous")],
            anonymous,
        );
    }

    fn write_executions(&self, page: &mut TextPage) {
        let calls = self.work.calls();
        page.family(
            "mcp_plugin_executions",
            "counter",
            "Calls of plugins that ended, by action and status.",
        );
        for each in &calls {
            for (status, count) in [("success", each.succeeded), ("failure", each.failed)] {
                let labels: [(&str, &dyn Display); 3] = [
                    ("plugin", &each.plugin),
                    ("action", &each.action),
                    ("status", &status),
                ];
                page.sample("mcp_plugin_executions_total", &labels, count);
            }
        }
        let name = "mcp_plugin_execution_duration_seconds";
        page.family(name, "histogram", "How long calls of plugins took, by action.");
        for each in &calls {
            page.histogram(
                name,
                &[("plugin", &each.plugin), ("action", &each.action)],
                &each.durations,
            );
        }
        let unknown = self.work.unknown_calls.load(Relaxed);
        page.counter(
            "mcp_unknown_plugin_calls",
            "Calls of plugins or actions that don't exist.",
            unknown,
        );
    }

    fn write_tasks(&self, page: &mut TextPage) {
        let tasks = &self.work.tasks;
        page.family(
            "mcp_task_attempts",
            "counter",
            "Attempts at tasks that ended here, by what became of the task; pending when it is tried again.",
        );
        for (status, count) in tasks.ended() {
            page.sample("mcp_task_attempts_total", &[("status", &status.as_str())], count);
        }
        let retries = tasks.retries.load(Relaxed);
        page.counter(
            "mcp_task_retries",
            "Tasks that are tried again after a failure.",
            retries,
        );
        let lost = tasks.leases_lost.load(Relaxed);
        page.counter(
            "mcp_task_leases_lost",
            "Attempts whose task this process didn't hold any more.",
            lost,
        );
        let released = tasks.released.load(Relaxed);
        page.counter(
            "mcp_tasks_released",
            "Tasks that were taken from a worker that is gone.",
            released,
        );
        let name = "mcp_task_wait_seconds";
        page.family(name, "histogram", "How long tasks were ready until they started.");
        page.histogram(name, &[], &tasks.waits.snapshot());
        let name = "mcp_task_run_seconds";
        page.family(name, "histogram", "How long attempts at tasks took.");
        page.histogram(name, &[], &tasks.runs.snapshot());
    }

    fn write_users(&self, page: &mut TextPage) {
        let work = &self.work;
        page.family("mcp_sign_ins", "counter", "Attempts to sign in.");
        page.sample(
            "mcp_sign_ins_total",
            &[("outcome", &"success")],
            work.sign_ins.load(Relaxed),
        );
        page.sample(
            "mcp_sign_ins_total",
            &[("outcome", &"failure")],
            work.failed_sign_ins.load(Relaxed),
        );
        page.counter(
            "mcp_registrations",
            "Accounts that were made.",
            work.registrations.load(Relaxed),
        );
        page.counter(
            "mcp_session_renewals",
            "Sessions that were renewed.",
            work.renewals.load(Relaxed),
        );
        let reused = work.reused_tokens.load(Relaxed);
        page.counter(
            "mcp_refresh_tokens_reused",
            "Dead refresh tokens that were presented.",
            reused,
        );
        page.family(
            "mcp_credential_checks",
            "counter",
            "Credentials that were checked.",
        );
        page.sample(
            "mcp_credential_checks_total",
            &[("cache", &"hit")],
            work.cache_hits.load(Relaxed),
        );
        page.sample(
            "mcp_credential_checks_total",
            &[("cache", &"miss")],
            work.cache_misses.load(Relaxed),
        );
        let refused = work.refused_password_work.load(Relaxed);
        page.counter(
            "mcp_password_work_refused",
            "Password work that was turned away.",
            refused,
        );
        let name = "mcp_password_wait_seconds";
        page.family(name, "histogram", "How long password work waited for its turn.");
        page.histogram(name, &[], &work.password_waits.snapshot());
        let name = "mcp_password_work_seconds";
        page.family(name, "histogram", "How long it took to hash or check a password.");
        page.histogram(name, &[], &work.password_works.snapshot());
    }
}

fn write_backlog(page: &mut TextPage, backlog: &Backlog) {
    page.family(
        "mcp_queue_tasks",
        "gauge",
        "Tasks that a worker does and hasn't done yet, by state.",
    );
    for (state, count) in states(&backlog.depth) {
        page.sample("mcp_queue_tasks", &[("state", &state)], count);
    }
    page.family(
        "mcp_queue_ready_tasks",
        "gauge",
        "Tasks that wait for a worker, by priority.",
    );
    for (priority, count) in ready(&backlog.depth) {
        page.sample(
            "mcp_queue_ready_tasks",
            &[("priority", &priority.as_str())],
            count,
        );
    }
    page.gauge(
        "mcp_queue_oldest_ready_seconds",
        "For how long the task waits for a worker that waits longest.",
        backlog.oldest_ready.as_secs_f64(),
    );
}

fn write_shared(page: &mut TextPage, around: &Surroundings<'_>) {
    page.family("mcp_store_info", "gauge", "Where everything is kept; always 1.");
    page.sample("mcp_store_info", &[("kind", &around.store_kind)], 1);
    page.family(
        "mcp_cache_connected",
        "gauge",
        "Whether what processes should share beside the store is shared: 1, or 0 while each is alone.",
    );
    page.sample(
        "mcp_cache_connected",
        &[("kind", &around.cache.kind)],
        u8::from(around.cache.is_connected),
    );
    page.counter(
        "mcp_cache_local_decisions",
        "Requests whose limit this process counted alone while it should have been together with others.",
        around.cache.local_decisions,
    );
}

fn write_process(page: &mut TextPage, usage: ProcessUsage) {
    page.counter(
        "process_cpu_seconds",
        "Processor time since the start.",
        usage.cpu_seconds,
    );
    page.gauge(
        "process_resident_memory_bytes",
        "Memory in use.",
        usage.resident_bytes,
    );
    page.gauge("process_threads", "Threads.", usage.threads);
    page.gauge("process_open_fds", "Open files and sockets.", usage.open_files);
}

/// A page of metrics that is being written.
struct TextPage {
    format: TextFormat,
    text: String,
}

impl TextPage {
    /// Begins a family. In the older format a counter's family has the name of its samples, with `_total`.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let is_older_counter = kind == "counter" && self.format == TextFormat::Prometheus;
        let suffix = if is_older_counter { "_total" } else { "" };
        self.line(format_args!("# HELP {name}{suffix} {help}"));
        self.line(format_args!("# TYPE {name}{suffix} {kind}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(&format!("{name}_total"), &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &dyn Display)], times: &Snapshot) {
        debug_assert!(TOLD_BOUNDS.iter().all(|bound| BOUNDS.contains(bound)));
        let bucket = format!("{name}_bucket");
        for (bound, count) in times.cumulative(&TOLD_BOUNDS) {
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.sample(&bucket, &with_bound, count);
        }
        let mut with_bound = labels.to_vec();
        with_bound.push(("le", &"+Inf"));
        self.sample(&bucket, &with_bound, times.count());
        self.sample(&format!("{name}_sum"), labels, times.sum_seconds());
        self.sample(&format!("{name}_count"), labels, times.count());
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.text.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let escaped = value
                .to_string()
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            let before = if place == 0 { '{' } else { ',' };
            self.part(format_args!("{before}{label}=\"{escaped}\""));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.part(text);
        self.text.push('\n');
    }

    /// Writes to the page; writing to a `String` can't fail.
    fn part(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).unwrap_or_default();
    }
}
