//! The same request sent twice is done once: `Idempotency-Key`.

use std::{fmt, future::Future, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use engine::{Answer, IdempotencyClaim, IdempotencyTicket, IdempotentRequest, Reservation, WhenBegun};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use model::{Error, ErrorCode, ErrorKind, Principal};
use serde::de::DeserializeOwned;

use crate::{
    extract::{Json, OptionalJson, RawJson},
    failure::{Failure, JSON},
    request::RequestContext,
    state::AppState,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A body that can be told apart from another one: [`Json`], [`OptionalJson`] or [`NoBody`].
pub trait RepeatableBody: Sized + Send + 'static {
    /// Reads the body, and gives its bytes besides.
    ///
    /// # Errors
    /// Why it isn't accepted.
    fn read(
        request: Request,
        state: &AppState,
    ) -> impl Future<Output = Result<(Self, Bytes), Failure>> + Send;
}

/// No body: a request that says all with its path.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

impl<T: DeserializeOwned + Send + 'static> RepeatableBody for Json<T> {
    async fn read(request: Request, state: &AppState) -> Result<(Self, Bytes), Failure> {
        let RawJson { value, bytes } = RawJson::read(request, state).await?;
        let message = "the body is empty; JSON is needed";
        let value = value.ok_or_else(|| Error::new(ErrorCode::MalformedJson, message))?;
        Ok((Self(value), bytes))
    }
}

impl<T: DeserializeOwned + Send + 'static> RepeatableBody for OptionalJson<T> {
    async fn read(request: Request, state: &AppState) -> Result<(Self, Bytes), Failure> {
        let RawJson { value, bytes } = RawJson::read(request, state).await?;
        Ok((Self(value), bytes))
    }
}

impl RepeatableBody for NoBody {
    async fn read(_: Request, _: &AppState) -> Result<(Self, Bytes), Failure> {
        Ok((Self, Bytes::new()))
    }
}

/// A body, and the key under which the caller may repeat the request.
pub struct Idempotent<B> {
    body: B,
    bytes: Bytes,
    key: Option<String>,
    context: Arc<RequestContext>,
    state: AppState,
}

impl<B: RepeatableBody> FromRequest<AppState> for Idempotent<B> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Failure> {
        let key = read_key(request.headers())?;
        let (parts, body) = request.into_parts();
        let context = Arc::clone(RequestContext::of(&parts)?);
        let (body, bytes) = B::read(Request::from_parts(parts, body), state).await?;
        Ok(Self {
            body,
            bytes,
            key,
            context,
            state: state.clone(),
        })
    }
}

impl<B: RepeatableBody> Idempotent<B> {
    /// Says what the path names: with another one, it is another request.
    #[must_use]
    pub fn about(self, thing: impl fmt::Display) -> Self {
        // No thing that a path names has a line end.
        let bytes = [thing.to_string().as_bytes(), b"\n", &self.bytes].concat();
        Self {
            bytes: bytes.into(),
            ..self
        }
    }

    /// Does `work` once for each key, and gives its first answer again to the same request.
    ///
    /// Answers below 500 are kept for 24 hours, except 401, 403, 408 and 429, which say nothing of the work; after
    /// any other the key can be used again. With a key, the work goes on when the caller leaves: its answer waits
    /// for the repeated request. Without a key, it is done at once and ends with the caller.
    ///
    /// `route` names the route; it is the same for all its paths.
    pub async fn once<W, F, R>(
        self,
        route: &'static str,
        principal: Option<Arc<Principal>>,
        work: W,
    ) -> Response
    where
        W: FnOnce(B) -> F + Send + 'static,
        F: Future<Output = Result<R, Failure>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        let work = move |body, _reservation| work(body);
        self.answer(WhenBegun::Refuse, (route, principal), work).await
    }

    /// As [`Self::once`], for work whose every effect is named by the reservation that it gets with a key: when the
    /// first request has no recorded answer since the process died, say, a repeated one does the work again and
    /// comes to the same, and is not told for a day that its key is in use. Answers of 500 and above aren't kept.
    pub async fn once_by_name<W, F, R>(
        self,
        route: &'static str,
        principal: Option<Arc<Principal>>,
        work: W,
    ) -> Response
    where
        W: FnOnce(B, Option<Reservation>) -> F + Send + 'static,
        F: Future<Output = Result<R, Failure>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.answer(WhenBegun::Resume, (route, principal), work).await
    }

    async fn answer<W, F, R>(
        self,
        when_begun: WhenBegun,
        (route, principal): (&'static str, Option<Arc<Principal>>),
        work: W,
    ) -> Response
    where
        W: FnOnce(B, Option<Reservation>) -> F + Send + 'static,
        F: Future<Output = Result<R, Failure>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        let Some(key) = self.key else {
            return work(self.body, None).await.into_response();
        };
        let claimed = Claimed {
            when_begun,
            route,
            principal,
            key,
            bytes: self.bytes,
            context: self.context,
            state: self.state,
        };
        let tasks = claimed.state.tasks().clone();
        let body = self.body;
        let done = tasks.spawn(async move {
            let work = async move |reservation| work(body, Some(reservation)).await.into_response();
            let answered = claimed.run(work).await;
            answered.unwrap_or_else(Failure::into_response)
        });
        done.await
            .unwrap_or_else(|error| Failure::from(Error::bug(error)).into_response())
    }
}

