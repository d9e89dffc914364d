//! What every method works on.

use std::{sync::Arc, time::Duration};

use engine::Engine;
use model::PluginName;
use tokio_util::task::TaskTracker;

use super::{catalogue::Catalogue, name::Names};

/// The meaning of the protocol: what each method does for one who may.
pub struct Door {
    engine: Engine,
    names: Names,
    catalogue: Arc<Catalogue>,
    task_retention: Duration,
    cleanup: TaskTracker,
}

impl Door {
    /// A door to an engine's verbs. `bare_tools` is the plugin whose names stand alone; ended tasks are kept for
    /// `task_retention`; `cleanup` owns what must end although its caller has left.
    #[must_use]
    pub fn new(
        engine: Engine,
        bare_tools: Option<PluginName>,
        task_retention: Duration,
        cleanup: TaskTracker,
    ) -> Self {
        let names = Names::new(bare_tools);
        Self {
            catalogue: Arc::new(Catalogue::new(&engine, &names)),
            engine,
            names,
            task_retention,
            cleanup,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    pub(super) fn task_retention(&self) -> Duration {
        self.task_retention
    }

    pub(super) fn cleanup(&self) -> &TaskTracker {
        &self.cleanup
    }
}
