//! One request of the older revisions, from its parameters to its response.

use std::{
    future::{Future as _, pending, poll_fn},
    panic::AssertUnwindSafe,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{Said, ask::Asker, session::Session};
use crate::{
    context::{Context, LogLevel, Outbox, OutboxNotice},
    dispatch::{Invocation, Outcome, dispatch},
    error::{ErrorCode, RpcError},
    handler::{Handler, SubscriptionFilter},
    jsonrpc::{Id, Request, error_message, result_message},
    methods::{Method, MethodRow},
    notice::NoticeWriter,
    params::{RequestMeta, read_log_level, take_meta, take_text},
    question::Answers,
    sessions::{Full, Weight},
    shared::Shared,
};

/// How often one request may ask before it counts as going round in circles.
const MAX_ROUNDS: usize = 16;
/// What a client hears that has set no level.
const DEFAULT_LEVEL: LogLevel = LogLevel::Info;

/// Serves the requests of one session.
pub(crate) struct Desk<H: Handler> {
    /// What serves them.
    pub(crate) shared: Arc<Shared<H>>,
    /// Whose they are.
    pub(crate) session: Arc<Session>,
    /// On whose behalf.
    pub(crate) caller: H::Caller,
    /// The least level of log messages that the session wants, if it ever said.
    pub(crate) log_level: Option<LogLevel>,
}

impl<H: Handler> Clone for Desk<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            session: Arc::clone(&self.session),
            caller: self.caller.clone(),
            log_level: self.log_level,
        }
    }
}

