//! From the start of a server to its end.

mod banner;
mod stdio;

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use engine::{Engine, Pace};
use model::Clock;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Loaded, Roles};
use crate::edge;
use crate::logs::{self, LogError, Output};
use crate::metrics::Metrics;
use crate::state::AppState;
use crate::system::SystemClock;
use crate::wire::{self, Cache, Extras, WireError, Wired};
use crate::{mcp, rest};

pub use self::stdio::run_stdio;

/// How long the periodic duties and the store may take to end, after the requests have ended.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);

/// How long a shared store is waited for at the start: as long as it takes to start beside this server, or to choose
/// another primary.
const OPENING_PATIENCE: Duration = Duration::from_secs(60);

/// How long after a failed try the shared store is tried again.
const OPENING_PAUSE: Duration = Duration::from_secs(1);

/// How long threads that still work are waited for at the very end.
const THREADS_PATIENCE: Duration = Duration::from_millis(500);

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// No log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No threads, or no signals.
    #[error("the server can't start: {0}")]
    Start(io::Error),
    /// No engine.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// No engine beside one that works on the store already.
    #[error("{0}; when that is a server, let the client connect to its /mcp instead (see docs/mcp.md)")]
    Held(WireError),
    /// No routes.
    #[error(transparent)]
    Routes(#[from] model::Error),
    /// No caller.
    #[error("{0}")]
    Credential(String),
    /// The address can't be listened on.
    #[error("can't listen on {host}:{port}: {reason}")]
    Bind {
        /// HOST.
        host: String,
        /// PORT.
        port: u16,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// Serves and does tasks until SIGTERM or SIGINT, then ends in order.
///
/// No new requests and tasks are taken, those in flight are answered and done, and everything is written.
/// `extras` are what a binary adds to the product.
///
/// Answers 0 after an orderly end, 128 and the signal's number when a second signal cut it short, 1 when something
/// could not be written.
///
/// # Errors
/// [`LifecycleError`] when the server did not start, fit to be shown as it is.
pub fn run(loaded: Loaded, extras: impl Into<Extras>) -> Result<ExitCode, LifecycleError> {
    let extras = extras.into();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let _log = logs::start(&loaded.config.logs, Output::Stdout, &clock)?;
    for warning in &loaded.warnings {
        tracing::warn!(warning, "look at the configuration");
    }
    let served = runtime().map_err(LifecycleError::Start).and_then(|runtime| {
        let served = runtime.block_on(serve(&loaded.config, extras));
        runtime.shutdown_timeout(THREADS_PATIENCE);
        served
    });
    served.inspect_err(|error| {
        // The command line tells it to the person at the terminal.
        if !io::stdout().is_terminal() {
            tracing::error!(%error, "the server did not start");
        }
    })
}

fn runtime() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cores)
        .thread_name("server")
        .enable_all()
        .build()
}

