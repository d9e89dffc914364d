//! A request and its answer as one thing that is counted and written to the log, whatever becomes of it.

use std::{error::Error as _, fmt, sync::Arc, time::Instant};

use axum::extract::MatchedPath;
use http::{Method, StatusCode};
use model::{Credential, ErrorKind, Principal};

use crate::{
    failure::Failure,
    metrics::UNMATCHED,
    request::{Link, RequestContext},
    state::AppState,
};

/// A request that is being worked on. When it is dropped without an answer, its caller has left.
pub(super) struct Exchange {
    state: AppState,
    context: Arc<RequestContext>,
    link: Option<Arc<Link>>,
    route: Option<MatchedPath>,
    method: Method,
    started: Instant,
    is_answered: bool,
}

impl Exchange {
    /// Begins to count a request.
    pub(super) fn begin(
        state: AppState,
        context: Arc<RequestContext>,
        link: Option<Arc<Link>>,
        (method, route): (Method, Option<MatchedPath>),
    ) -> Self {
        state.metrics().begin_request();
        if let Some(link) = &link {
            link.note_begun();
        }
        Self {
            state,
            context,
            link,
            route,
            method,
            started: Instant::now(),
            is_answered: false,
        }
    }

    /// Ends it with an answer.
    pub(super) fn answer(mut self, status: StatusCode) {
        self.is_answered = true;
        self.end(status.as_u16(), status);
    }

    /// Writes a failure to the log, once, with its causes: those that someone must act on as errors.
    pub(super) fn log_failure(&self, failure: &Failure) {
        let error = failure.error();
        let (code, request_id, cause) = (error.code().as_str(), self.context.id(), Causes(error));
        let kind = error.kind();
        if kind == ErrorKind::Bug {
            tracing::error!(code, request_id, %cause, "a request failed by a defect");
        } else if kind == ErrorKind::Unavailable {
            tracing::warn!(code, request_id, %cause, "a request could not be served");
        } else if error.source().is_some() {
            tracing::debug!(code, request_id, %cause, "a request was refused");
        }
    }

    fn end(&self, status: u16, counted: StatusCode) {
        let took = self.started.elapsed();
        let route = self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        self.state
            .metrics()
            .end_request(route, &self.method, counted, took);
        if let Some(link) = &self.link {
            link.note_ended();
        }
        if tracing::enabled!(tracing::Level::INFO) {
            let principal = self.context.principal();
            let rpc = self.context.rpc();
            tracing::info!(
                request_id = self.context.id(),
                principal = %Who(principal.as_deref()),
                method = %Shown(&self.method),
                route,
                status,
                mcp_method = rpc.method,
                mcp_name = rpc.name,
                mcp_error = rpc.error,
                duration_ms = took.as_micros() as f64 / 1e3,
                "request"
            );
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_answered {
            // nginx's number for a client that closed the connection before its answer; nobody is sent it.
            const LEFT: u16 = 499;
            self.end(LEFT, StatusCode::from_u16(LEFT).unwrap_or_default());
        }
    }
}

/// An error with all its causes, in one line.
struct Causes<'a>(&'a model::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Who asked, by kind and id.
struct Who<'a>(Option<&'a Principal>);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(principal) = self.0 else {
            return f.write_str("anonymous");
        };
        match (principal.credential, principal.user_id()) {
            (Credential::Key(key), Some(user)) => write!(f, "user:{user} key:{key}"),
            (_, Some(user)) => write!(f, "user:{user}"),
            (_, None) => f.write_str("admin-key"),
        }
    }
}

/// A method, cut when a stranger made it up.
struct Shown<'a>(&'a Method);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 16;
        f.write_str(self.0.as_str().get(..MAX_BYTES).unwrap_or(self.0.as_str()))
    }
}
