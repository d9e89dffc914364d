//! The tasks of one owner, or of all, in numbers.

use engine::Engine;
use model::{PluginName, Priority, TaskCount, TaskOverview, TaskStatus, Timestamp, Timing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{field::schema, rest::execution::milliseconds};

/// How many tasks there are, and how the jobs among them went lately.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskStatsView {
    #[schema(minimum = 0)]
    total: u64,
    by_status: StatusCounts,
    by_priority: PriorityCounts,
    /// Those without a plugin aren't in it.
    by_plugin: Vec<PluginCount>,
    /// Those without a plugin.
    #[schema(minimum = 0)]
    to_dos: u64,
    recently: RecentView,
    /// Since when the task waits for a worker that waits longest; absent when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::timestamp)]
    oldest_pending: Option<Timestamp>,
}

/// How many tasks have each status.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct StatusCounts {
    #[schema(minimum = 0)]
    pending: u64,
    #[schema(minimum = 0)]
    in_progress: u64,
    #[schema(minimum = 0)]
    completed: u64,
    #[schema(minimum = 0)]
    failed: u64,
    #[schema(minimum = 0)]
    cancelled: u64,
}

/// How many tasks have each priority.
#[derive(Default, Serialize, ToSchema)]
struct PriorityCounts {
    #[schema(minimum = 0)]
    low: u64,
    #[schema(minimum = 0)]
    medium: u64,
    #[schema(minimum = 0)]
    high: u64,
    #[schema(minimum = 0)]
    critical: u64,
}

/// How many tasks there are of one plugin.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PluginCount {
    #[schema(schema_with = schema::plugin_name)]
    plugin: PluginName,
    #[schema(minimum = 0)]
    total: u64,
    by_status: StatusCounts,
}

/// The tasks with a plugin that were completed, failed or cancelled last, at most 10,000.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecentView {
    /// How far back this looks, in milliseconds.
    #[schema(minimum = 0.0)]
    within_ms: f64,
    #[schema(minimum = 0)]
    ended: u64,
    /// From ready to started; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wait: Option<TimingView>,
    /// From started to ended; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run: Option<TimingView>,
}

/// Durations in milliseconds, by the share of tasks that stay below.
#[derive(Serialize, ToSchema)]
struct TimingView {
    #[schema(minimum = 0.0)]
    p50: f64,
    #[schema(minimum = 0.0)]
    p95: f64,
    #[schema(minimum = 0.0)]
    p99: f64,
}

impl From<TaskOverview> for TaskStatsView {
    fn from(overview: TaskOverview) -> Self {
        let mut view = Self {
            total: 0,
            by_status: StatusCounts::default(),
            by_priority: PriorityCounts::default(),
            by_plugin: Vec::new(),
            to_dos: 0,
            recently: RecentView {
                within_ms: milliseconds(Engine::OVERVIEW_SPAN),
                ended: overview.ended,
                wait: overview.wait.map(TimingView::from),
                run: overview.run.map(TimingView::from),
            },
            oldest_pending: overview.oldest_pending,
        };
        for count in overview.counts {
            view.add(count);
        }
        view.by_plugin.sort_by(|one, other| one.plugin.cmp(&other.plugin));
        view
    }
}

impl TaskStatsView {
    fn add(&mut self, counted: TaskCount) {
        let TaskCount {
            status,
            priority,
            plugin,
            count,
        } = counted;
        self.total += count;
        self.by_status.add(status, count);
        self.by_priority.add(priority, count);
        let Some(plugin) = plugin else {
            self.to_dos += count;
            return;
        };
        match self.by_plugin.iter_mut().find(|known| known.plugin == plugin) {
            Some(known) => known.add(status, count),
            None => {
                let mut new = PluginCount {
                    plugin,
                    total: 0,
                    by_status: StatusCounts::default(),
                };
                new.add(status, count);
                self.by_plugin.push(new);
            }
        }
    }
}

impl PluginCount {
    fn add(&mut self, status: TaskStatus, count: u64) {
        self.total += count;
        self.by_status.add(status, count);
    }
}

impl StatusCounts {
    fn add(&mut self, status: TaskStatus, count: u64) {
        let sum = match status {
            TaskStatus::Pending => &mut self.pending,
            TaskStatus::InProgress => &mut self.in_progress,
            TaskStatus::Completed => &mut self.completed,
            TaskStatus::Failed => &mut self.failed,
            TaskStatus::Cancelled => &mut self.cancelled,
        };
        *sum += count;
    }
}

impl PriorityCounts {
    fn add(&mut self, priority: Priority, count: u64) {
        let sum = match priority {
            Priority::Low => &mut self.low,
            Priority::Medium => &mut self.medium,
            Priority::High => &mut self.high,
            Priority::Critical => &mut self.critical,
        };
        *sum += count;
    }
}

impl From<Timing> for TimingView {
    fn from(timing: Timing) -> Self {
        Self {
            p50: milliseconds(timing.p50),
            p95: milliseconds(timing.p95),
            p99: milliseconds(timing.p99),
        }
    }
}
