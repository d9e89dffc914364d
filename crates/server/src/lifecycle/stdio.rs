//! One client over standard input and output, from its first line to the end of input.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use engine::{Client, Engine, Presented};
use model::{Clock, Principal};
use tokio::fs::File;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{LifecycleError, Signals, THREADS_PATIENCE, close, runtime, start_duties, work};
use crate::config::{Config, Loaded};
use crate::logs::{self, Output};
use crate::mcp::{self, Caller};
use crate::metrics::Metrics;
use crate::system::SystemClock;
use crate::wire::{self, Extras, Wired};

/// How long tasks that run may go on when the client has left; then they go back into the queue.
const GRACE: Duration = Duration::from_secs(1);

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
    let mut signals = Signals::listen().map_err(LifecycleError::Start)?;
    let bare_tools = extras.bare_tools.clone();
    let Wired { engine, warnings, .. } = wire::open(config, Arc::new(Metrics::new()), extras)?;
    for warning in &warnings {
        tracing::warn!(warning, "look at the data directory");
    }
    let stopping = CancellationToken::new();
    let duties = TaskTracker::new();
    let pace = start_duties(&duties, &engine);
    let worker = duties.spawn(work(engine.clone(), stopping.clone(), GRACE));
    let terms = mcp::Terms {
        bare_tools,
        task_retention: config.task_retention,
    };
    let asked = TaskTracker::new();
    let admitted = authenticate(config, &engine).await;
    let served = match admitted {
        Ok(principal) => {
            let host = mcp::host(&engine, terms, asked.clone(), stopping.clone())?;
            let caller = Caller::new(principal, Client::default());
            let input = file_of(io::stdin().as_fd())?;
            let output = file_of(io::stdout().as_fd())?;
            let serving = protocol::serve_lines(host, caller, input, output);
            tokio::select! {
                ended = serving => ended.map_err(LifecycleError::Start),
                signal = signals.next() => {
                    tracing::info!(signal = signal.name, "stopping");
                    Ok(())
                }
            }
        }
        Err(refused) => Err(refused),
    };
    stopping.cancel();
    asked.close();
    asked.wait().await;
    let worked_well = worker.await.is_ok();
    let is_well = close(&pace, &duties, &engine).await && worked_well;
    served.map(|()| {
        if is_well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// A standard stream as one that can be awaited.
fn file_of(stream: BorrowedFd<'_>) -> Result<File, LifecycleError> {
    let owned = stream.try_clone_to_owned().map_err(LifecycleError::Start)?;
    Ok(File::from_std(std::fs::File::from(owned)))
}

/// Finds out on whose behalf the client speaks, by the key in the environment.
async fn authenticate(config: &Config, engine: &Engine) -> Result<Arc<Principal>, LifecycleError> {
    let Some(key) = &config.auth.stdio_api_key else {
        return Err(LifecycleError::Credential(
            "MCP_SERVER_API_KEY is not set; make an API key and give it in the client's configuration"
                .to_owned(),
        ));
    };
    let admitted = engine.authenticate(Presented::ApiKey(key.expose())).await;
    admitted
        .map_err(|error| LifecycleError::Credential(format!("MCP_SERVER_API_KEY is not accepted: {error}")))
}