/// A request under a key.
struct Claimed {
    when_begun: WhenBegun,
    route: &'static str,
    principal: Option<Arc<Principal>>,
    key: String,
    bytes: Bytes,
    context: Arc<RequestContext>,
    state: AppState,
}

impl Claimed {
    async fn run<F>(self, work: impl FnOnce(Reservation) -> F) -> Result<Response, Failure>
    where
        F: Future<Output = Response> + Send,
    {
        let request = IdempotentRequest {
            principal: self.principal.as_deref(),
            route: self.route,
            key: &self.key,
            body: &self.bytes,
            when_begun: self.when_begun,
        };
        let ticket = match self.state.engine().claim_idempotent_request(request).await? {
            IdempotencyClaim::Answered(answer) => return Ok(replay(answer)),
            IdempotencyClaim::Fresh(ticket) => ticket,
        };
        let response = AssertUnwindSafe(work(ticket.reservation()))
            .catch_unwind()
            .await
            .unwrap_or_else(|_panic| {
                self.state.metrics().count_panic();
                Failure::from(Error::bug("the work of a repeatable request panicked")).into_response()
            });
        if !self.is_kept(&response) {
            self.settle(ticket, None).await;
            return Ok(response);
        }
        let (answer, response) = self.record(response).await?;
        self.settle(ticket, Some(&answer)).await;
        Ok(response)
    }

    /// Tells whether the answer is given again to a repeated request.
    fn is_kept(&self, response: &Response) -> bool {
        let can_be_resumed = self.when_begun == WhenBegun::Resume;
        let is_done = !(can_be_resumed && response.status().is_server_error());
        is_done && stands_for_what_was_done(response)
    }

    /// Takes down what the caller is about to get.
    async fn record(&self, response: Response) -> Result<(Answer, Response), Failure> {
        let status = response.status().as_u16();
        if let Some(failure) = response.extensions().get::<Failure>() {
            return Ok((
                Answer {
                    status,
                    location: None,
                    body: failure.body(self.context.id()),
                },
                response,
            ));
        }
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.map_err(Error::bug)?;
        let location = parts.headers.get(header::LOCATION);
        let answer = Answer {
            status,
            location: location.and_then(|path| path.to_str().ok()).map(str::to_owned),
            body: bytes.to_vec(),
        };
        Ok((answer, Response::from_parts(parts, bytes.into())))
    }

    async fn settle(&self, ticket: IdempotencyTicket, answer: Option<&Answer>) {
        // The work is done, so its caller gets the answer all the same; a repeated request is told to wait.
        if let Err(error) = self
            .state
            .engine()
            .settle_idempotent_request(ticket, answer)
            .await
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                request_id = self.context.id(),
                "an idempotency key could not be settled"
            );
        }
    }
}

fn read_key(headers: &HeaderMap) -> model::Result<Option<String>> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(first) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        let message = "the header Idempotency-Key was sent more than once";
        return Err(Error::new(ErrorCode::MalformedRequest, message));
    }
    let text = first.to_str().map_err(|_| {
        Error::new(
            ErrorCode::MalformedRequest,
            "the header Idempotency-Key must be visible ASCII",
        )
    })?;
    Ok(Some(text.to_owned()))
}

/// Tells whether an answer stands for what was done. One that says that nothing was done, for a reason that may
/// pass, doesn't: the key is given back. After any other failure the work may have had its effect, and isn't
/// done again.
fn stands_for_what_was_done(response: &Response) -> bool {
    let Some(failure) = response.extensions().get::<Failure>() else {
        return true;
    };
    let error = failure.error();
    match error.kind() {
        ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::TooSlow
        | ErrorKind::RateLimited
        | ErrorKind::PluginUnavailable => false,
        ErrorKind::Unavailable => error.code() == ErrorCode::Interrupted,
        ErrorKind::Malformed
        | ErrorKind::NotFound
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Misdirected
        | ErrorKind::Invalid
        | ErrorKind::PluginFailed
        | ErrorKind::TimedOut
        | ErrorKind::Cancelled
        | ErrorKind::Bug => true,
    }
}

fn replay(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        (header::CONTENT_TYPE, JSON),
        (IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")),
    ];
    let mut response = (status, headers, answer.body).into_response();
    if let Some(place) = answer.location.and_then(|path| HeaderValue::try_from(path).ok()) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}
