//! The service of one address.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method as Verb, Request, Response, StatusCode, header};

use crate::{
    handler::Handler,
    http::body::Body,
    shared::{Host, Shared},
};

/// Serves a handler over Streamable HTTP, in every revision.
///
/// The host has checked by now who calls, the `Origin` and the `Host`, and how long the body is. As a [`tower::Service`] it
/// takes the caller out of the request's extensions, where the host has put it.
pub struct McpService<H: Handler> {
    shared: Arc<Shared<H>>,
}

impl<H: Handler> McpService<H> {
    /// Serves what a host brings. Asks the handler once to describe itself.
    #[must_use]
    pub fn new(host: Host<H>) -> Self {
        Self {
            shared: Arc::new(Shared::new(host)),
        }
    }

    /// Answers one request of a caller. Dropping the future, or the body of its response, cancels what was asked for in the
    /// stateless revision.
    pub async fn handle(&self, caller: H::Caller, request: Request<Bytes>) -> Response<Body> {
        let _ = (&self.shared, caller);
        let mut response = Response::new(Body::empty());
        if request.method() != Verb::POST {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response
                .headers_mut()
                .insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        } else {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        response
    }
}

impl<H: Handler> Clone for McpService<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<H: Handler> fmt::Debug for McpService<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("McpService")
    }
}

impl<H: Handler> tower::Service<Request<Bytes>> for McpService<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Bytes>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let Some(caller) = request.extensions_mut().remove::<H::Caller>() else {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                return Ok(response);
            };
            Ok(service.handle(caller, request).await)
        })
    }
}
