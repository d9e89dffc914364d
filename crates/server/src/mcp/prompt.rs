//! Prompts of plugins.

use engine::PromptRequest;
use model::{Answers, Error, ErrorKind, FilledPrompt, Permission};
use protocol::{
    Cached, Content, Context, Listed, Page, Prompt, PromptArgument, PromptCall, PromptMessage, PromptResult,
    Reply, RpcError,
};

use super::{
    caller::Caller,
    complete::texts,
    door::Door,
    fault::request_error,
    page::page,
    question::{self, Note},
    tool::{given, private},
};

/// `prompts/list`: those of the plugins that the caller may use, by name.
pub(super) fn list(
    door: &Door,
    context: &Context<Caller>,
    wanted: &Page,
) -> Result<Cached<Listed<Prompt>>, RpcError> {
    let held = door.engine().prompts(context.caller.principal()).into_iter();
    let named = held.map(|view| {
        (
            door.names().show(&view.plugin, view.prompt.name.as_str()),
            view.prompt,
        )
    });
    let mut all: Vec<(String, model::Prompt)> = named.collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let listed = page(
        &all,
        wanted,
        |(name, _)| name.as_str(),
        |(name, prompt)| shown(name, prompt),
    )?;
    Ok(private(listed))
}

/// `prompts/get`.
pub(super) async fn get(
    door: &Door,
    context: &Context<Caller>,
    call: PromptCall,
) -> Result<Reply<PromptResult>, RpcError> {
    let found = door.names().find_prompt(&call.name);
    let (plugin, prompt) = found.ok_or_else(|| unknown(&call.name))?;
    let caller = &context.caller;
    caller.require(&[Permission::ExecutePlugin(plugin.clone())])?;
    let (given, note) = question::taken(call.answers);
    let state = match note {
        Note::OfPlugin(notes) => notes,
        Note::OfTask(_) => None,
    };
    let request = PromptRequest {
        plugin,
        prompt,
        arguments: texts(call.arguments),
        answers: Answers { given, state },
    };
    let filled = door.engine().fill_prompt(caller.principal(), request).await;
    match filled.map_err(|error| refusal(&error, &call.name))? {
        model::Reply::Done(filled) => spoken(filled).map(Reply::Done),
        model::Reply::Asks(questions) => Ok(Reply::Asks(question::of_call(questions))),
    }
}

fn refusal(error: &Error, name: &str) -> RpcError {
    if error.kind() == ErrorKind::NotFound {
        return unknown(name);
    }
    request_error(error)
}

fn unknown(name: &str) -> RpcError {
    const MAX_CHARS: usize = 64;
    let shown: String = name.chars().take(MAX_CHARS).collect();
    RpcError::invalid_params(format!("Unknown prompt: {shown}"))
}

fn shown(name: &str, prompt: &model::Prompt) -> Prompt {
    let arguments = prompt.arguments.iter().map(|argument| PromptArgument {
        name: argument.name.clone(),
        description: given(&argument.description),
        required: argument.is_required,
    });
    Prompt {
        name: name.to_owned(),
        title: given(&prompt.title),
        description: given(&prompt.description),
        arguments: arguments.collect(),
    }
}

fn spoken(filled: FilledPrompt) -> Result<PromptResult, RpcError> {
    let messages = filled.messages.into_iter().map(|message| {
        let role = message.speaker.as_str().to_owned();
        let content = Content::from_json(message.content)?;
        Some(PromptMessage { role, content })
    });
    let messages: Option<Vec<_>> = messages.collect();
    Ok(PromptResult {
        description: filled.description,
        // The verb lets nothing else through.
        messages: messages.ok_or_else(RpcError::internal)?,
    })
}
