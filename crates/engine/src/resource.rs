//! Resources of plugins.

use model::{
    Answers, Error, ErrorCode, Permission, PluginName, Principal, Reply, Resource, ResourceBody,
    ResourceCall, ResourcePart, ResourceTemplate, Result,
};

use crate::{
    call::{guarded, require_askable},
    parts::Engine,
    prompt::BRIEF_TIMEOUT,
};

/// The most parts of a resource.
const MAX_PARTS: usize = 256;

/// The most bytes of all parts of a resource together.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A resource, and whose it is.
#[derive(Clone, Debug)]
pub struct ResourceView {
    /// The plugin that brings it.
    pub plugin: PluginName,
    /// The resource.
    pub resource: Resource,
}

/// A pattern of resources, and whose it is.
#[derive(Clone, Debug)]
pub struct ResourceTemplateView {
    /// The plugin that brings it.
    pub plugin: PluginName,
    /// The pattern.
    pub template: ResourceTemplate,
}

/// A resource that someone wants to read.
#[derive(Clone, Debug)]
pub struct ResourceRequest {
    /// Its address.
    pub uri: String,
    /// What was answered to what the same request asked before; empty for a first one.
    pub answers: Answers,
}

impl Engine {
    /// Lists the resources of the plugins that the caller may use: by their plugins' names, and within a plugin in its
    /// own order. Reads nothing but memory. Empty, not refused, for a caller who may use none.
    #[must_use]
    pub fn resources(&self, principal: &Principal) -> Vec<ResourceView> {
        let open = self.open_to(principal);
        open.flat_map(|held| {
            let resources = held.plugin.resources.iter();
            resources.map(|resource| ResourceView {
                plugin: held.plugin.name.clone(),
                resource: resource.clone(),
            })
        })
        .collect()
    }

    /// Lists the patterns of resources, as [`Self::resources`] lists the resources.
    #[must_use]
    pub fn resource_templates(&self, principal: &Principal) -> Vec<ResourceTemplateView> {
        let open = self.open_to(principal);
        open.flat_map(|held| {
            let templates = held.plugin.resource_templates.iter();
            templates.map(|template| ResourceTemplateView {
                plugin: held.plugin.name.clone(),
                template: template.clone(),
            })
        })
        .collect()
    }

    /// Reads a resource of a plugin, which takes 30 s at most after as long a wait for its turn. It is not kept in the
    /// history. At most 256 parts and 8 MiB together.
    ///
    /// # Errors
    /// `NotFound` for an address that isn't listed and follows no pattern; `Forbidden` without the permission for its
    /// plugin; `Invalid` with paths below `uri`; `PluginFailed`, `PluginUnavailable`, `PluginTimedOut`, `Overloaded`.
    pub async fn read_resource(
        &self,
        principal: &Principal,
        request: ResourceRequest,
    ) -> Result<Reply<Vec<ResourcePart>>> {
        let held = self.parts.plugins.find_by_address(&request.uri);
        let held = held.ok_or_else(|| Error::not_found("resource"))?;
        principal.require(&Permission::ExecutePlugin(held.plugin.name.clone()))?;
        let _running = self.running()?;
        let _turn = held.turn(BRIEF_TIMEOUT).await?;
        let call = ResourceCall {
            plugin: held.plugin.name.clone(),
            uri: request.uri,
            answers: request.answers,
            timeout: BRIEF_TIMEOUT,
        };
        let reply = guarded(BRIEF_TIMEOUT, "uri", async { held.runtime.resource(call).await }).await?;
        match &reply {
            Reply::Done(parts) => require_acceptable(parts)?,
            Reply::Asks(questions) => require_askable(questions)?,
        }
        Ok(reply)
    }
}

fn require_acceptable(parts: &[ResourcePart]) -> Result<()> {
    let bytes = parts.iter().map(|part| {
        part.uri.len()
            + match &part.body {
                ResourceBody::Text(text) => text.len(),
                ResourceBody::Blob(bytes) => bytes.len(),
            }
    });
    if parts.is_empty() || parts.len() > MAX_PARTS || bytes.sum::<usize>() > MAX_BYTES {
        let message = "the plugin's resource has no parts, or more than 256 parts or 8 MiB";
        return Err(Error::new(ErrorCode::PluginFailed, message));
    }
    Ok(())
}
