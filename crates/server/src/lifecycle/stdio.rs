//! One client over standard input and output, from its first line to the end of input.

use std::error::Error as _;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use engine::{Client, Engine, Presented};
use model::{Clock, ErrorKind, Principal, Secret};
use protocol::Host;
use tokio::fs::File;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{LifecycleError, Signals, THREADS_PATIENCE, close, close_store, runtime, start_duties, work};
use crate::config::{Config, Loaded};
use crate::logs::{self, Output};
use crate::mcp::{self, Caller, Door};
use crate::metrics::Metrics;
use crate::system::SystemClock;
use crate::wire::{self, Extras, WireError, Wired};

/// How long tasks that run may go on when the client has left; then they go back into the queue.
const GRACE: Duration = Duration::from_secs(1);

/// How an API key is made.
const MAKE_KEY: &str = "POST /api/v1/auth/api-key/generate, see README.md";

/// Serves one client over standard input and output, and does tasks, until its input ends or a signal comes.
///
/// Nothing but the protocol is written to standard output; the log goes to standard error. The store belongs to this
/// process meanwhile. `extras` are what a binary adds to the product.
///
/// Answers 0 when everything was written, 1 otherwise.
///
/// # Errors
/// [`LifecycleError`] when it did not start, fit to be shown as it is.
pub fn run_stdio(loaded: Loaded, extras: impl Into<Extras>) -> Result<ExitCode, LifecycleError> {
    let extras = extras.into();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let _log = logs::start(&loaded.config.logs, Output::Stderr, &clock)?;
    for warning in &loaded.warnings {
        tracing::warn!(warning, "look at the configuration");
    }
    let runtime = runtime().map_err(LifecycleError::Start)?;
    let served = runtime.block_on(serve(&loaded.config, extras));
    // A thread that still reads standard input isn't waited for.
    runtime.shutdown_timeout(THREADS_PATIENCE);
    served
}

async fn serve(config: &Config, extras: Extras) -> Result<ExitCode, LifecycleError> {
    // Without a key nothing of the data directory is touched.
    let key = key_of(config)?;
    let mut signals = Signals::listen().map_err(LifecycleError::Start)?;
    let terms = mcp::Terms {
        bare_tools: extras.bare_tools.clone(),
        task_retention: config.task_retention,
    };
    let opened = wire::open(config, Arc::new(Metrics::new()), extras).await;
    let Wired {
        engine,
        cache,
        warnings,
        ..
    } = opened.map_err(beside_a_server)?;
    for warning in &warnings {
        tracing::warn!(warning, "look at the data directory");
    }
    // Nothing is done for one who isn't admitted: no task is taken before.
    let principal = match authenticate(key, &engine).await {
        Ok(principal) => principal,
        Err(refused) => {
            close_store(&engine, &cache).await;
            return Err(refused);
        }
    };
    let stopping = CancellationToken::new();
    let duties = TaskTracker::new();
    let pace = start_duties(&duties, &engine, config.roles);
    let worker = duties.spawn(work(engine.clone(), stopping.clone(), GRACE));
    let asked = TaskTracker::new();
    let served = async {
        let host = mcp::host(&engine, terms, asked.clone(), stopping.clone())?;
        speak(host, Caller::new(principal, Client::default()), &mut signals).await
    };
    let served = served.await;
    stopping.cancel();
    asked.close();
    asked.wait().await;
    let worked_well = worker.await.is_ok();
    let is_well = close(&pace, &duties, &engine, &cache).await && worked_well;
    served.map(|()| {
        if is_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// Serves the client until its input ends or a signal comes.
async fn speak(host: Host<Door>, caller: Caller, signals: &mut Signals) -> Result<(), LifecycleError> {
    let input = file_of(io::stdin().as_fd())?;
    let output = file_of(io::stdout().as_fd())?;
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, "serving one client over standard input and output");
    let serving = protocol::serve_lines(host, caller, input, output);
    tokio::select! {
        ended = serving => ended.map_err(LifecycleError::Start),
        signal = signals.next() => {
            tracing::info!(signal = signal.name, "stopping");
            Ok(())
        }
    }
}

/// A standard stream as one that can be awaited.
fn file_of(stream: BorrowedFd<'_>) -> Result<File, LifecycleError> {
    let owned = stream.try_clone_to_owned().map_err(LifecycleError::Start)?;
    Ok(File::from_std(std::fs::File::from(owned)))
}

/// The key in the environment.
fn key_of(config: &Config) -> Result<&Secret, LifecycleError> {
    config.auth.stdio_api_key.as_ref().ok_or_else(|| {
        LifecycleError::Credential(
            format!(
                "MCP_SERVER_API_KEY is not set; make an API key while `mcp-server serve` runs on this store ({MAKE_KEY}), \
                 and give it in the client's configuration"
            ),
        )
    })
}

/// Finds out on whose behalf the client speaks, by its key.
async fn authenticate(key: &Secret, engine: &Engine) -> Result<Arc<Principal>, LifecycleError> {
    let admitted = engine.authenticate(Presented::ApiKey(key.expose())).await;
    admitted.map_err(|error| {
        let mut line = format!("MCP_SERVER_API_KEY is not accepted: {error}");
        if is_token(key.expose()) {
            line.push_str("; it is an access token, and here an API key is needed: make one by ");
            line.push_str(MAKE_KEY);
        }
        LifecycleError::Credential(line)
    })
}

/// Tells whether a text has the form of an access token: three parts, the first of them a JSON object in base64.
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

/// Says what else a client can do when somebody works on the store already.
fn beside_a_server(error: WireError) -> LifecycleError {
    // What the system refused has a cause; what another process holds has none.
    let is_held = matches!(&error, WireError::Part(part)
        if part.kind() == ErrorKind::Unavailable && part.source().is_none());
    if is_held {
        LifecycleError::Held(error)
    } else {
        LifecycleError::Wire(error)
    }
}
