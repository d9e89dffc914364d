//! Which plugin answers for which address.

use std::collections::HashMap;

use model::{Error, Plugin, PluginName, Prompt, Result};

use super::address::{MAX_ADDRESS_BYTES, Pattern, require_address};

/// The most prompts, and the most resources, that a plugin brings.
const MAX_BROUGHT: usize = 1_000;

/// The most patterns that a plugin brings: each address is compared with all of them.
const MAX_PATTERNS: usize = 64;

/// The most arguments of a prompt.
const MAX_ARGUMENTS: usize = 64;

/// The addresses of all plugins. No address leads to two of them.
#[derive(Default)]
pub(crate) struct Directory {
    addresses: HashMap<String, PluginName>,
    patterns: Vec<(Pattern, PluginName)>,
}

impl Directory {
    /// Takes what a plugin brings beside its actions.
    ///
    /// # Errors
    /// `Invalid` for too many prompts, resources or patterns, for two prompts of one name, for an address or a pattern
    /// that can't be used, and for one that can lead to another plugin's resource.
    pub(crate) fn add(&mut self, plugin: &Plugin) -> Result<()> {
        let path = |part: &str| format!("{}.{part}", plugin.name);
        require_prompts(&plugin.prompts).map_err(|error| error.under(&path("prompts")))?;
        if plugin.resources.len() > MAX_BROUGHT || plugin.resource_templates.len() > MAX_PATTERNS {
            let message = "must be at most 1000, and 64 patterns of them";
            return Err(Error::invalid(path("resources"), message));
        }
        for template in &plugin.resource_templates {
            self.add_pattern(&template.uri_template, &plugin.name)
                .map_err(|error| error.under(&path(&template.uri_template)))?;
        }
        for resource in &plugin.resources {
            self.add_address(&resource.uri, &plugin.name)
                .map_err(|error| error.under(&path(&resource.uri)))?;
        }
        Ok(())
    }

    /// The plugin that answers for an address, if there is one.
    pub(crate) fn owner_of(&self, uri: &str) -> Option<&PluginName> {
        if uri.len() > MAX_ADDRESS_BYTES {
            return None;
        }
        self.addresses.get(uri).or_else(|| {
            let mut patterns = self.patterns.iter();
            let found = patterns.find(|(pattern, _)| pattern.matches(uri));
            found.map(|(_, owner)| owner)
        })
    }

    fn add_pattern(&mut self, template: &str, owner: &PluginName) -> Result<()> {
        let pattern = Pattern::parse(template)?;
        let others = |other: &PluginName| other != owner;
        let mut patterns = self.patterns.iter();
        let overlapping = patterns.find(|(other, theirs)| others(theirs) && other.may_overlap(&pattern));
        let mut addresses = self.addresses.iter();
        let held = addresses.find(|(uri, theirs)| others(theirs) && pattern.matches(uri));
        let taken = overlapping
            .map(|(_, theirs)| theirs)
            .or(held.map(|(_, theirs)| theirs));
        if let Some(theirs) = taken {
            return Err(Error::invalid("", format!("can lead to a resource of {theirs}")));
        }
        self.patterns.push((pattern, owner.clone()));
        Ok(())
    }

    fn add_address(&mut self, uri: &str, owner: &PluginName) -> Result<()> {
        require_address(uri)?;
        let mut patterns = self.patterns.iter();
        let by_pattern = patterns.find(|(pattern, theirs)| theirs != owner && pattern.matches(uri));
        if let Some((_, theirs)) = by_pattern {
            return Err(Error::invalid("", format!("can lead to a resource of {theirs}")));
        }
        match self.addresses.insert(uri.to_owned(), owner.clone()) {
            Some(other) => Err(Error::invalid(
                "",
                format!("is the address of a resource of {other} too"),
            )),
            None => Ok(()),
        }
    }
}

fn require_prompts(prompts: &[Prompt]) -> Result<()> {
    if prompts.len() > MAX_BROUGHT {
        return Err(Error::invalid("", "must be at most 1000"));
    }
    for (place, prompt) in prompts.iter().enumerate() {
        let name = prompt.name.as_str();
        let mut before = prompts.iter().take(place);
        if before.any(|other| other.name.as_str().eq_ignore_ascii_case(name)) {
            return Err(Error::invalid(
                name,
                "differs from another prompt by case at most",
            ));
        }
        let names = prompt.arguments.iter().map(|argument| argument.name.as_str());
        let is_repeated = |name: &str| names.clone().filter(|other| *other == name).count() > 1;
        if prompt.arguments.len() > MAX_ARGUMENTS
            || names
                .clone()
                .any(|name| name.is_empty() || name.len() > 64 || is_repeated(name))
        {
            let message = "must have at most 64 arguments, with names of their own of 1 to 64 bytes";
            return Err(Error::invalid(name, message));
        }
    }
    Ok(())
}
