//! What every request can reach.

use std::sync::Arc;

use axum::extract::FromRef;
use engine::Engine;
use model::Ids;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Edge,
    metrics::Metrics,
    wire::{Cache, Wired},
};

/// What every request can reach. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

struct Parts {
    engine: Engine,
    edge: Edge,
    metrics: Arc<Metrics>,
    ids: Arc<dyn Ids>,
    store_kind: &'static str,
    cache: Cache,
    tasks: TaskTracker,
    stopping: CancellationToken,
    cutting_off: CancellationToken,
}

impl AppState {
    /// Puts together what requests need. `stopping` is cancelled when the server stops: it is not ready from then on.
    #[must_use]
    pub fn new(wired: &Wired, edge: Edge, metrics: Arc<Metrics>, stopping: CancellationToken) -> Self {
        Self(Arc::new(Parts {
            engine: wired.engine.clone(),
            edge,
            metrics,
            ids: Arc::clone(&wired.ids),
            store_kind: wired.store_kind,
            cache: wired.cache.clone(),
            tasks: TaskTracker::new(),
            stopping,
            cutting_off: CancellationToken::new(),
        }))
    }

    /// The verbs.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// What the listener accepts.
    #[must_use]
    pub fn edge(&self) -> &Edge {
        &self.0.edge
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Where request ids come from.
    #[must_use]
    pub fn ids(&self) -> &dyn Ids {
        &*self.0.ids
    }

    /// The kind of store: `sqlite` or `mongodb`.
    #[must_use]
    pub fn store_kind(&self) -> &'static str {
        self.0.store_kind
    }

    /// What is shared with other processes beside the store.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Owns connections, and work that must end whatever its caller does; stopping waits for it.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Is cancelled when the server stops.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Is cancelled when a stop has waited long enough: what can still say so to its client has a moment to do it.
    #[must_use]
    pub fn cutting_off(&self) -> &CancellationToken {
        &self.0.cutting_off
    }
}

impl FromRef<AppState> for Engine {
    fn from_ref(state: &AppState) -> Self {
        state.engine().clone()
    }
}
