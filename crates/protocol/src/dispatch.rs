//! From a method and its parameters to one call of the handler, and from what it gave to a result.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    catalogue::{Cached, Completion, Listed},
    context::Context,
    error::{ErrorCode, RpcError},
    handler::{Handler, PromptCall, Reply, ResourceCall, ToolCall, ToolReply},
    methods::Method,
    params::{take_completion, take_object, take_page, take_responses, take_text},
    question::{Answers, Questions},
    render::{Freshness, ListBody, Nothing, Renderer, capabilities},
    requirement::check_takes_tasks,
    revision::Revision,
    shared::Shared,
};

/// How long a client may keep what the server says of itself: it changes with a new version only.
const DISCOVERY_FRESH_FOR: Duration = Duration::from_secs(600);

/// How many suggestions an answer holds at most (completion, "Completion Results").
const MAX_SUGGESTIONS: usize = 100;

/// A call of a method that the revision has.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    /// Which method.
    pub(crate) method: Method,
    /// Its parameters, without `_meta`.
    pub(crate) params: Map<String, Value>,
    /// Answers to what it asked before.
    pub(crate) answers: Answers,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The whole result object, as JSON.
    Done(String),
    /// Questions; whether the client can answer them isn't checked yet.
    Asks(Questions),
}

/// What a resource holds, as it stands in a result; up to several megabytes, so it is written as it is.
#[derive(Serialize)]
struct ContentsBody {
    contents: Vec<Map<String, Value>>,
}

#[derive(Serialize)]
struct CompletionBody {
    completion: Completion,
}

/// Calls the handler. What belongs to sessions and streams is not served here: `initialize`, `logging/setLevel`,
/// `resources/subscribe`, `resources/unsubscribe` and `subscriptions/listen` are no methods to this function.
pub(crate) async fn dispatch<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    invocation: Invocation,
) -> Result<Outcome, RpcError> {
    let Invocation {
        method,
        mut params,
        answers,
    } = invocation;
    let handler = &*shared.handler;
    let renderer = renderer(shared, context);
    match method {
        Method::CallTool => call_tool(shared, context, params, answers).await,
        Method::GetPrompt => get_prompt(shared, context, params, answers).await,
        Method::ReadResource => read_resource(shared, context, params, answers).await,
        Method::ListTools => {
            let listed = handler.list_tools(context, take_page(&mut params)?).await?;
            write_list(renderer, "tools", listed, |tool| renderer.fit_tool(tool))
        }
        Method::ListPrompts => {
            let listed = handler.list_prompts(context, take_page(&mut params)?).await?;
            write_list(renderer, "prompts", listed, |prompt| renderer.fit_prompt(prompt))
        }
        Method::ListResources => {
            let listed = handler.list_resources(context, take_page(&mut params)?).await?;
            write_list(renderer, "resources", listed, |found| {
                renderer.fit_resource(found);
            })
        }
        Method::ListResourceTemplates => {
            let page = take_page(&mut params)?;
            let listed = handler.list_resource_templates(context, page).await?;
            write_list(renderer, "resourceTemplates", listed, |template| {
                renderer.fit_template(template);
            })
        }
        Method::Complete => complete(shared, context, &mut params).await,
        Method::GetTask => get_task(shared, context, &mut params).await,
        Method::AnswerTask => answer_task(shared, context, &mut params).await,
        Method::CancelTask => cancel_task(shared, context, &mut params).await,
        Method::Discover => discover(shared, context.revision),
        Method::Ping => renderer.complete(Nothing {}).map(Outcome::Done),
        Method::Initialize
        | Method::SetLogLevel
        | Method::SubscribeResource
        | Method::UnsubscribeResource
        | Method::Listen => Err(RpcError::new(ErrorCode::MethodNotFound, "Method not found")),
    }
}

fn renderer<'a, H: Handler>(shared: &'a Shared<H>, context: &Context<H::Caller>) -> Renderer<'a> {
    Renderer {
        revision: context.revision,
        server_info: &shared.server_info,
    }
}

async fn call_tool<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    mut params: Map<String, Value>,
    answers: Answers,
) -> Result<Outcome, RpcError> {
    let call = ToolCall {
        name: take_text(&mut params, "name")?,
        arguments: take_object(&mut params, "arguments")?,
        answers,
    };
    let renderer = renderer(shared, context);
    match shared.handler.call_tool(context, call).await? {
        ToolReply::Done(result) => renderer.tool_result(result).map(Outcome::Done),
        ToolReply::Asks(questions) => Ok(Outcome::Asks(questions)),
        // A host that makes a task for a client that takes none is wrong.
        ToolReply::Task(_) if !context.revision.is_stateless() || !context.capabilities.takes_tasks() => {
            Err(RpcError::internal())
        }
        ToolReply::Task(handle) => renderer.task(&handle).map(Outcome::Done),
    }
}

