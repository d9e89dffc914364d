//! Prompts of plugins, and suggestions for what is typed.

use std::{collections::BTreeMap, time::Duration};

use model::{
    Answers, CompletionCall, CompletionSubject, Detail, Error, ErrorCode, FilledPrompt, Permission,
    PluginName, Principal, Prompt, PromptCall, PromptName, Reply, Result, Suggestions,
};

use crate::{
    call::{RESULT_EXTENT, guarded, is_block, require_askable},
    parts::Engine,
    registry::Held,
};

/// How long filling a prompt in, or reading a resource, takes at most; and before that, waiting for a turn.
pub(crate) const BRIEF_TIMEOUT: Duration = Duration::from_secs(30);

/// How long suggestions take at most: whoever types has typed on by then.
const SUGGESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The most messages of a prompt.
const MAX_MESSAGES: usize = 256;

/// The most characters of a suggestion.
const MAX_SUGGESTION_CHARS: usize = 1_000;

/// A prompt, and whose it is.
#[derive(Clone, Debug)]
pub struct PromptView {
    /// The plugin that brings it.
    pub plugin: PluginName,
    /// The prompt.
    pub prompt: Prompt,
}

/// A prompt that someone wants to have filled in.
#[derive(Clone, Debug)]
pub struct PromptRequest {
    /// The plugin.
    pub plugin: PluginName,
    /// Its prompt.
    pub prompt: PromptName,
    /// What is put in, by the arguments' names.
    pub arguments: BTreeMap<String, String>,
    /// What was answered to what the same request asked before; empty for a first one.
    pub answers: Answers,
}

/// What someone is typing.
#[derive(Clone, Debug)]
pub struct SuggestionRequest {
    /// For what the argument is.
    pub subject: SuggestionSubject,
    /// The argument's name.
    pub argument: String,
    /// What is typed so far.
    pub typed: String,
    /// Other arguments that are there already.
    pub known: BTreeMap<String, String>,
}

/// For what an argument is that someone is typing.
#[derive(Clone, Debug)]
pub enum SuggestionSubject {
    /// A prompt of a plugin.
    Prompt(PluginName, PromptName),
    /// A pattern of resources, as it is listed.
    Template(String),
}

impl Engine {
    /// Lists the prompts of the plugins that the caller may use: by their plugins' names, and within a plugin in its own
    /// order. Reads nothing but memory. Empty, not refused, for a caller who may use none.
    #[must_use]
    pub fn prompts(&self, principal: &Principal) -> Vec<PromptView> {
        let open = self.open_to(principal);
        open.flat_map(|held| {
            let prompts = held.plugin.prompts.iter();
            prompts.map(|prompt| PromptView {
                plugin: held.plugin.name.clone(),
                prompt: prompt.clone(),
            })
        })
        .collect()
    }

    /// Fills a prompt in, which takes 30 s at most after as long a wait for its turn. It is not kept in the history.
    ///
    /// # Errors
    /// `Forbidden` without the permission for the plugin; `NotFound`; `Invalid` with paths below `arguments`; `PluginFailed`,
    /// `PluginUnavailable`, `PluginTimedOut`, `Overloaded`.
    pub async fn fill_prompt(
        &self,
        principal: &Principal,
        request: PromptRequest,
    ) -> Result<Reply<FilledPrompt>> {
        principal.require(&Permission::ExecutePlugin(request.plugin.clone()))?;
        let (held, prompt) = self.find_prompt(&request.plugin, &request.prompt)?;
        require_arguments(prompt, &request.arguments)?;
        let _running = self.running()?;
        let _turn = held.turn(BRIEF_TIMEOUT).await?;
        let call = PromptCall {
            plugin: request.plugin,
            prompt: request.prompt,
            arguments: request.arguments,
            answers: request.answers,
            timeout: BRIEF_TIMEOUT,
        };
        let reply = guarded(BRIEF_TIMEOUT, "arguments", async {
            held.runtime.prompt(call).await
        })
        .await?;
        match &reply {
            Reply::Done(filled) => require_acceptable(filled)?,
            Reply::Asks(questions) => require_askable(questions)?,
        }
        Ok(reply)
    }

