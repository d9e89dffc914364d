//! The engine as the server wires it, without the doors.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, Pace};
use model::{Observer, Runtime};
use server::config::Config;
use server::config::source::Sources;
use server::wire;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Outcome;

/// How long running tasks may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// An engine on a data directory, with threads of its own.
pub(crate) struct Station {
    pub(crate) engine: Engine,
    pub(crate) threads: runtime::Runtime,
    stop: CancellationToken,
    at_work: TaskTracker,
}

impl Station {
    /// Opens a data directory; nothing is done in it yet.
    pub(crate) fn open(
        folder: &Path,
        concurrency: u16,
        observer: Arc<dyn Observer>,
        plugins: Vec<Arc<dyn Runtime>>,
    ) -> Outcome<Self> {
        let folder = folder.to_str().ok_or("DIR isn't UTF-8")?;
        let concurrency = concurrency.to_string();
        let settings = [("DATA_DIR", folder), ("WORKER_CONCURRENCY", concurrency.as_str())];
        let loaded = Config::load(&Sources::default().with_environment(settings))?;
        let threads = runtime::Builder::new_multi_thread().enable_all().build()?;
        let wired = threads.block_on(wire::open(&loaded.config, observer, plugins))?;
        Ok(Self {
            engine: wired.engine,
            threads,
            stop: CancellationToken::new(),
            at_work: TaskTracker::new(),
        })
    }

    /// Lets the worker and the periodic duties begin, as a server does.
    pub(crate) fn begin_work(&self) {
        let pace = Pace {
            stop: self.stop.clone(),
        };
        for duty in self.engine.duties() {
            let pace = pace.clone();
            self.at_work
                .spawn_on(async move { pace.drive(duty).await }, self.threads.handle());
        }
        let (engine, stop) = (self.engine.clone(), self.stop.clone());
        self.at_work.spawn_on(
            async move { engine.work(stop, GRACE).await },
            self.threads.handle(),
        );
    }

    /// Ends the work and closes the store, so that its files are complete.
    pub(crate) fn close(self) -> Outcome<()> {
        self.stop.cancel();
        self.at_work.close();
        self.threads.block_on(self.at_work.wait());
        self.threads.block_on(self.engine.close())?;
        Ok(())
    }
}
