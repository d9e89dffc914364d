//! Accepts connections, as many as there may be, and ends them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::connection::{Ends, Speaker};
use crate::{metrics::Metrics, state::AppState};

/// How long to wait after the system could not give a connection (too many open files): what is open goes on.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

/// How long answers that were cut short may take to say so, before their connections are cut off.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How long what was told to end at once may take to do so.
const ABORT_PATIENCE: Duration = Duration::from_millis(500);

/// Accepts connections until the state's `stopping` is cancelled; then waits up to `grace` for those that are open,
/// and for work that outlives them.
pub(super) async fn run(listener: TcpListener, router: Router, state: &AppState, grace: Duration) {
    let ends = Ends {
        stop: state.stopping().clone(),
        abort: CancellationToken::new(),
    };
    let gate = Gate {
        speaker: Speaker::new(router, state.tasks().clone(), ends.clone()),
        places: Arc::new(Semaphore::new(
            state.edge().max_connections.min(Semaphore::MAX_PERMITS),
        )),
        state: state.clone(),
    };
    gate.accept_all(&listener).await;
    gate.admit_waiting(listener);
    drop(gate);
    state.tasks().close();
    let waits_no_longer = timeout(grace, state.tasks().wait()).await.is_err();
    state.cutting_off().cancel();
    if waits_no_longer && timeout(LAST_WORDS, state.tasks().wait()).await.is_err() {
        tracing::warn!(
            open = state.tasks().len(),
            "connections are cut off: they did not end within the grace"
        );
        ends.abort.cancel();
        if timeout(ABORT_PATIENCE, state.tasks().wait()).await.is_err() {
            tracing::warn!(open = state.tasks().len(), "work is left unfinished");
        }
    }
}

/// Lets connections in.
struct Gate {
    speaker: Speaker,
    places: Arc<Semaphore>,
    state: AppState,
}

impl Gate {
    async fn accept_all(&self, listener: &TcpListener) {
        let stopping = self.state.stopping();
        loop {
            let place = select! {
                () = stopping.cancelled() => return,
                place = Arc::clone(&self.places).acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let accepted = select! {
                () = stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, place),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted now");
                    let was_stopped = timeout(ACCEPT_BACKOFF, stopping.cancelled()).await.is_ok();
                    if was_stopped {
                        return;
                    }
                }
            }
        }
    }

    /// Lets in what the system has accepted already, which would be reset with the listener, and ends the listener.
    ///
    /// Asks the system itself: the runtime learns of a new connection some time after it is there.
    fn admit_waiting(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let (Ok(place), Ok((stream, peer))) =
            (Arc::clone(&self.places).try_acquire_owned(), listener.accept())
        {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.admit(stream, peer, place);
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        // Without this, an answer in two pieces waits for the client's acknowledgement of the first.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection broke off as it began");
            return;
        }
        let open = Open::begin(Arc::clone(self.state.metrics()));
        let speaker = self.speaker.clone();
        drop(self.state.tasks().spawn(async move {
            speaker.serve(stream, peer).await;
            drop((open, place));
        }));
    }
}

/// Tells whether an error belongs to the one connection that was about to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Counts a connection for as long as it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn begin(metrics: Arc<Metrics>) -> Self {
        metrics.open_connection();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close_connection();
    }
}