impl<H: Handler> Desk<H> {
    /// Serves a request as [`Self::respond`] does; `None` when it is cancelled before it has its response. When the host
    /// can't wait any longer, the response says that.
    pub(crate) async fn respond_unless_cancelled(
        self,
        request: Request,
        said: Option<mpsc::Sender<Said>>,
    ) -> Option<String> {
        let sessions = Arc::clone(&self.shared.sessions);
        let (session, name) = (self.session.key, running_name(&request.id));
        let (id, revision) = (request.id.clone(), self.session.revision);
        let cut_off = self.shared.cut_off.clone();
        let responding = self.respond(request, said);
        tokio::pin!(responding);
        // Most requests are answered without waiting; only those that wait can be cancelled.
        let at_once = poll_fn(|context| Poll::Ready(responding.as_mut().poll(context))).await;
        if let Poll::Ready(response) = at_once {
            return Some(response);
        }
        let cancelled = async {
            let is_told = match sessions.run(session, &name).await {
                Ok(told) => told.await.is_ok(),
                Err(_) => false,
            };
            if !is_told {
                // Too many run, or the session was forgotten: this one can't be cancelled.
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            response = responding.as_mut() => Some(response),
            () = cancelled => None,
            () = cut_off.cancelled() => Some(error_message(Some(&id), &RpcError::stopping(), revision)),
        }
    }

    /// Serves a request; what is to be said before the response goes to `said`, if there is a way to say it.
    /// One that panics is answered with an error.
    pub(crate) async fn respond(self, request: Request, said: Option<mpsc::Sender<Said>>) -> String {
        let revision = self.session.revision;
        let Request { id, method, params } = request;
        let served = AssertUnwindSafe(self.serve(&method, params, said))
            .catch_unwind()
            .await;
        match served.unwrap_or_else(|_panic| Err(RpcError::internal())) {
            Ok(result) => result_message(&id, &result),
            Err(error) => error_message(Some(&id), &error, revision),
        }
    }

    async fn serve(
        &self,
        method: &str,
        mut params: Map<String, Value>,
        said: Option<mpsc::Sender<Said>>,
    ) -> Result<String, RpcError> {
        let row = MethodRow::find(method, self.session.revision);
        let row = row.filter(|row| self.shared.serves(row.method, self.session.revision));
        let row = row.ok_or_else(|| RpcError::method_not_found(method))?;
        let meta = take_meta(&mut params)?;
        let meta = meta
            .as_ref()
            .map(RequestMeta::read)
            .transpose()?
            .unwrap_or_default();
        match row.method {
            Method::Initialize => {
                let message = "this session is initialized; `initialize` begins another, by itself and without a session id";
                Err(RpcError::new(ErrorCode::InvalidRequest, message))
            }
            Method::SetLogLevel => self.set_log_level(&params).await,
            Method::SubscribeResource => self.subscribe(params, meta).await,
            Method::UnsubscribeResource => {
                let uri = take_text(&mut params, "uri")?;
                self.shared.sessions.unsubscribe(self.session.key, &uri).await;
                Ok("{}".to_owned())
            }
            called @ (Method::Discover
            | Method::Ping
            | Method::ListTools
            | Method::CallTool
            | Method::ListPrompts
            | Method::GetPrompt
            | Method::ListResources
            | Method::ListResourceTemplates
            | Method::ReadResource
            | Method::Complete
            | Method::Listen
            | Method::GetTask
            | Method::AnswerTask
            | Method::CancelTask) => self.call(called, params, meta, said).await,
        }
    }

    async fn call(
        &self,
        method: Method,
        params: Map<String, Value>,
        meta: RequestMeta,
        said: Option<mpsc::Sender<Said>>,
    ) -> Result<String, RpcError> {
        let Some(said) = said else {
            let context = self.context(Outbox::default(), meta.trace_parent);
            return self.converse(&context, (method, params), None).await;
        };
        let (sender, mut notices) = mpsc::channel(self.shared.limits.notices.max(1));
        let least_level = Some(self.log_level.unwrap_or(DEFAULT_LEVEL));
        let outbox = Outbox::new(sender, meta.progress_token.is_some(), least_level);
        let mut writer = NoticeWriter::new(meta.progress_token);
        let context = self.context(outbox, meta.trace_parent);
        let result = {
            let conversation = self.converse(&context, (method, params), Some(&said));
            tokio::pin!(conversation);
            loop {
                tokio::select! {
                    biased;
                    Some(notice) = notices.recv() => say(&said, &mut writer, &notice).await,
                    result = &mut conversation => break result,
                }
            }
        };
        while let Ok(notice) = notices.try_recv() {
            say(&said, &mut writer, &notice).await;
        }
        result
    }

    /// Calls the handler until it asks nothing more.
    async fn converse(
        &self,
        context: &Context<H::Caller>,
        (method, params): (Method, Map<String, Value>),
        said: Option<&mpsc::Sender<Said>>,
    ) -> Result<String, RpcError> {
        let shared = &*self.shared;
        // A client that can answer nothing is asked nothing, and the parameters aren't needed again.
        let can_answer = !context.capabilities.said().is_empty();
        let again = can_answer.then(|| params.clone());
        let mut params = params;
        let mut answers = Answers::default();
        for _ in 0..MAX_ROUNDS {
            let invocation = Invocation {
                method,
                params,
                answers,
            };
            let questions = match dispatch(shared, context, invocation).await? {
                Outcome::Done(result) => return Ok(result),
                Outcome::Asks(questions) => questions,
            };
            let session = &*self.session;
            let asker = Asker {
                shared,
                session,
                said,
            };
            answers = asker.ask(questions).await?;
            params = again.clone().unwrap_or_default();
        }
        Err(RpcError::new(ErrorCode::Internal, "this asks without end"))
    }

    async fn set_log_level(&self, params: &Map<String, Value>) -> Result<String, RpcError> {
        let level = read_log_level(params.get("level").unwrap_or(&Value::Null))?;
        let set = self.shared.sessions.set_log_level(self.session.key, level).await;
        set.map_err(no_room)?;
        Ok("{}".to_owned())
    }

    async fn subscribe(&self, mut params: Map<String, Value>, meta: RequestMeta) -> Result<String, RpcError> {
        let uri = take_text(&mut params, "uri")?;
        let context = self.context(Outbox::default(), meta.trace_parent);
        let filter = SubscriptionFilter {
            uris: vec![uri.clone()],
            ..SubscriptionFilter::default()
        };
        let (honoured, _) = self.shared.handler.listen(&context, filter).await?;
        if !honoured.uris.contains(&uri) {
            let error = RpcError::new(ErrorCode::ResourceNotFound, "Resource not found");
            return Err(error.with_data(json!({ "uri": uri })));
        }
        let subscribed = self.shared.sessions.subscribe(self.session.key, &uri).await;
        subscribed.map_err(no_room)?;
        Ok("{}".to_owned())
    }

    /// What a handler knows of a request in this session.
    pub(crate) fn context(&self, outbox: Outbox, trace_parent: Option<String>) -> Context<H::Caller> {
        Context {
            caller: self.caller.clone(),
            revision: self.session.revision,
            client: self.session.client.clone(),
            capabilities: self.session.capabilities.clone(),
            outbox,
            trace_parent,
        }
    }
}

/// What a request is called among those that run: `1` and `"1"` are two.
pub(crate) fn running_name(id: &Id) -> String {
    match id {
        Id::Integer(number) => number.to_string(),
        Id::Text(text) => format!("\"{text}"),
    }
}

fn no_room(full: Full) -> RpcError {
    RpcError::new(ErrorCode::Internal, full.to_string())
}

async fn say(said: &mpsc::Sender<Said>, writer: &mut NoticeWriter, notice: &OutboxNotice) {
    let Some(message) = writer.write(notice) else {
        return;
    };
    let said = said.send(Said {
        weight: Weight::Notice,
        message: Bytes::from(message),
    });
    // Nobody hears it any more.
    let _gone = said.await;
}
