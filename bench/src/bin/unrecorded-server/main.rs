//! Our whole server without its history: calls leave no trace.
//!
//! It shows in measurements what everything but the history costs. It is set as `mcp-server serve` is.

mod store;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use mimalloc::MiMalloc;
use server::config::Config;
use server::config::source::Sources;
use server::lifecycle;
use server::wire::Extras;

use store::Unrecorded;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let loaded = match Config::load(&Sources::of_process()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return complain(&mistakes.to_string()),
    };
    let extras = Extras {
        around_store: Some(|store| Arc::new(Unrecorded(store))),
        ..Extras::default()
    };
    match lifecycle::run(loaded, extras) {
        Ok(code) => code,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(reason: &str) -> ExitCode {
    // Nobody is left to be told when standard error is closed.
    writeln!(io::stderr(), "{reason}").ok();
    ExitCode::FAILURE
}
