//! Measures the queue in this process: one phase a run, one line of JSON as its result.
//!
//! ```text
//! queue-bench DIR enqueue COUNT IN_FLIGHT      tasks that are due now, one in a submission
//! queue-bench DIR bulk COUNT                   the same, a thousand in a submission
//! queue-bench DIR fill COUNT                   tasks that are due in a month, a thousand in a submission
//! queue-bench DIR process CONCURRENCY          everything that is due
//! queue-bench DIR latency RATE SECONDS         from submission to start, so many a second
//! queue-bench DIR lateness COUNT MILLIS        from due to started, of tasks due within so many milliseconds
//! ```
//!
//! DIR is a data directory of the server. Times are in microseconds, CPU time is that of the whole process.

mod station;
mod stopwatch;
mod probe;
mod phase;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Whatever went wrong, for reading.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(line) => {
            // A closed pipe has nobody to be told.
            writeln!(io::stdout(), "{line}").ok();
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(io::stderr(), "{}: {error}", words.join(" ")).ok();
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Outcome<String> {
    let [folder, name, numbers @ ..] = words else {
        return Err("wanted: DIR PHASE NUMBERS".into());
    };
    let numbers: Vec<u32> = numbers
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let folder = Path::new(folder);
    let figures = match (name.as_str(), numbers.as_slice()) {
        ("enqueue", [count, in_flight]) => phase::enqueue(folder, *count, *in_flight)?,
        ("bulk", [count]) => phase::bulk(folder, *count, None)?,
        ("fill", [count]) => phase::bulk(folder, *count, Some(phase::FAR_AHEAD))?,
        ("process", [concurrency]) => phase::process(folder, u16::try_from(*concurrency)?)?,
        ("latency", [rate, seconds]) => phase::latency(folder, *rate, *seconds)?,
        ("lateness", [count, millis]) => phase::lateness(folder, *count, *millis)?,
        _ => return Err("no such phase, or other numbers than it takes".into()),
    };
    Ok(figures.to_string())
}
