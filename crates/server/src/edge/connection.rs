//! One connection: HTTP/1.1 or HTTP/2 on a socket, within limits, and an end to it.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::Response, routing::future::RouteFuture};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::TcpStream,
    select,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::socket::Socket;
use crate::request::Link;

/// Most bytes of a request's head, and of what is buffered of a body.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Most requests at one time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// How often a connection is looked at.
const TICK: Duration = Duration::from_secs(5);

/// How many quiet ticks a connection may wait for its first request, or for the rest of a head: 10 to 15 seconds.
const HEAD_TICKS: u32 = 2;

/// How many quiet ticks a connection may wait for its next request: longer than the minute after which most proxies
/// close theirs, so that they don't send a request into a closing connection.
const IDLE_TICKS: u32 = 15;

/// How long a connection may still bring a request after the server was told to stop; the answer then closes it.
const STOP_LINGER: Duration = Duration::from_millis(500);

/// How connections are told to end.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// In order: no further requests.
    pub(super) stop: CancellationToken,
    /// At once, after they were told to stop.
    pub(super) abort: CancellationToken,
}

/// Speaks HTTP with one client after another.
#[derive(Clone)]
pub(super) struct Speaker {
    builder: Builder<Streams>,
    router: Router,
    ends: Ends,
}

impl Speaker {
    /// `tasks` owns the streams of HTTP/2 connections.
    pub(super) fn new(router: Router, tasks: TaskTracker, ends: Ends) -> Self {
        let mut builder = Builder::new(Streams(tasks));
        builder
            .http1()
            .max_buf_size(MAX_HEAD_BYTES)
            .timer(TokioTimer::new());
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(32 * 1024)
            .max_local_error_reset_streams(64)
            .max_pending_accept_reset_streams(20)
            .max_send_buf_size(64 * 1024);
        Self {
            builder,
            router,
            ends,
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let link = Arc::new(Link::new(peer.ip()));
        let socket = TokioIo::new(Socket::new(stream, Arc::clone(&link)));
        let door = Door {
            router: self.router,
            link: Arc::clone(&link),
        };
        let mut connection = pin!(self.builder.serve_connection(socket, door));
        let mut stop = pin!(self.ends.stop.cancelled());
        let mut linger = pin!(sleep_until(Instant::now()));
        let mut is_stopping = false;
        let mut patience = Patience::new(link);
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended before its time");
                    }
                    return;
                }
                () = self.ends.abort.cancelled(), if is_stopping => return,
                () = stop.as_mut(), if !is_stopping => {
                    is_stopping = true;
                    linger.as_mut().reset(Instant::now() + STOP_LINGER);
                }
                () = linger.as_mut(), if is_stopping && !linger.is_elapsed() => {
                    connection.as_mut().graceful_shutdown();
                }
                _ = ticks.tick() => match patience.look() {
                    Verdict::Keep => {}
                    Verdict::Finish => connection.as_mut().graceful_shutdown(),
                    Verdict::Drop => return,
                },
            }
        }
    }
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// Let it end in order.
    Finish,
    Drop,
}

/// How long a connection on which nothing happens is kept.
struct Patience {
    link: Arc<Link>,
    progress: u64,
    quiet_ticks: u32,
}

impl Patience {
    fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            progress: 0,
            quiet_ticks: 0,
        }
    }

    fn look(&mut self) -> Verdict {
        let progress = self.link.progress();
        if self.link.is_busy() || progress != self.progress {
            (self.progress, self.quiet_ticks) = (progress, 0);
            return Verdict::Keep;
        }
        self.quiet_ticks += 1;
        let is_late = self.link.begun() == 0 || self.link.is_within_head();
        let allowed = if is_late { HEAD_TICKS } else { IDLE_TICKS };
        match self.quiet_ticks {
            ticks if ticks < allowed => Verdict::Keep,
            ticks if ticks == allowed && !is_late => Verdict::Finish,
            _ => Verdict::Drop,
        }
    }
}

/// Hands requests to the router, together with the connection that they came through.
struct Door {
    router: Router,
    link: Arc<Link>,
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Arc::clone(&self.link));
        self.router.clone().call(request.map(Body::new))
    }
}

/// Runs the streams of HTTP/2 connections under the one owner of all connections.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        drop(self.0.spawn(stream));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn patience() -> (Patience, Arc<Link>) {
        let link = Arc::new(Link::new(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        (Patience::new(Arc::clone(&link)), link)
    }

    fn ticks_until(patience: &mut Patience, verdict: Verdict) -> usize {
        (1..100).find(|_| patience.look() == verdict).unwrap()
    }

    #[test]
    fn d04_a_connection_that_sends_nothing_is_dropped_soon() {
        let (mut patience, _) = patience();
        assert_eq!(ticks_until(&mut patience, Verdict::Drop), 2);
    }

    #[test]
    fn d04_a_head_that_never_ends_is_dropped_soon() {
        let (mut patience, link) = patience();
        link.note_begun();
        link.note_ended();
        assert_eq!(patience.look(), Verdict::Keep);
        link.note_head(true);
        assert_eq!(ticks_until(&mut patience, Verdict::Drop), 2);
    }

    #[test]
    fn a_connection_between_two_requests_is_kept_for_more_than_a_minute() {
        let (mut patience, link) = patience();
        link.note_begun();
        link.note_ended();
        assert_eq!(patience.look(), Verdict::Keep);
        assert_eq!(ticks_until(&mut patience, Verdict::Finish), 15);
        assert_eq!(patience.look(), Verdict::Drop);
    }

    #[test]
    fn a_connection_with_a_request_in_work_is_kept() {
        let (mut patience, link) = patience();
        link.note_begun();
        assert!((0..100).all(|_| patience.look() == Verdict::Keep));
    }
}
