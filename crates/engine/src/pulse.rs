//! Whether each part works, looked at no more than once a second however many ask.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use model::{Error, ErrorCode, Health, Store};
use tokio::{sync::Mutex, time::timeout};

use crate::{
    queue::{QueueHandle, WorkerHealth},
    registry::Registry,
};

/// How old a report may be.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store may take to answer before it counts as not answering.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// One plugin's health.
#[derive(Clone, Debug)]
pub struct PluginHealth {
    /// The plugin's name.
    pub name: String,
    /// Its health.
    pub health: Health,
}

/// Whether each part works.
#[derive(Clone, Debug)]
pub struct HealthReport {
    /// The kind of store.
    pub store_kind: &'static str,
    /// How long a read took; `None` when it failed, which was logged.
    pub store_latency: Option<Duration>,
    /// How the worker of this process is.
    pub worker: WorkerHealth,
    /// Every plugin's health; an unavailable plugin doesn't make the server unhealthy.
    pub plugins: Vec<PluginHealth>,
}

/// How the worker is. The store is asked whether tasks are ready only when the worker would be stuck then.
async fn worker_health(store: &dyn Store, queue: &QueueHandle) -> WorkerHealth {
    let (idle, awaited) = (queue.worker_health(false), queue.worker_health(true));
    if idle == awaited {
        return idle;
    }
    match timeout(PING_LIMIT, store.queue_depth()).await {
        Ok(Ok(depth)) if depth.ready.iter().all(|count| *count == 0) => idle,
        Ok(Ok(_)) => awaited,
        // Then it is the store that doesn't work, which is told by itself.
        Ok(Err(_)) | Err(_) => idle,
    }
}

/// The last report.
#[derive(Default)]
pub(crate) struct Pulse {
    last: ArcSwapOption<(Instant, HealthReport)>,
    looking: Mutex<()>,
}

impl Pulse {
    /// Gives a report that is at most a second old; of all who ask at once, one looks.
    pub(crate) async fn report(
        &self,
        store: &dyn Store,
        registry: &Registry,
        queue: &QueueHandle,
    ) -> HealthReport {
        if let Some(report) = self.fresh() {
            return report;
        }
        let _turn = self.looking.lock().await;
        if let Some(report) = self.fresh() {
            return report;
        }
        let report = self.look(store, registry, queue).await;
        self.last.store(Some(Arc::new((Instant::now(), report.clone()))));
        report
    }

    fn fresh(&self) -> Option<HealthReport> {
        let last = self.last.load();
        let (seen_at, report) = last.as_deref()?;
        (seen_at.elapsed() < FRESH).then(|| report.clone())
    }

    async fn look(&self, store: &dyn Store, registry: &Registry, queue: &QueueHandle) -> HealthReport {
        let answer = timeout(PING_LIMIT, store.ping()).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(Error::new(
                ErrorCode::Unavailable,
                "the store does not answer in time",
            ))
        });
        self.note_change(&answer);
        let plugins = registry.iter().map(|held| PluginHealth {
            name: held.plugin.name.to_string(),
            health: held.runtime.health(&held.plugin.name),
        });
        HealthReport {
            store_kind: store.kind(),
            store_latency: answer.ok(),
            worker: worker_health(store, queue).await,
            plugins: plugins.collect(),
        }
    }

    /// Logs when the store stops or begins to answer, not at every look.
    fn note_change(&self, answer: &model::Result<Duration>) {
        let last = self.last.load();
        let did_answer = last
            .as_deref()
            .is_none_or(|(_, report)| report.store_latency.is_some());
        match answer {
            Err(error) if did_answer => {
                let cause = std::error::Error::source(error);
                tracing::error!(%error, cause, "the store does not work");
            }
            Ok(_) if !did_answer => tracing::info!("the store works again"),
            Ok(_) | Err(_) => {}
        }
    }
}
