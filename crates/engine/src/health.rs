//! Whether the server can do its work.

use std::time::Duration;

use model::Health;

use crate::parts::Engine;

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
    /// Every plugin's health; an unavailable plugin doesn't make the server unhealthy.
    pub plugins: Vec<PluginHealth>,
}

impl Engine {
    /// Looks at every part, within two seconds. The answer is at most a second old.
    pub async fn health(&self) -> HealthReport {
        todo!()
    }

    /// Waits for running calls to be recorded, writes down what is held back, and closes the store. Later verbs fail.
    ///
    /// # Errors
    /// `Unavailable` when not everything could be written.
    pub async fn close(&self) -> model::Result<()> {
        todo!()
    }
}
