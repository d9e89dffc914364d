//! Our whole server with one plugin more: `fixture`, which holds what the conformance suite of the Model Context
//! Protocol asks for, under the names that the suite gives it.
//!
//! `conformance-server serve` starts it, set as `mcp-server` is. No release holds the plugin.

mod fixture;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use mimalloc::MiMalloc;
use model::{PluginName, Runtime};
use server::config::Config;
use server::config::source::Sources;
use server::lifecycle;
use server::wire::Extras;

use fixture::Fixture;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["serve"] => serve(),
        _ => complain("known is: serve"),
    }
}

fn serve() -> ExitCode {
    let loaded = match Config::load(&Sources::of_process()) {
        Ok(loaded) => loaded,
        Err(mistakes) => return complain(&mistakes.to_string()),
    };
    let fixture: Arc<dyn Runtime> = match Fixture::new() {
        Ok(fixture) => Arc::new(fixture),
        Err(error) => return complain(&format!("no fixture: {error}")),
    };
    let extras = Extras {
        runtimes: vec![fixture],
        bare_tools: PluginName::parse(fixture::NAME).ok(),
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
