//! How many passwords a second this machine can check with all its cores and nothing else to do.
//!
//! Takes the seconds to try for, prints one number.

use std::error::Error;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

/// The cost with which the server stores passwords unless it is told otherwise.
const COST: u32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let limit = Duration::from_secs(seconds);
    let hash = bcrypt::hash("correct horse battery staple", COST)?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let begin = Instant::now();
    let checked: u32 = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| checks(&hash, begin, limit)))
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    });
    writeln!(
        io::stdout(),
        "{:.2}",
        f64::from(checked) / begin.elapsed().as_secs_f64()
    )?;
    Ok(())
}

fn checks(hash: &str, begin: Instant, limit: Duration) -> u32 {
    let mut done = 0;
    while begin.elapsed() < limit {
        if bcrypt::verify("correct horse battery staple", hash).unwrap_or(false) {
            done += 1;
        }
    }
    done
}
