//! The actions of all plugins as tools, for callers that choose among them.

use std::sync::Arc;

use model::{Error, Permission, Principal, Result, ToolName};

use crate::{
    parts::Engine,
    registry::{Held, ToolView},
};

impl Engine {
    /// Lists the tools that the caller may call: by their plugins' names, and within a plugin in its own order. Reads
    /// nothing but memory. Empty, not refused, for a caller who may call none.
    #[must_use]
    pub fn tools(&self, principal: &Principal) -> Vec<Arc<ToolView>> {
        let open = self.open_to(principal);
        open.flat_map(|held| held.tools().iter().cloned()).collect()
    }

    /// Looks up a tool that the caller may call. Reads nothing but memory.
    ///
    /// # Errors
    /// `Forbidden` without the permission for its plugin, whether there is such a tool or not; else `NotFound`.
    pub fn find_tool(&self, principal: &Principal, name: &ToolName) -> Result<Arc<ToolView>> {
        principal.require(&Permission::ExecutePlugin(name.plugin.clone()))?;
        let held = self.parts.plugins.find(&name.plugin);
        let ready = held.and_then(|held| held.action(&name.action));
        let ready = ready.ok_or_else(|| Error::not_found("tool"))?;
        Ok(Arc::clone(&ready.tool))
    }

    /// The plugins that the caller may use, by name.
    pub(crate) fn open_to(&self, principal: &Principal) -> impl Iterator<Item = &Held> {
        self.parts.plugins.iter().filter(move |held| {
            let permission = Permission::ExecutePlugin(held.plugin.name.clone());
            principal.require(&permission).is_ok()
        })
    }
}
