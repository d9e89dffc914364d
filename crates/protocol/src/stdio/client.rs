//! The one client of a pair of byte streams: what it sends, and what runs for it.

use std::{collections::HashMap, io, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::{
    io::AsyncRead,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{
    GRACE,
    lines::{Line, LineReader},
};
use crate::{
    context::OutboxNotice,
    error::{ErrorCode, RpcError},
    handler::Handler,
    jsonrpc::{self, Id, Message, Notification, Request, error_message, result_message},
    legacy::{Desk, Listener, Said, initialize, respond_to_batch, running_name, take},
    methods::Method,
    revision::Revision,
    sessions::Weight,
    shared::Shared,
    stateless::{Prepared, carry_out, declared_version, prepare},
    subscription::Subscription,
};

const STATELESS: Revision = Revision::V2026_07_28;
/// How many requests run side by side.
const MAX_RUNNING: usize = 256;

/// Serves what a client sends.
pub(super) struct Client<H: Handler> {
    shared: Arc<Shared<H>>,
    caller: H::Caller,
    lines: Lines,
    session: Option<Desk<H>>,
    tasks: JoinSet<()>,
    running: HashMap<String, Vec<AbortHandle>>,
}

/// Leads to the client.
#[derive(Clone)]
struct Lines(mpsc::Sender<Said>);

impl Lines {
    async fn send(&self, message: impl Into<Bytes>) {
        let message = message.into();
        let weight = Weight::Message;
        // When nothing can be written any more, all is about to end.
        let _gone = self.0.send(Said { weight, message }).await;
    }
}

impl<H: Handler> Client<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, caller: H::Caller, lines: mpsc::Sender<Said>) -> Self {
        Self {
            shared,
            caller,
            lines: Lines(lines),
            session: None,
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Serves line after line, until there are no more or the host is about to stop.
    pub(super) async fn attend<R: AsyncRead + Unpin>(mut self, mut reader: LineReader<R>) -> io::Result<()> {
        let stop = self.shared.stop.clone();
        let end = loop {
            let line = tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(_) = self.tasks.join_next() => continue,
                line = reader.next() => line,
            };
            match line {
                Ok(Line::Text(line)) => self.take(line).await,
                Ok(Line::TooLong) => {
                    let error = RpcError::new(ErrorCode::InvalidRequest, "a line holds 4 MiB at most");
                    self.refuse(None, &error).await;
                }
                Ok(Line::End) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Ends what waits for the client: nobody answers, and nobody listens any more.
        stop.cancel();
        if let Some(desk) = self.session.take() {
            self.shared
                .sessions
                .end(desk.session.key, desk.session.expires_at)
                .await;
        }
        let finishing = async { while self.tasks.join_next().await.is_some() {} };
        let _unfinished = tokio::time::timeout(GRACE, finishing).await;
        end
    }

    async fn take(&mut self, line: Bytes) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if jsonrpc::is_batch(&line) {
            return self.take_batch(&line).await;
        }
        match jsonrpc::parse(&line) {
            Err(refusal) => self.refuse(refusal.id.as_ref(), &refusal.error).await,
            Ok(Message::Request(request)) => self.take_request(request, line).await,
            Ok(Message::Notification(notification)) => self.take_notification(notification).await,
            Ok(message @ Message::Response(_)) => {
                if let Some(desk) = &self.session {
                    // One that comes too late has nobody to tell.
                    let _unknown = take(desk, message).await;
                }
            }
        }
    }

    async fn take_request(&mut self, request: Request, line: Bytes) {
        if declared_version(&request.params).is_some() {
            return self.run_stateless(request, line).await;
        }
        if request.method == "initialize" {
            return self.begin(&request).await;
        }
        if let Some(desk) = self.session.clone() {
            let (id, lines) = (request.id.clone(), self.lines.clone());
            return self
                .run(&id, async move { respond(desk, request, lines).await })
                .await;
        }
        if request.method == "ping" {
            // The one request that may come before `initialize`.
            return self.lines.send(result_message(&request.id, "{}")).await;
        }
        self.run_stateless(request, line).await;
    }

    async fn run_stateless(&mut self, request: Request, line: Bytes) {
        let (id, lines) = (request.id.clone(), self.lines.clone());
        let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
        let answering = async move { answer(&shared, caller, (request, line), &lines).await };
        self.run(&id, answering).await;
    }

    /// Begins a session in place of the one before.
    async fn begin(&mut self, request: &Request) {
        match initialize(&self.shared, &request.params) {
            Ok((session, result)) => {
                let desk = Desk {
                    shared: Arc::clone(&self.shared),
                    session: Arc::new(session),
                    caller: self.caller.clone(),
                    log_level: None,
                };
                if let Some(before) = self.session.replace(desk) {
                    let before = &before.session;
                    self.shared.sessions.end(before.key, before.expires_at).await;
                }
                self.lines.send(result_message(&request.id, &result)).await;
            }
            Err(error) => self.refuse(Some(&request.id), &error).await,
        }
    }

    async fn take_notification(&mut self, notification: Notification) {
        match notification.method.as_str() {
            "notifications/cancelled" => {
                let id = notification.params.get("requestId").and_then(Id::read);
                if let Some(name) = id.as_ref().map(running_name) {
                    self.cancel(&name).await;
                }
            }
            "notifications/initialized" => {
                let Some(desk) = self.session.clone() else {
                    return;
                };
                let lines = self.lines.clone();
                self.tasks.spawn(async move {
                    let Ok(mut listener) = Listener::begin(desk).await else {
                        return;
                    };
                    while let Some(message) = listener.message().await {
                        lines.send(message).await;
                    }
                });
            }
            _ => {}
        }
    }

    async fn cancel(&mut self, name: &str) {
        for task in self.running.remove(name).unwrap_or_default() {
            task.abort();
        }
        if let Some(desk) = &self.session {
            // The requests of a batch are one task, of which one part is cancelled.
            self.shared.sessions.cancel(desk.session.key, name).await;
        }
    }

    async fn take_batch(&mut self, line: &[u8]) {
        let session = self.session.clone();
        let Some(desk) = session.filter(|desk| desk.session.revision == Revision::V2025_03_26) else {
            let error = RpcError::new(
                ErrorCode::InvalidRequest,
                "batches are not taken here: send one message",
            );
            return self.refuse(None, &error).await;
        };
        let batch = match jsonrpc::parse_batch(line) {
            Ok(batch) => batch,
            Err(refusal) => return self.refuse(refusal.id.as_ref(), &refusal.error).await,
        };
        if self.tasks.len() >= MAX_RUNNING {
            return self.refuse(None, &too_many()).await;
        }
        let lines = self.lines.clone();
        let desk = with_log_level(desk).await;
        if let Some(responses) = respond_to_batch(&desk, batch, Some(lines.0.clone())).await {
            self.tasks.spawn(async move {
                let responses = responses.await;
                if !responses.is_empty() {
                    lines.send(responses).await;
                }
            });
        }
    }

    /// Runs a request beside the others, so that it can be cancelled.
    async fn run(&mut self, id: &Id, request: impl Future<Output = ()> + Send + 'static) {
        if self.tasks.len() >= MAX_RUNNING {
            return self.refuse(Some(id), &too_many()).await;
        }
        if self.running.len() >= 2 * MAX_RUNNING {
            self.running.retain(|_, tasks| {
                tasks.retain(|task| !task.is_finished());
                !tasks.is_empty()
            });
        }
        let (lines, revision) = (self.lines.clone(), self.revision());
        let failed = error_message(Some(id), &RpcError::internal(), revision);
        let task = self.tasks.spawn(async move {
            if AssertUnwindSafe(request).catch_unwind().await.is_err() {
                lines.send(failed).await;
            }
        });
        let tasks = self.running.entry(running_name(id)).or_default();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    async fn refuse(&self, id: Option<&Id>, error: &RpcError) {
        self.lines.send(error_message(id, error, self.revision())).await;
    }

    fn revision(&self) -> Revision {
        self.session
            .as_ref()
            .map_or(STATELESS, |desk| desk.session.revision)
    }
}

fn too_many() -> RpcError {
    RpcError::new(
        ErrorCode::Internal,
        format!("{MAX_RUNNING} requests run already: wait for one of them"),
    )
}

/// The desk with the level that the session has set meanwhile.
async fn with_log_level<H: Handler>(desk: Desk<H>) -> Desk<H> {
    let standing = desk.shared.sessions.standing(desk.session.key).await;
    Desk {
        log_level: standing.log_level,
        ..desk
    }
}

/// Answers a request of the session.
async fn respond<H: Handler>(desk: Desk<H>, request: Request, lines: Lines) {
    let desk = with_log_level(desk).await;
    let response = desk.respond(request, Some(lines.0.clone())).await;
    lines.send(response).await;
}

/// Answers a stateless request.
async fn answer<H: Handler>(
    shared: &Shared<H>,
    caller: H::Caller,
    (request, line): (Request, Bytes),
    lines: &Lines,
) {
    let id = request.id.clone();
    let answered = match prepare(shared, caller, request, true) {
        Ok(prepared) if prepared.invocation.method == Method::Listen => {
            listen(shared, prepared, id.clone(), lines).await
        }
        Ok(prepared) => call(shared, prepared, &line, lines).await.map(Some),
        Err(error) => Err(error),
    };
    match answered {
        Ok(Some(result)) => lines.send(result_message(&id, &result)).await,
        Ok(None) => {}
        Err(error) => lines.send(error_message(Some(&id), &error, STATELESS)).await,
    }
}

/// Tells of changes, to the end; the subscription writes its own result.
async fn listen<H: Handler>(
    shared: &Shared<H>,
    prepared: Prepared<H::Caller>,
    id: Id,
    lines: &Lines,
) -> Result<Option<String>, RpcError> {
    let Prepared {
        invocation, context, ..
    } = prepared;
    let opened = Subscription::open(shared, &context, id, invocation.params).await;
    let mut subscription = opened.map_err(|not_opened| not_opened.error)?;
    while let Some(message) = subscription.next().await {
        lines.send(message).await;
    }
    Ok(None)
}

/// Calls, and says what the handler says before its result.
async fn call<H: Handler>(
    shared: &Shared<H>,
    prepared: Prepared<H::Caller>,
    line: &[u8],
    lines: &Lines,
) -> Result<String, RpcError> {
    let Prepared {
        invocation,
        context,
        notices,
        mut writer,
    } = prepared;
    let carried_out = carry_out(shared, &context, invocation, line);
    let Some(mut notices) = notices else {
        return carried_out.await;
    };
    let mut write = |notice: OutboxNotice| writer.write(&notice);
    let result = {
        tokio::pin!(carried_out);
        loop {
            let notice = tokio::select! {
                biased;
                Some(notice) = notices.recv() => notice,
                result = &mut carried_out => break result,
            };
            if let Some(message) = write(notice) {
                lines.send(message).await;
            }
        }
    };
    while let Ok(notice) = notices.try_recv() {
        if let Some(message) = write(notice) {
            lines.send(message).await;
        }
    }
    result
}
