//! What is known of all tools from the start: plugins come and go with the process only.

use std::collections::{HashMap, HashSet};

use engine::{Engine, ToolView};
use model::{Permission, PluginName, Principal, ResultForm, Task, ToolName};
use protocol::HeaderParameter;
use serde_json::Value;

use super::name::Names;

/// What marks a property that clients repeat in a header.
const MARK: &str = "x-mcp-header";

/// How deep marked properties are looked for.
const MAX_LEVELS: usize = 64;

/// What is looked up for each call, without a walk through schemas.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// By the names that clients use; only of tools that have any.
    headers: HashMap<String, (PluginName, Vec<HeaderParameter>)>,
    /// The tools whose results are blocks of content.
    with_content: HashSet<ToolName>,
}

impl Catalogue {
    /// Looks through all tools.
    pub(super) fn new(engine: &Engine, names: &Names) -> Self {
        let tools = engine.tools(&Principal::command_line());
        let headers = tools.iter().filter_map(|tool| {
            let marked = marked(tool);
            let ToolName { plugin, action } = &tool.name;
            (!marked.is_empty()).then(|| (names.show(plugin, action.as_str()), (plugin.clone(), marked)))
        });
        let with_content = tools
            .iter()
            .filter(|tool| tool.action.result_form == ResultForm::Content);
        Self {
            headers: headers.collect(),
            with_content: with_content.map(|tool| tool.name.clone()).collect(),
        }
    }

    /// The arguments of a tool that are repeated in headers; none of a tool that the caller may not call.
    pub(super) fn header_parameters(&self, principal: &Principal, tool: &str) -> Vec<HeaderParameter> {
        let found = self.headers.get(tool).filter(|(plugin, _)| {
            let permission = Permission::ExecutePlugin(plugin.clone());
            principal.require(&permission).is_ok()
        });
        found.map(|(_, marked)| marked.clone()).unwrap_or_default()
    }

    /// In which form the result of a task is.
    pub(super) fn form_of(&self, task: &Task) -> ResultForm {
        let tool = task.job.as_ref().map(|job| ToolName {
            plugin: job.plugin.clone(),
            action: job.action.clone(),
        });
        match tool {
            Some(tool) if self.with_content.contains(&tool) => ResultForm::Content,
            _ => ResultForm::Value,
        }
    }
}

/// The marked properties of a tool's arguments: those to which `properties` alone lead from the root.
fn marked(tool: &ToolView) -> Vec<HeaderParameter> {
    let mut found = Vec::new();
    collect(&tool.action.input_schema, &mut Vec::new(), &mut found);
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<HeaderParameter>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        path.push(key.clone());
        if let Some(name) = property.get(MARK).and_then(Value::as_str) {
            found.push(HeaderParameter {
                name: name.to_owned(),
                path: path.clone(),
            });
        }
        if path.len() < MAX_LEVELS {
            collect(property, path, found);
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marked_properties_are_found_with_the_way_to_them() {
        let schema = json!({
            "type": "object",
            "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" },
                "target": {
                    "type": "object",
                    "properties": { "tenant": { "type": "integer", "x-mcp-header": "Tenant" } },
                },
                "many": { "type": "array", "items": { "properties": { "a": { "x-mcp-header": "No" } } } },
            },
        });
        let mut found = Vec::new();
        collect(&schema, &mut Vec::new(), &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|header| (header.name.as_str(), header.path.join(".")))
            .collect();
        assert_eq!(
            found,
            [
                ("Region", "region".to_owned()),
                ("Tenant", "target.tenant".to_owned())
            ]
        );
    }
}
