//! Log lines: to standard output and, if wanted, to daily files; never in the way of the work.

mod daily;
mod queue;

use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;

use model::Clock;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, Logs};

use self::daily::DailyFiles;
use self::queue::{LineQueue, QueueEnd};

/// Libraries that say more about themselves at `debug` than anyone wants to read, unless `LOG_LEVEL` names them.
const CHATTY: [&str; 8] = [
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rustls",
    "tower",
    "tower_http",
    "mio",
];

/// Longest part of a panic's message that is logged, in characters.
const MAX_PANIC_CHARS: usize = 500;

/// Where log lines go beside files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error, where standard output belongs to something else.
    Stderr,
}

/// Keeps the log going; dropping it writes what is waiting, for at most a second for each destination.
#[derive(Debug)]
pub struct LogGuard {
    _ends: Vec<QueueEnd>,
}

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A directory or file can't be made.
    #[error("LOG_DIR: can't write to {dir}: {source}")]
    Dir {
        /// The directory as it was set.
        dir: String,
        /// What the system said.
        source: io::Error,
    },
    /// No thread for writing, a level that is none, or logging has begun before.
    #[error("logging can't start: {0}")]
    Start(String),
}

/// Begins to log for the whole process, panics included, to `output` and, if wanted, to files.
///
/// Lines wait in bounded queues for their writers, so that a full disk, a closed pipe or a reader that stands still costs
/// lines (their number is logged later) and never time.
///
/// # Errors
/// [`LogError`], fit to be shown as it is.
pub fn start(settings: &Logs, output: Output, clock: &Arc<dyn Clock>) -> Result<LogGuard, LogError> {
    let targets = targets(&settings.level)?;
    let is_terminal = match output {
        Output::Stdout => io::stdout().is_terminal(),
        Output::Stderr => io::stderr().is_terminal(),
    };
    let format = settings.format.unwrap_or(if is_terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    });
    let started = match output {
        Output::Stdout => LineQueue::start("log-stdout", write_to_stdout),
        Output::Stderr => LineQueue::start("log-stderr", write_to_stderr),
    };
    let (lines, end) = started.map_err(start_error)?;
    let mut ends = vec![end];
    let output = layer(format, lines, is_terminal, clock);
    let mut files = None;
    if let Some(dir) = &settings.dir {
        let mut daily = DailyFiles::open(dir, Arc::clone(clock)).map_err(|source| LogError::Dir {
            dir: dir.display().to_string(),
            source,
        })?;
        let (lines, end) =
            LineQueue::start("log-files", move |lines| daily.append(lines)).map_err(start_error)?;
        ends.push(end);
        files = Some(layer(
            settings.format.unwrap_or(LogFormat::Json),
            lines,
            false,
            clock,
        ));
    }
    let subscriber = tracing_subscriber::registry()
        .with(targets)
        .with(output)
        .with(files);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| LogError::Start(error.to_string()))?;
    panic::set_hook(Box::new(log_panic));
    Ok(LogGuard { _ends: ends })
}

fn targets(level: &str) -> Result<Targets, LogError> {
    let named: Targets = level
        .parse()
        .map_err(|_| LogError::Start(format!("{level:?} is no log level")))?;
    if named
        .default_level()
        .is_none_or(|level| level <= LevelFilter::INFO)
    {
        return Ok(named);
    }
    let quiet = CHATTY.iter().filter(|library| !level.contains(**library));
    Ok(quiet.fold(named.clone(), |targets, library| {
        targets.with_target(*library, LevelFilter::INFO)
    }))
}

fn layer<S>(
    format: LogFormat,
    lines: LineQueue,
    is_terminal: bool,
    clock: &Arc<dyn Clock>,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let plain = tracing_subscriber::fmt::layer()
        .with_writer(lines)
        .with_timer(Time(Arc::clone(clock)))
        .log_internal_errors(false);
    match format {
        // On a terminal the library decides: it honours NO_COLOR.
        LogFormat::Pretty if is_terminal => plain.with_target(false).boxed(),
        LogFormat::Pretty => plain.with_target(false).with_ansi(false).boxed(),
        LogFormat::Json => plain.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

fn write_to_stdout(lines: &[u8]) {
    let mut stdout = io::stdout().lock();
    // Nobody is left to tell when the pipe is closed or the disk is full.
    drop(stdout.write_all(lines).and_then(|()| stdout.flush()));
}

fn write_to_stderr(lines: &[u8]) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(lines).and_then(|()| stderr.flush()));
}

fn start_error(error: io::Error) -> LogError {
    LogError::Start(error.to_string())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message: String = panic
        .payload_as_str()
        .unwrap_or("(not a text)")
        .chars()
        .take(MAX_PANIC_CHARS)
        .collect();
    let location = panic.location().map_or_else(String::new, ToString::to_string);
    tracing::error!(panic = message, location, "a part of the server panicked");
}

/// Writes the moment of a line as the API writes times.
struct Time(Arc<dyn Clock>);

impl FormatTime for Time {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", self.0.now())
    }
}
