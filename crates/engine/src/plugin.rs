//! The plugins that this server holds.

use std::sync::Arc;

use model::{CallStatistics, Health, Plugin, PluginName, Principal, Result};

use crate::parts::Engine;

/// A plugin as a caller sees it.
#[derive(Clone, Debug)]
pub struct PluginView {
    /// The plugin with its actions.
    pub plugin: Arc<Plugin>,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it can be called.
    pub health: Health,
    /// Whether this caller may call it.
    pub is_callable: bool,
    /// How its actions were called, in the order of the actions; those never called have zeros.
    pub statistics: Vec<CallStatistics>,
}

impl Engine {
    /// Lists all plugins by name.
    ///
    /// # Errors
    /// `Forbidden` without the scope.
    pub async fn list_plugins(&self, _principal: &Principal) -> Result<Vec<PluginView>> {
        todo!()
    }

    /// Reads one plugin.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` without the scope.
    pub async fn plugin(&self, _principal: &Principal, _name: &PluginName) -> Result<PluginView> {
        todo!()
    }
}