async fn get_prompt<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    mut params: Map<String, Value>,
    answers: Answers,
) -> Result<Outcome, RpcError> {
    let call = PromptCall {
        name: take_text(&mut params, "name")?,
        arguments: take_object(&mut params, "arguments")?,
        answers,
    };
    if call.arguments.values().any(|value| !value.is_string()) {
        return Err(RpcError::invalid_params(
            "the arguments of a prompt must be strings",
        ));
    }
    match shared.handler.get_prompt(context, call).await? {
        Reply::Done(prompt) => renderer(shared, context).prompt(prompt).map(Outcome::Done),
        Reply::Asks(questions) => Ok(Outcome::Asks(questions)),
    }
}

async fn read_resource<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    mut params: Map<String, Value>,
    answers: Answers,
) -> Result<Outcome, RpcError> {
    let was_asked = answers != Answers::default();
    let call = ResourceCall {
        uri: take_text(&mut params, "uri")?,
        answers,
    };
    match shared.handler.read_resource(context, call).await? {
        Reply::Done(cached) => {
            // What depends on answers depends on more than the parameters that it would be kept by.
            let freshness = if was_asked {
                Freshness::NEVER
            } else {
                Freshness::of(&cached)
            };
            let body = ContentsBody {
                contents: cached.value.contents,
            };
            renderer(shared, context)
                .cached(body, freshness)
                .map(Outcome::Done)
        }
        Reply::Asks(questions) => Ok(Outcome::Asks(questions)),
    }
}

fn write_list<T: Serialize>(
    renderer: Renderer<'_>,
    name: &'static str,
    mut cached: Cached<Listed<T>>,
    fit: impl Fn(&mut T),
) -> Result<Outcome, RpcError> {
    cached.value.entries.iter_mut().for_each(fit);
    let freshness = Freshness::of(&cached);
    renderer
        .cached(ListBody::new(name, cached.value), freshness)
        .map(Outcome::Done)
}

async fn complete<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    params: &mut Map<String, Value>,
) -> Result<Outcome, RpcError> {
    let request = take_completion(params)?;
    let mut completion: Completion = shared.handler.complete(context, request).await?;
    if completion.values.len() > MAX_SUGGESTIONS {
        completion.values.truncate(MAX_SUGGESTIONS);
        completion.has_more = true;
    }
    let body = CompletionBody { completion };
    renderer(shared, context).complete(body).map(Outcome::Done)
}

async fn get_task<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    params: &mut Map<String, Value>,
) -> Result<Outcome, RpcError> {
    check_takes_tasks(&context.capabilities)?;
    let id = take_text(params, "taskId")?;
    let state = shared.handler.get_task(context, &id).await?;
    renderer(shared, context).task_state(&state).map(Outcome::Done)
}

async fn answer_task<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    params: &mut Map<String, Value>,
) -> Result<Outcome, RpcError> {
    check_takes_tasks(&context.capabilities)?;
    let id = take_text(params, "taskId")?;
    let missing = || RpcError::invalid_params("`inputResponses` is missing");
    let given = take_responses(params)?.ok_or_else(missing)?;
    shared.handler.answer_task(context, &id, given).await?;
    renderer(shared, context).complete(Nothing {}).map(Outcome::Done)
}

async fn cancel_task<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    params: &mut Map<String, Value>,
) -> Result<Outcome, RpcError> {
    check_takes_tasks(&context.capabilities)?;
    let id = take_text(params, "taskId")?;
    shared.handler.cancel_task(context, &id).await?;
    renderer(shared, context).complete(Nothing {}).map(Outcome::Done)
}

fn discover<H: Handler>(shared: &Shared<H>, revision: Revision) -> Result<Outcome, RpcError> {
    let mut body = Map::new();
    body.insert(
        "supportedVersions".to_owned(),
        json!(Revision::ALL.map(Revision::as_str)),
    );
    let capabilities = capabilities(&shared.description, revision);
    body.insert("capabilities".to_owned(), Value::Object(capabilities));
    if let Some(instructions) = &shared.description.instructions {
        body.insert("instructions".to_owned(), json!(instructions));
    }
    let renderer = Renderer {
        revision,
        server_info: &shared.server_info,
    };
    let freshness = Freshness::public(DISCOVERY_FRESH_FOR);
    renderer.cached(body, freshness).map(Outcome::Done)
}
