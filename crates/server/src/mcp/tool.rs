//! Tools: the actions of plugins, and a few of the server's own.

mod submission;
mod own;
mod call;

use std::time::Duration;

use engine::ToolView;
use model::Annotations;
use protocol::{CacheScope, Cached, Context, Listed, Page, RpcError, Tool, ToolAnnotations};

use super::{caller::Caller, door::Door, page::page};
pub(super) use call::call;

/// How long a list may count as fresh: what a caller may do changes with its role and scopes.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(60);

/// One tool of the list, before it is written out.
enum Entry {
    /// An action of a plugin.
    Action(std::sync::Arc<ToolView>),
    /// One of the server's own.
    Own(own::OwnTool),
}

/// `tools/list`: what the caller may call, by name.
pub(super) fn list(
    door: &Door,
    context: &Context<Caller>,
    wanted: &Page,
) -> Result<Cached<Listed<Tool>>, RpcError> {
    let caller = &context.caller;
    let actions = door.engine().tools(caller.principal()).into_iter();
    let actions = actions.map(|tool| {
        let name = door.names().show(&tool.name.plugin, tool.name.action.as_str());
        (name, Entry::Action(tool))
    });
    let own = own::OwnTool::ALL
        .into_iter()
        .filter(|tool| tool.is_open_to(caller));
    let own = own.map(|tool| (tool.name().to_owned(), Entry::Own(tool)));
    let mut all: Vec<(String, Entry)> = actions.chain(own).collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let listed = page(
        &all,
        wanted,
        |(name, _)| name.as_str(),
        |(name, entry)| match entry {
            Entry::Action(tool) => shown(name, tool),
            Entry::Own(tool) => tool.describe(),
        },
    )?;
    Ok(private(listed))
}

/// A list that depends on the caller.
pub(super) fn private<T>(listed: Listed<T>) -> Cached<Listed<T>> {
    Cached {
        value: listed,
        fresh_for: FRESH_FOR,
        scope: CacheScope::Private,
    }
}

fn shown(name: &str, tool: &ToolView) -> Tool {
    let action = &tool.action;
    Tool {
        name: name.to_owned(),
        title: given(&action.title),
        description: given(&action.description),
        input_schema: action.input_schema.clone(),
        output_schema: action.output_schema.clone(),
        annotations: Some(hints(action.annotations)),
    }
}

fn hints(annotations: Annotations) -> ToolAnnotations {
    ToolAnnotations {
        read_only: annotations.read_only,
        destructive: annotations.destructive,
        idempotent: annotations.idempotent,
        open_world: annotations.open_world,
    }
}

/// A text, unless it is empty.
pub(super) fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
