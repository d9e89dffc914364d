//! The stateless revision, however its messages travel: each request carries all that is needed to answer it.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{
    catalogue::Implementation,
    context::{Capabilities, Context, Outbox, OutboxNotice},
    dispatch::{Invocation, Outcome, dispatch},
    error::{ErrorCode, RpcError},
    handler::Handler,
    jsonrpc::{self, Message, Request},
    methods::{Method, MethodRow},
    notice::NoticeWriter,
    params::{RequestMeta, read_log_level, take_meta, take_responses},
    question::{Answers, Questions},
    render::Renderer,
    requirement::check_answerable,
    revision::Revision,
    shared::Shared,
    state::{open_state, seal_state},
};

const REVISION: Revision = Revision::V2026_07_28;
/// Where a request says its version.
pub(crate) const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_KEY: &str = "io.modelcontextprotocol/clientInfo";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";

/// A request that can be carried out.
pub(crate) struct Prepared<C> {
    /// What is called.
    pub(crate) invocation: Invocation,
    /// On whose behalf, and so on.
    pub(crate) context: Context<C>,
    /// What the handler says before its result, when the client wants to hear any of it.
    pub(crate) notices: Option<mpsc::Receiver<OutboxNotice>>,
    /// Writes it.
    pub(crate) writer: NoticeWriter,
}

/// The version that a request says it is made in; `None` for requests of older revisions, which say none.
pub(crate) fn declared_version(params: &Map<String, Value>) -> Option<&Value> {
    params.get("_meta")?.get(VERSION_KEY)
}

/// The error for a version that isn't spoken, or not statelessly.
pub(crate) fn unsupported_version(requested: &str) -> RpcError {
    // An older revision is spoken, but only with a session: it must not be offered to who just tried it without.
    let is_older = Revision::find(requested).is_some();
    let spoken = Revision::ALL
        .into_iter()
        .filter(|revision| revision.is_stateless() || !is_older);
    let supported: Vec<&str> = spoken.map(Revision::as_str).collect();
    let shown: String = requested.chars().take(100).collect();
    RpcError::new(ErrorCode::UnsupportedVersion, "Unsupported protocol version")
        .with_data(json!({ "supported": supported, "requested": shown }))
}

/// Reads what a request says of itself, and finds its method. `hears` tells whether notices can reach the client before the
/// result. `InvalidParams` means that `_meta` is wrong.
pub(crate) fn prepare<H: Handler>(
    shared: &Shared<H>,
    caller: H::Caller,
    request: Request,
    hears: bool,
) -> Result<Prepared<H::Caller>, RpcError> {
    let Request {
        method, mut params, ..
    } = request;
    let missing = |key| RpcError::invalid_params(format!("`_meta` must hold `{key}`"));
    let mut meta = take_meta(&mut params)?.ok_or_else(|| missing(VERSION_KEY))?;
    match meta.get(VERSION_KEY) {
        Some(Value::String(version)) if Revision::find(version) == Some(REVISION) => {}
        Some(Value::String(version)) => return Err(unsupported_version(version)),
        Some(_) | None => return Err(missing(VERSION_KEY)),
    }
    let Some(Value::Object(capabilities)) = meta.remove(CAPABILITIES_KEY) else {
        return Err(missing(CAPABILITIES_KEY));
    };
    let client = meta.get(CLIENT_KEY).map(Implementation::deserialize).transpose();
    let client =
        client.map_err(|_| RpcError::invalid_params(format!("`{CLIENT_KEY}` needs `name` and `version`")))?;
    let least_level = meta.get(LOG_LEVEL_KEY).map(read_log_level).transpose()?;
    let RequestMeta {
        progress_token,
        trace_parent,
    } = RequestMeta::read(&meta)?;
    let row = MethodRow::find(&method, REVISION).filter(|row| shared.serves(row.method, REVISION));
    let method = row.ok_or_else(|| RpcError::method_not_found(&method))?.method;
    let wants_progress = progress_token.is_some();
    let (outbox, notices) = if hears && (wants_progress || least_level.is_some()) {
        let (sender, receiver) = mpsc::channel(shared.limits.notices.max(1));
        (Outbox::new(sender, wants_progress, least_level), Some(receiver))
    } else {
        (Outbox::default(), None)
    };
    Ok(Prepared {
        invocation: Invocation {
            method,
            params,
            answers: Answers::default(),
        },
        context: Context {
            caller,
            revision: REVISION,
            client,
            capabilities: Capabilities::new(capabilities),
            outbox,
            trace_parent,
        },
        notices,
        writer: NoticeWriter::new(progress_token),
    })
}

/// Carries a request out, all but `subscriptions/listen`; gives the whole result object, as JSON. `source` is the text of the
/// message, read again if the handler asks something.
pub(crate) async fn carry_out<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    mut invocation: Invocation,
    source: &[u8],
) -> Result<String, RpcError> {
    let method = invocation.method;
    let may_ask = matches!(
        method,
        Method::CallTool | Method::GetPrompt | Method::ReadResource
    );
    if may_ask {
        invocation.answers = take_answers(shared, &context.caller, &mut invocation)?;
    }
    match dispatch(shared, context, invocation).await? {
        Outcome::Done(result) => Ok(result),
        Outcome::Asks(questions) if may_ask => {
            check_answerable(&questions, &context.capabilities)?;
            ask(shared, context, method, questions, source)
        }
        Outcome::Asks(_) => Err(RpcError::internal()),
    }
}

fn take_answers<H: Handler>(
    shared: &Shared<H>,
    caller: &H::Caller,
    invocation: &mut Invocation,
) -> Result<Answers, RpcError> {
    let given = take_responses(&mut invocation.params)?.unwrap_or_default();
    let state = match invocation.params.remove("requestState") {
        None => None,
        Some(Value::String(sealed)) => Some(open_state(
            shared,
            caller,
            invocation.method,
            &invocation.params,
            &sealed,
        )?),
        Some(_) => return Err(RpcError::invalid_params("`requestState` must be a string")),
    };
    Ok(Answers { given, state })
}

fn ask<H: Handler>(
    shared: &Shared<H>,
    context: &Context<H::Caller>,
    method: Method,
    mut questions: Questions,
    source: &[u8],
) -> Result<String, RpcError> {
    let sealed = match questions.state.take() {
        None => None,
        Some(state) => {
            let Ok(Message::Request(request)) = jsonrpc::parse(source) else {
                return Err(RpcError::internal());
            };
            Some(seal_state(
                shared,
                &context.caller,
                method,
                &request.params,
                state,
            )?)
        }
    };
    let renderer = Renderer {
        revision: REVISION,
        server_info: &shared.server_info,
    };
    renderer.input_required(&questions, sealed.as_deref())
}
