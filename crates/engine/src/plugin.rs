//! The plugins that this server holds, as callers see them.

use std::{collections::HashMap, sync::Arc};

use model::{
    ActionName, CallStatistics, Error, Health, Permission, Plugin, PluginName, Principal, Result, ToolName,
    UserId,
};

use crate::{parts::Engine, principal::visible_owner, registry::Held};

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
    /// How this caller has called its actions, or everyone has for an admin; in the order of the actions, with
    /// zeros for those never called.
    pub statistics: Vec<CallStatistics>,
}

impl Engine {
    /// Lists all plugins by name.
    ///
    /// # Errors
    /// `Forbidden` without the scope.
    pub async fn list_plugins(&self, principal: &Principal) -> Result<Vec<PluginView>> {
        principal.require(&Permission::ReadPlugins)?;
        let plugins = self.parts.plugins.iter();
        let called = self
            .statistics_by_action(plugins, visible_owner(principal)?)
            .await?;
        let views = self
            .parts
            .plugins
            .iter()
            .map(|held| view(held, principal, &called));
        Ok(views.collect())
    }

    /// Reads one plugin.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` without the scope.
    pub async fn plugin(&self, principal: &Principal, name: &PluginName) -> Result<PluginView> {
        principal.require(&Permission::ReadPlugins)?;
        let held = self
            .parts
            .plugins
            .find(name)
            .ok_or_else(|| Error::not_found("plugin"))?;
        let plugins = [held].into_iter();
        let called = self
            .statistics_by_action(plugins, visible_owner(principal)?)
            .await?;
        Ok(view(held, principal, &called))
    }

    async fn statistics_by_action(
        &self,
        plugins: impl Iterator<Item = &Held> + Send,
        caller: Option<UserId>,
    ) -> Result<Called> {
        let tools: Vec<_> = plugins.flat_map(|held| tools_of(&held.plugin)).collect();
        let mut called = Called::new();
        for statistics in self.parts.store.call_statistics(&tools, caller).await? {
            let of_plugin = called.entry(statistics.plugin.clone()).or_default();
            of_plugin.insert(statistics.action.clone(), statistics);
        }
        Ok(called)
    }
}

/// How actions were called, by plugin and action.
type Called = HashMap<PluginName, HashMap<ActionName, CallStatistics>>;

fn tools_of(plugin: &Plugin) -> impl Iterator<Item = ToolName> {
    plugin.actions.iter().map(|action| ToolName {
        plugin: plugin.name.clone(),
        action: action.name.clone(),
    })
}

fn view(held: &Held, principal: &Principal, called: &Called) -> PluginView {
    let plugin = &held.plugin;
    let of_plugin = called.get(&plugin.name);
    let statistics = plugin.actions.iter().map(|action| {
        let found = of_plugin.and_then(|actions| actions.get(&action.name));
        found
            .cloned()
            .unwrap_or_else(|| never_called(&plugin.name, &action.name))
    });
    PluginView {
        kind: held.runtime.kind(),
        health: held.runtime.health(&plugin.name),
        is_callable: principal
            .require(&Permission::ExecutePlugin(plugin.name.clone()))
            .is_ok(),
        statistics: statistics.collect(),
        plugin: Arc::clone(plugin),
    }
}

fn never_called(plugin: &PluginName, action: &ActionName) -> CallStatistics {
    CallStatistics {
        plugin: plugin.clone(),
        action: action.clone(),
        successes: 0,
        failures: 0,
        total_duration: std::time::Duration::ZERO,
        last_called_at: None,
    }
}