    /// Suggests what an argument that is being typed may become, at most 100 values of 1,000 characters, within 5 s.
    ///
    /// # Errors
    /// `Forbidden` without the permission for the plugin; `NotFound` for what isn't listed; those of the plugin.
    pub async fn suggest(&self, principal: &Principal, request: SuggestionRequest) -> Result<Suggestions> {
        let (held, subject) = match request.subject {
            SuggestionSubject::Prompt(plugin, prompt) => {
                principal.require(&Permission::ExecutePlugin(plugin.clone()))?;
                let (held, _) = self.find_prompt(&plugin, &prompt)?;
                (held, CompletionSubject::Prompt(prompt))
            }
            SuggestionSubject::Template(template) => {
                let held = self.open_to(principal).find(|held| {
                    let mut templates = held.plugin.resource_templates.iter();
                    templates.any(|listed| listed.uri_template == template)
                });
                let held = held.ok_or_else(|| Error::not_found("resource template"))?;
                (held, CompletionSubject::Template(template))
            }
        };
        let _running = self.running()?;
        let _turn = held.turn(SUGGESTION_TIMEOUT).await?;
        let call = CompletionCall {
            plugin: held.plugin.name.clone(),
            subject,
            argument: request.argument,
            typed: request.typed,
            known: request.known,
            timeout: SUGGESTION_TIMEOUT,
        };
        let work = async { held.runtime.complete(call).await };
        let suggestions = guarded(SUGGESTION_TIMEOUT, "argument", work).await?;
        Ok(bounded(suggestions))
    }

    fn find_prompt(&self, plugin: &PluginName, name: &PromptName) -> Result<(&Held, &Prompt)> {
        let held = self.parts.plugins.find(plugin);
        let held = held.ok_or_else(|| Error::not_found("prompt"))?;
        let prompt = held.plugin.prompts.iter().find(|prompt| prompt.name == *name);
        let prompt = prompt.ok_or_else(|| Error::not_found("prompt"))?;
        Ok((held, prompt))
    }
}

/// Passes when all that is required is there, and nothing else than what the prompt has.
fn require_arguments(prompt: &Prompt, arguments: &BTreeMap<String, String>) -> Result<()> {
    let missing = prompt.arguments.iter().filter(|argument| {
        let is_given = arguments.contains_key(&argument.name);
        argument.is_required && !is_given
    });
    let unknown = arguments.keys().filter(|name| {
        let mut known = prompt.arguments.iter();
        !known.any(|argument| argument.name == **name)
    });
    let detail = |name: &str, message: &str| Detail {
        path: format!("arguments.{name}"),
        message: message.to_owned(),
    };
    let missing = missing.map(|argument| detail(&argument.name, "is required"));
    let unknown = unknown.map(|name| detail(name, "is no argument of this prompt"));
    let details: Vec<_> = missing.chain(unknown).take(Error::MAX_DETAILS).collect();
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::invalid_fields(details))
}

fn require_acceptable(filled: &FilledPrompt) -> Result<()> {
    let failed = |message: &'static str| Err(Error::new(ErrorCode::PluginFailed, message));
    let contents = filled.messages.iter().map(|message| &message.content);
    if filled.messages.len() > MAX_MESSAGES || RESULT_EXTENT.holds_all(contents.clone()).is_err() {
        return failed("the plugin's prompt is larger than 256 messages, 8 MiB or 64 levels");
    }
    if !contents.clone().all(is_block) {
        return failed("the plugin's prompt isn't made of blocks of content");
    }
    Ok(())
}

fn bounded(suggestions: Suggestions) -> Suggestions {
    let Suggestions {
        mut values,
        total,
        has_more,
    } = suggestions;
    let count = values.len();
    values.truncate(Suggestions::MAX_COUNT);
    values.retain(|value| value.chars().nth(MAX_SUGGESTION_CHARS).is_none());
    Suggestions {
        has_more: has_more || values.len() < count,
        values,
        total,
    }
}
