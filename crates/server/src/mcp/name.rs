//! What clients call the actions and prompts of plugins.

use model::{ActionName, PluginName, PromptName, TOOL_NAME_SEPARATOR, ToolName};

/// What clients call the actions and prompts of plugins: `<plugin>__<action>`.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// The plugin whose names stand alone.
    bare: Option<PluginName>,
}

impl Names {
    pub(super) fn new(bare: Option<PluginName>) -> Self {
        Self { bare }
    }

    /// The name of something of a plugin.
    pub(super) fn show(&self, plugin: &PluginName, own: &str) -> String {
        if self.bare.as_ref() == Some(plugin) {
            return own.to_owned();
        }
        format!("{plugin}{TOOL_NAME_SEPARATOR}{own}")
    }

    /// The action that a name stands for; `None` for what can't be one.
    pub(super) fn find_tool(&self, name: &str) -> Option<ToolName> {
        ToolName::parse(name).or_else(|| {
            Some(ToolName {
                plugin: self.bare.clone()?,
                action: ActionName::parse(name).ok()?,
            })
        })
    }

    /// The prompt that a name stands for; `None` for what can't be one.
    pub(super) fn find_prompt(&self, name: &str) -> Option<(PluginName, PromptName)> {
        match name.split_once(TOOL_NAME_SEPARATOR) {
            Some((plugin, prompt)) => {
                Some((PluginName::parse(plugin).ok()?, PromptName::parse(prompt).ok()?))
            }
            None => Some((self.bare.clone()?, PromptName::parse(name).ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_what_it_was_made_of() {
        let plugin = |text| PluginName::parse(text).unwrap();
        let names = Names::new(Some(plugin("fixture")));
        for (of, own, shown) in [
            ("sample", "echo", "sample__echo"),
            ("fixture", "test_simple_text", "test_simple_text"),
        ] {
            assert_eq!(names.show(&plugin(of), own), shown);
            let tool = names.find_tool(shown).unwrap();
            assert_eq!((tool.plugin.as_str(), tool.action.as_str()), (of, own));
            let (found, prompt) = names.find_prompt(shown).unwrap();
            assert_eq!((found.as_str(), prompt.as_str()), (of, own));
        }
    }

    #[test]
    fn what_can_be_no_name_is_none() {
        for name in [
            "",
            "echo",
            "__echo",
            "sample__",
            "sample__e__o",
            "sample/echo",
            "sample__ecko ",
        ] {
            assert_eq!(Names::default().find_tool(name), None, "{name}");
            assert_eq!(Names::default().find_prompt(name), None, "{name}");
        }
    }
}