async fn serve(config: &Config, extras: Extras) -> Result<ExitCode, LifecycleError> {
    let mut signals = Signals::listen().map_err(LifecycleError::Start)?;
    let metrics = Arc::new(Metrics::new());
    let opening = open_patiently(config, &metrics, &extras, &mut signals);
    let Some(wired) = opening.await? else {
        return Ok(ExitCode::SUCCESS);
    };
    for warning in &wired.warnings {
        tracing::warn!(warning, "look at the data directory");
    }
    let listener = bind(config).await?;
    let address = listener.local_addr().map_err(LifecycleError::Start)?;
    let stopping = CancellationToken::new();
    let state = AppState::new(&wired, config.edge.clone(), metrics, stopping.clone());
    let routes = routes(config, extras, &state)?;
    let duties = TaskTracker::new();
    let pace = start_duties(&duties, &wired.engine, config.roles);
    banner::announce(config, address, &wired).await;
    let Wired { engine, cache, .. } = wired;
    let mut server = duties.spawn(edge::serve(listener, routes, state, config.shutdown_grace));
    let worker = duties.spawn(work(engine.clone(), stopping.clone(), config.shutdown_grace));

    let mut ended_alone = None;
    tokio::select! {
        first = signals.next() => {
            tracing::info!(signal = first.name, grace_ms = millis(config.shutdown_grace), "stopping");
            stopping.cancel();
        }
        ended = &mut server => ended_alone = Some(ended),
    }
    let end = async {
        let ended = match ended_alone {
            None => server.await,
            Some(ended) => ended,
        };
        let listened_well = ended_well(ended, stopping.is_cancelled());
        // Where the listener ended by itself, the worker wasn't told to stop yet.
        stopping.cancel();
        let worked_well = worker
            .await
            .inspect_err(|error| tracing::error!(%error, "the worker failed"));
        close(&pace, &duties, &engine, &cache).await && listened_well && worked_well.is_ok()
    };
    tokio::select! {
        biased;
        second = signals.next() => {
            tracing::warn!(signal = second.name, "stopped at once by a second signal");
            Ok(ExitCode::from(second.exit_code))
        }
        is_well = end => Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

/// Opens the store and what stands on it; a shared store that can't be reached yet is waited for.
///
/// Nothing when a signal came meanwhile.
async fn open_patiently(
    config: &Config,
    metrics: &Arc<Metrics>,
    extras: &Extras,
    signals: &mut Signals,
) -> Result<Option<Wired>, LifecycleError> {
    let began = Instant::now();
    loop {
        let observer = Arc::<Metrics>::clone(metrics);
        let opened = tokio::select! {
            opened = wire::open(config, observer, extras.clone()) => opened,
            signal = signals.next() => {
                tracing::info!(signal = signal.name, "stopped before the store was open");
                return Ok(None);
            }
        };
        match opened {
            Err(error @ WireError::Unreachable(_)) if began.elapsed() < OPENING_PATIENCE => {
                tracing::warn!(
                    %error,
                    waited_ms = millis(began.elapsed()),
                    "the store can't be reached yet, and is tried again"
                );
            }
            opened => return Ok(Some(opened?)),
        }
        if let Ok(signal) = timeout(OPENING_PAUSE, signals.next()).await {
            tracing::info!(signal = signal.name, "stopped before the store was open");
            return Ok(None);
        }
    }
}

/// What a process answers that has these roles: everything, or only whether it is well.
fn routes(config: &Config, extras: Extras, state: &AppState) -> Result<Router<AppState>, LifecycleError> {
    if !config.roles.api {
        return Ok(rest::watching());
    }
    let terms = mcp::Terms {
        bare_tools: extras.bare_tools,
        task_retention: config.task_retention,
    };
    Ok(rest::router().merge(mcp::routes(state, terms)?))
}

/// Lets what must be done again and again begin, as far as it is this process's, and listens to the others.
fn start_duties(tracker: &TaskTracker, engine: &Engine, roles: Roles) -> Pace {
    let pace = Pace {
        stop: CancellationToken::new(),
    };
    let duties = if roles.worker {
        engine.duties()
    } else {
        engine.own_duties()
    };
    for duty in duties {
        let pace = pace.clone();
        tracker.spawn(async move { pace.drive(duty).await });
    }
    let (hearing, stop) = (engine.clone(), pace.stop.clone());
    tracker.spawn(async move { hearing.listen(stop).await });
    pace
}

async fn work(engine: Engine, stopping: CancellationToken, grace: Duration) {
    engine.work(stopping, grace).await;
}

/// Tells whether the listener ended because it was asked to.
fn ended_well(ended: Result<(), JoinError>, was_asked: bool) -> bool {
    match ended {
        Ok(()) if was_asked => true,
        Ok(()) => {
            tracing::error!("the listener ended by itself");
            false
        }
        Err(error) => {
            tracing::error!(%error, "the listener failed");
            false
        }
    }
}

/// Ends the duties, the store and what is shared beside it, in this order; tells whether everything was written.
async fn close(pace: &Pace, duties: &TaskTracker, engine: &Engine, cache: &Cache) -> bool {
    pace.stop.cancel();
    duties.close();
    if timeout(CLOSING_PATIENCE, duties.wait()).await.is_err() {
        tracing::warn!("a periodic duty did not end in time");
    }
    close_store(engine, cache).await
}

/// Ends the store, and what is shared beside it; tells whether everything was written.
async fn close_store(engine: &Engine, cache: &Cache) -> bool {
    let closed = timeout(CLOSING_PATIENCE, engine.close()).await;
    cache.close().await;
    match closed {
        Ok(Ok(())) => {
            tracing::info!("stopped");
            true
        }
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn Error, "not everything could be written");
            false
        }
        Err(_) => {
            tracing::error!("the store did not close in time");
            false
        }
    }
}

async fn bind(config: &Config) -> Result<TcpListener, LifecycleError> {
    let (host, port) = (config.host.as_str(), config.port);
    TcpListener::bind((host, port)).await.map_err(|error| {
        let hints = [
            (
                io::ErrorKind::AddrInUse,
                "the port is in use; stop what uses it, or choose another with --port",
            ),
            (
                io::ErrorKind::AddrNotAvailable,
                "HOST is no address of this machine",
            ),
            (
                io::ErrorKind::PermissionDenied,
                "not permitted; ports below 1024 are for privileged processes",
            ),
        ];
        let hint = hints.iter().find(|(kind, _)| *kind == error.kind());
        let reason = hint.map_or_else(|| error.to_string(), |(_, hint)| (*hint).to_owned());
        LifecycleError::Bind {
            host: host.to_owned(),
            port,
            reason,
        }
    })
}

/// The two signals that ask a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A signal that came.
struct Received {
    name: &'static str,
    /// What a shell shows for a process that the signal ended.
    exit_code: u8,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received { name: "SIGTERM", exit_code: 143 },
            _ = self.interrupt.recv() => Received { name: "SIGINT", exit_code: 130 },
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
