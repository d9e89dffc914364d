//! The one layer around every route.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderValue, Version, header};
use model::{Error, ErrorCode};
use tokio::time::timeout;
use tower::{Layer, Service};

use super::{
    exchange::Exchange,
    headers::{Prepared, tell_limit},
    origin::{Reader, answer_preflight, check_client_origin, check_host, check_origin, is_preflight},
};
use crate::{
    failure::Failure,
    mcp,
    request::{Link, RequestContext},
    state::AppState,
};

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Puts the edge around a route.
#[derive(Clone)]
pub(super) struct Edge {
    state: AppState,
    prepared: Arc<Prepared>,
}

/// A route with the edge around it.
#[derive(Clone)]
pub(super) struct Edged<S> {
    edge: Edge,
    route: S,
}

impl Edge {
    pub(super) fn new(state: AppState) -> Self {
        let prepared = Arc::new(Prepared::new(state.ids()));
        Self { state, prepared }
    }
}

impl<S> Layer<S> for Edge {
    type Service = Edged<S>;

    fn layer(&self, route: S) -> Edged<S> {
        Edged {
            edge: self.clone(),
            route,
        }
    }
}

impl<S> Service<Request> for Edged<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let ready = self.route.clone();
        let route = std::mem::replace(&mut self.route, ready);
        Box::pin(handle(self.edge.clone(), route, request).map(Ok))
    }
}

/// Takes a request through the edge to its route, and the answer back.
async fn handle<S>(edge: Edge, route: S, mut request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible> + Send,
    S::Future: Send,
{
    let Edge { state, prepared } = edge;
    let link = request.extensions().get::<Arc<Link>>().map(Arc::clone);
    let peer = link
        .as_ref()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |link| link.peer());
    let id = prepared.request_id(request.headers());
    let context = Arc::new(RequestContext::new(id, peer));
    let template = request.extensions().get::<MatchedPath>().cloned();
    let what = (request.method().clone(), template);
    let exchange = Exchange::begin(state.clone(), Arc::clone(&context), link, what);
    request.extensions_mut().insert(Arc::clone(&context));
    let version = request.version();

    let (mut response, reader) = match admit(&request, &state) {
        Ok(reader) if is_preflight(request.method(), request.headers()) => {
            (answer_preflight(reader.as_ref(), request.headers()), reader)
        }
        Ok(reader) => (run(&state, &context, route, request).await, reader),
        Err(error) => (Failure::from(error).into_response(), None),
    };

    let mut must_close = state.stopping().is_cancelled();
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        exchange.log_failure(&failure);
        must_close |= failure.ends_connection();
        response = failure.into_answer(context.id());
    }
    if must_close && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    if let Some(reader) = reader {
        reader.admit(response.headers_mut());
    }
    if let Some(decision) = context.decision() {
        tell_limit(response.headers_mut(), &decision);
    }
    prepared.complete(response.headers_mut(), context.id_header().clone());
    exchange.answer(response.status());
    response
}

/// Refuses what was sent to another host, or by a page of another origin.
fn admit(request: &Request, state: &AppState) -> model::Result<Option<Reader>> {
    let (uri, headers) = (request.uri(), request.headers());
    check_host(uri, request.version(), headers, state.edge())?;
    if uri.path() == mcp::PATH {
        return check_client_origin(uri, headers, state.edge());
    }
    check_origin(request.method(), uri, headers, state.edge())
}

/// Runs a route within its time, and the time for which the caller asked to wait. Whatever becomes of it, there is
/// an answer.
async fn run<S>(state: &AppState, context: &RequestContext, mut route: S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible> + Send,
    S::Future: Send,
{
    let work = AssertUnwindSafe(async move {
        match route.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    });
    let mut work = pin!(work.catch_unwind());
    let mut done = timeout(state.edge().request_timeout, &mut work).await;
    if done.is_err() && !context.wait().is_zero() {
        done = timeout(context.wait(), work).await;
    }
    match done {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            // The message and the place of the panic are in the log already.
            state.metrics().count_panic();
            Failure::from(Error::bug("a handler panicked")).into_response()
        }
        Err(_) => {
            let message = "the request took longer than this server allows";
            Failure::from(Error::new(ErrorCode::RequestTimedOut, message)).into_response()
        }
    }
}
