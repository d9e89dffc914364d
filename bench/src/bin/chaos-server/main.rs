//! Our whole server with one plugin more: `journal`, whose effects can be counted from outside.
//!
//! `chaos-server serve` starts it, set as `mcp-server` is, with the journal in its working directory;
//! `chaos-server verify FILE` looks at a closed store.

mod journal;
mod verify;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use mimalloc::MiMalloc;
use model::Runtime;
use server::config::Config;
use server::config::source::Sources;
use server::lifecycle;

use journal::Journal;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["serve"] => serve(),
        ["verify", file] => verify::run(Path::new(file)),
        _ => complain("known are: serve, verify FILE"),
    }
}

fn serve() -> ExitCode {
    let loaded = match Config::load(&Sources::of_process()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return complain(&mistakes.to_string()),
    };
    let journal: Arc<dyn Runtime> = match Journal::open(Path::new("journal.jsonl")) {
        Ok(journal) => Arc::new(journal),
        Err(error) => return complain(&format!("no journal: {error}")),
    };
    match lifecycle::run(loaded, vec![journal]) {
        Ok(code) => code,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(reason: &str) -> ExitCode {
    // Nobody is left to be told when standard error is closed.
    writeln!(io::stderr(), "{reason}").ok();
    ExitCode::FAILURE
}
